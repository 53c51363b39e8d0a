"""Parse Markdown (CommonMark) into headings and blocks. The text of the blocks is the source, unchanged."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

from late_interaction.readers.blocks import Block, Heading, Outline, split_paragraphs
from late_interaction.readers.markuptables import TABLE_END, TABLE_START, table_block

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markdown_it.token import Token

__all__ = ["outline"]

_PARSER = MarkdownIt("commonmark").enable("table")
# A line that YAML front matter may have: a key, or a continuation of the previous key.
_FRONT_MATTER_LINE = re.compile(r"[A-Za-z_][\w .-]*:(\s|$)|\s|#|-\s|$")
_FRONT_MATTER_TITLE = re.compile(r"title:\s+(?P<quote>[\"']?)(?P<title>[^|>\s].*?)(?P=quote)\s*", re.IGNORECASE)


def outline(text: str) -> Outline:
    """Parse a Markdown file. YAML front matter is left out, except its title."""
    lines = text.split("\n")
    body = _front_matter_end(lines)
    title = next((match["title"] for line in lines[:body] if (match := _FRONT_MATTER_TITLE.fullmatch(line))), None)
    return Outline(title, list(_elements(lines[body:])))


def _front_matter_end(lines: list[str]) -> int:
    """Return the number of lines of the front matter."""
    if lines[0].rstrip() != "---":
        return 0
    for number, line in enumerate(lines[1:], start=1):
        if line.rstrip() in ("---", "..."):
            return number + 1
        if not _FRONT_MATTER_LINE.match(line):
            break  # the first line was a thematic break, not the start of front matter
    return 0


def _elements(lines: list[str]) -> Iterator[Heading | Block]:
    done = 0  # lines before this one are yielded
    tokens = _PARSER.parse("\n".join(lines))
    for position, token in enumerate(tokens):
        # Headings inside lists and quotes (level > 0) do not apply to the text after these; they are kept as text.
        is_heading = token.type == "heading_open" and token.level == 0
        if token.map is None or not (is_heading or token.type in ("fence", "code_block", "table_open", "html_block")):
            continue
        start, end = token.map
        if start < done or (token.type == "html_block" and not TABLE_START.search(token.content)):
            continue
        # The text between comes from the source, because the tokens leave out link definitions.
        yield from split_paragraphs(lines[done:start])
        if is_heading:
            yield Heading(int(token.tag[1:]), _plain(tokens[position + 1]))
        elif token.type == "html_block":
            end = _table_end(tokens, position) or end
            yield table_block("\n".join(line.rstrip() for line in lines[start:end]).strip("\n"))
        elif token.type == "table_open":
            table = [line.rstrip() for line in lines[start:end] if line.strip()]
            # The header is the names of the columns, and the line below.
            yield Block("\n".join(table), header="\n".join(table[:2]), rows=tuple(table[2:]))
        else:
            code = [line.rstrip() for line in lines[start:end]]
            if any(code):
                yield Block("\n".join(code).strip("\n"), verbatim=True)
        done = end
    yield from split_paragraphs(lines[done:])


def _table_end(tokens: Sequence[Token], position: int) -> int | None:
    """Return the number of the line after an HTML table, of which a token is the first part; None if there is no end.

    Blank lines, at which CommonMark ends a block of HTML, may be in a table. Headings, code and other tables are not.
    """
    for number in range(position, len(tokens)):
        token = tokens[number]
        is_other = token.type in ("heading_open", "fence", "table_open") or TABLE_START.search(token.content)
        if number > position and is_other:
            break
        if token.map is not None and TABLE_END.search(token.content):
            return token.map[1]
    return None


def _plain(inline: Token) -> str:
    parts = (" " if token.type.endswith("break") else token.content for token in inline.children or [])
    return " ".join("".join(parts).split())
