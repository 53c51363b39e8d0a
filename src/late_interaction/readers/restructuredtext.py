"""Parse reStructuredText into headings and blocks. Only section titles and tables are recognized; the rest is text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from late_interaction.readers.blocks import Heading, Outline
from late_interaction.readers.restructuredtables import split_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from late_interaction.readers.blocks import Block

__all__ = ["outline"]

# Two or more of one punctuation character, and nothing else, from the start of the line.
_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1+\s*")


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
            yield from split_blocks(lines[done:number])
            title = lines[number + overlined]
            style = lines[number + 1 + overlined][0] * (1 + overlined)
            if style not in styles:
                styles.append(style)
            yield Heading(styles.index(style) + 1, " ".join(title.split()))
            done = number = number + 2 + overlined
        else:
            number += 1
    yield from split_blocks(lines[done:])


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
