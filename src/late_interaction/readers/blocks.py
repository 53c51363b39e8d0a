"""The parts that every text format is parsed into: headings and blocks, in the order of the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Block", "Heading", "Outline", "split_paragraphs"]


@dataclass(frozen=True)
class Block:
    """A paragraph, list, table or code block.

    Attributes:
        text: Never blank; without blank lines at either end.
        verbatim: Whether it is code, which is split at lines, not at sentences.
        header: The first lines of a table, which are repeated in each passage if the table is split.
        rows: The rows of a table, each of one or more lines, without the header. A table is split between them.
    """

    text: str
    verbatim: bool = False
    header: str = ""
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the outermost."""

    level: int
    text: str


@dataclass(frozen=True)
class Outline:
    """The parsed content of a file.

    Attributes:
        title: The title that the file declares, preferred to its first heading.
        elements: Headings and blocks in order.
        fallback_title: The title if the file declares none and has no heading of level 1.
    """

    title: str | None
    elements: list[Heading | Block]
    fallback_title: str | None = None


def split_paragraphs(lines: Iterable[str]) -> Iterator[Block]:
    """Yield the paragraphs, which blank lines separate. Indentation is kept, because it may be code or verse."""
    paragraph: list[str] = []
    for line in (*lines, ""):
        if line.strip():
            paragraph.append(line.rstrip())
        elif paragraph:
            yield Block("\n".join(paragraph))
            paragraph = []
