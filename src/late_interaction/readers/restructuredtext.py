"""Parse reStructuredText into headings and blocks. Only section titles are recognized; everything else is text."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from late_interaction.readers.blocks import Block, Heading, Outline, split_paragraphs

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["outline"]

# Two or more of one punctuation character, and nothing else, from the start of the line.
_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1+\s*")
_GRID_BORDER = re.compile(r"\s*\+(-+\+)+")
_GRID_HEADER_END = re.compile(r"\s*\+(=+\+)+")
_SIMPLE_BORDER = re.compile(r"\s*=+(\s+=+)+")


def outline(text: str) -> Outline:
    """Parse a reStructuredText file."""
    return Outline(title=None, elements=list(_elements(text.split("\n"))))


def _elements(lines: list[str]) -> Iterator[Heading | Block]:
    styles: list[str] = []  # levels are in the order in which the file first uses each style of adornment
    done = number = 0  # lines before `done` have been yielded
    while number < len(lines):
        # A title follows a blank line, another title, or a comment, target or directive.
        separate = number == done or not lines[number - 1].strip() or lines[number - 1].startswith("..")
        overlined = _is_overlined(lines, number)
        if separate and (overlined or _is_underlined(lines, number)):
            yield from _blocks(lines[done:number])
            title = lines[number + overlined]
            style = lines[number + 1 + overlined][0] * (1 + overlined)
            if style not in styles:
                styles.append(style)
            yield Heading(styles.index(style) + 1, " ".join(title.split()))
            done = number = number + 2 + overlined
        else:
            number += 1
    yield from _blocks(lines[done:])


def _blocks(lines: list[str]) -> Iterator[Block]:
    for block in split_paragraphs(lines):
        yield replace(block, header=_table_header(block.text.split("\n")))


def _table_header(lines: list[str]) -> str:
    """Return the lines of a table up to the end of its header; empty for a table without one, and for other text."""
    if _GRID_BORDER.fullmatch(lines[0]):
        end = next((number for number, line in enumerate(lines) if _GRID_HEADER_END.fullmatch(line)), 0)
    elif _SIMPLE_BORDER.fullmatch(lines[0]):
        borders = [number for number, line in enumerate(lines) if _SIMPLE_BORDER.fullmatch(line)]
        end = borders[1] if borders[2:] or lines[borders[-1] + 1 :] else 0
    else:
        return ""
    return "\n".join(lines[: end + 1]) if end else ""


def _is_underlined(lines: list[str], number: int) -> bool:
    title = lines[number]
    if number + 1 >= len(lines) or not title.strip() or title[0].isspace() or _ADORNMENT.fullmatch(title):
        return False
    underline = lines[number + 1].rstrip()
    # Docutils accepts an underline shorter than the title if it has at least four characters.
    return bool(_ADORNMENT.fullmatch(underline)) and len(underline) >= min(len(title.rstrip()), 4)


def _is_overlined(lines: list[str], number: int) -> bool:
    if number + 2 >= len(lines):
        return False
    over, title, under = (line.rstrip() for line in lines[number : number + 3])
    return over == under and bool(_ADORNMENT.fullmatch(over)) and 0 < len(title) <= len(over)
