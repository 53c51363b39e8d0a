"""Find the header and rows of an HTML table inside Markdown, whose source stays as it is."""

from __future__ import annotations

import re
from itertools import takewhile

from late_interaction.readers.blocks import Block

__all__ = ["TABLE_END", "TABLE_START", "table_block"]

TABLE_START = re.compile(r"<table\b", re.IGNORECASE)
"""The start of a table in a line."""

TABLE_END = re.compile(r"</table\b", re.IGNORECASE)
"""The end of a table in a line."""

_ROW = re.compile(r"(?<![ \t])(?=[ \t]*<tr\b)", re.IGNORECASE)
_HEADER_END = re.compile(r"</thead\b", re.IGNORECASE)
_CELL = re.compile(r"<t([dh])\b[^<>]*>", re.IGNORECASE)
_TAGS_OF_TABLES = re.compile(r"</?(?:t[dhr]|thead|tbody|tfoot|table)\b[^<>]*>", re.IGNORECASE)
_BOLD = re.compile(r"<(b|strong)>(?:(?!</?(?:b|strong)>).)*</\1>|\*\*[^*]+\*\*|__[^_]+__", re.IGNORECASE | re.DOTALL)


def table_block(text: str) -> Block:
    """Return a block that may be split between the rows of the table in it.

    Args:
        text: HTML with one table. What is before the first row is part of the header.
    """
    if len(TABLE_START.findall(text)) != 1:
        return Block(text)  # a table in a table, which is split as a paragraph
    head, *rows = _ROW.split(text)
    names = next((number for number, row in enumerate(rows, start=1) if _HEADER_END.search(row)), 0)
    names = names or len(list(takewhile(_has_names, rows))) or int(bool(rows) and _is_bold(rows[0]))
    if names >= len(rows):
        names = 0
    parts = ["".join([head, *rows[:names]]), *rows[names:]] if names else [head + "".join(rows[:1]), *rows[1:]]
    parts = [part.strip("\n").rstrip() for part in parts]
    return Block(text, header=parts[0], rows=tuple(parts[1:])) if names else Block(text, rows=tuple(parts))


def _cells(row: str) -> list[tuple[str, str]]:
    """Return the letter of the tag of each cell, and the source of its content."""
    _, *parts = _CELL.split(row)
    contents = (_TAGS_OF_TABLES.sub("", content).strip() for content in parts[1::2])
    return list(zip((tag.lower() for tag in parts[::2]), contents, strict=True))


def _has_names(row: str) -> bool:
    cells = _cells(row)
    if len(cells) > 1 and not cells[0][1]:
        cells = cells[1:]  # above the headers of rows
    return bool(cells) and all(tag == "h" for tag, _ in cells)


def _is_bold(row: str) -> bool:
    contents = [content for _, content in _cells(row) if content]
    return bool(contents) and all(_BOLD.fullmatch(content) for content in contents)
