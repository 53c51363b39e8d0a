"""Find the tables of reStructuredText, with their headers and rows: grid and simple tables, and those of directives."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING

from late_interaction.readers.blocks import Block, split_paragraphs

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["split_blocks"]

_GRID_BORDER = re.compile(r"\s*\+(-+\+)+")
_GRID_HEADER_END = re.compile(r"\s*\+(=+\+)+")
_SIMPLE_BORDER = re.compile(r"\s*=+(\s+=+)+")
_SIMPLE_LINE = re.compile(r"\s*(=+(\s+=+)*|-{2,}(\s+-{2,})*)")  # a border, or the line below cells that span columns
_DIRECTIVE = re.compile(r"\s*\.\. (?P<kind>list|csv)-table::")
_HEADER_ROWS = re.compile(r"\s+:header-rows:\s+(?P<number>\d{1,4})\s*")


def split_blocks(lines: list[str]) -> Iterator[Block]:
    """Yield the paragraphs and tables."""
    done = number = 0  # lines before `done` have been yielded
    while number < len(lines):
        directive = _DIRECTIVE.match(lines[number])
        end = _body_end(lines, number) if directive else number + 1
        if directive and (table := _directive_table(directive["kind"], lines[number:end])):
            yield from map(_drawn_table, split_paragraphs(lines[done:number]))
            yield table
            done = end
        number = end
    yield from map(_drawn_table, split_paragraphs(lines[done:]))


def _body_end(lines: list[str], number: int) -> int:
    """Return the number of the line after those that are indented below a line."""
    outer = _indent(lines[number])
    for later in range(number + 1, len(lines)):
        if lines[later].strip() and _indent(lines[later]) <= outer:
            return later
    return len(lines)


def _directive_table(kind: str, lines: list[str]) -> Block | None:
    """Return the table of a directive; None if it has no rows in the file.

    Its header is the lines of the directive and the rows that are names of columns.
    """
    text = "\n".join(line.rstrip() for line in lines).rstrip()
    lines = text.split("\n")
    head = lines[: lines.index("")] if "" in lines else lines
    body = [line for line in lines[len(head) :] if line]
    if not body:
        return None
    if kind == "csv":
        # A line continues a row if a quote is open.
        quotes = accumulate((line.count('"') for line in body[:-1]), initial=0)
        starts = [number % 2 == 0 for number in quotes]
    else:
        starts = [_indent(line) <= _indent(body[0]) for line in body]
    rows = _rows(body, starts)
    names = next((int(match["number"]) for line in head if (match := _HEADER_ROWS.fullmatch(line))), 0)
    header = "\n".join([*head, "", *rows[:names]])
    return Block(text, header=header, rows=tuple(rows[names:]))


def _drawn_table(block: Block) -> Block:
    """Return a block with the header and rows of the grid or simple table that it is; without, other text.

    The header is at least the upper border. The borders below a row belong to it.
    """
    lines = block.text.split("\n")
    if _GRID_BORDER.fullmatch(lines[0]):
        end = next((number for number, line in enumerate(lines) if _GRID_HEADER_END.fullmatch(line)), 0)
        starts = [_GRID_BORDER.fullmatch(line) is not None for line in lines[end:-1]]
    elif _SIMPLE_BORDER.fullmatch(lines[0]):
        borders = [number for number, line in enumerate(lines) if _SIMPLE_BORDER.fullmatch(line)]
        end = borders[1] if borders[2:] or (borders[1:] and lines[borders[-1] + 1 :]) else 0
        left = _indent(lines[0])  # a line without a first cell continues the row above
        starts = [bool(line[left : left + 1].strip()) and not _SIMPLE_LINE.fullmatch(line) for line in lines[end + 1 :]]
    else:
        return block
    rows = _rows(lines[end + 1 :], starts)
    return replace(block, header="\n".join(lines[: end + 1]), rows=tuple(rows))


def _rows(lines: list[str], starts: list[bool]) -> list[str]:
    """Join lines to rows, each from a line that starts one up to the next such line."""
    rows: list[list[str]] = []
    for line, is_start in zip(lines, starts, strict=True):
        if is_start or not rows:
            rows.append([])
        rows[-1].append(line)
    return ["\n".join(row) for row in rows]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
