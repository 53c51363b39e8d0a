"""What every format is taken apart into: headings and blocks, in the order of the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Block", "Heading", "Outline", "split_paragraphs"]


@dataclass(frozen=True)
class Block:
    """A paragraph, list, table or piece of code.

    Attributes:
        text: Never blank; without blank lines at either end.
        verbatim: Whether it is code, whose lines are its natural parts.
    """

    text: str
    verbatim: bool = False


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the outermost."""

    level: int
    text: str


@dataclass(frozen=True)
class Outline:
    """A file taken apart.

    Attributes:
        title: The title the file states about itself, which goes before its first heading.
        elements: Headings and blocks in order.
        fallback_title: A title for a file that has no heading of level 1.
    """

    title: str | None
    elements: list[Heading | Block]
    fallback_title: str | None = None


def split_paragraphs(lines: Iterable[str]) -> Iterator[Block]:
    """Yield the runs of lines between blank lines. Indentation is kept: it may be code or verse."""
    paragraph: list[str] = []
    for line in (*lines, ""):
        if line.strip():
            paragraph.append(line.rstrip())
        elif paragraph:
            yield Block("\n".join(paragraph))
            paragraph = []
