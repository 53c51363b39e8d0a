"""Split the text of a file into sections: headings and the paragraphs below them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from late_interaction.readers import markdown, notebooks, restructuredtext
from late_interaction.readers.blocks import Block, Heading, Outline, split_paragraphs
from late_interaction.readers.hyphenation import Hyphenation, without_soft_hyphens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["HTML", "SUFFIXES", "Section", "read_sections"]


@dataclass(frozen=True)
class Section:
    """Paragraphs under one heading.

    Attributes:
        headings: The headings above the paragraphs, outermost first.
        blocks: The paragraphs; never empty.
    """

    headings: tuple[str, ...]
    blocks: list[Block]


def _outline_plain(text: str) -> Outline:
    return Outline(title=None, elements=list(split_paragraphs(text.split("\n"))))


def _outline_webpage(text: str) -> Outline:
    from late_interaction.readers import webpages  # with bs4, which takes a while to import

    return webpages.outline(text)


HTML = (".html", ".htm")
"""The suffixes of web pages."""

_FORMATS: dict[str, Callable[[str], Outline]] = {
    ".txt": _outline_plain,
    ".text": _outline_plain,
    ".md": markdown.outline,
    ".markdown": markdown.outline,
    ".rst": restructuredtext.outline,
    ".ipynb": notebooks.outline,
    **dict.fromkeys(HTML, _outline_webpage),
}

SUFFIXES = tuple(_FORMATS)
"""The suffixes of the text formats that can be read."""


def read_sections(text: str, suffix: str) -> tuple[str | None, list[Section]]:
    """Return the title in a file, or None, and the sections of the file in order, without hyphenation.

    Args:
        text: The content of the file.
        suffix: One of `SUFFIXES`.
    """
    outline = _FORMATS[suffix](text)
    elements = list(_without_hyphenation(outline.elements, Hyphenation(text)))
    first = next((item.text for item in elements if isinstance(item, Heading) and item.level == 1), None)
    title = outline.title or first or outline.fallback_title
    return title and without_soft_hyphens(title), _sections(elements)


def _without_hyphenation(elements: Iterable[Heading | Block], hyphenation: Hyphenation) -> Iterator[Heading | Block]:
    for element in elements:
        if isinstance(element, Heading):
            yield replace(element, text=without_soft_hyphens(element.text))
            continue
        if element.verbatim or element.rows:  # the lines of code and tables stay as they are
            text, header, *rows = (part.replace("\u00ad", "") for part in (element.text, element.header, *element.rows))
        else:
            text, header, rows = hyphenation.undone(element.text), "", []
        if text.strip():
            yield replace(element, text=text, header=header, rows=tuple(rows))


def _sections(elements: Iterable[Heading | Block]) -> list[Section]:
    sections: list[Section] = []
    open_headings: list[Heading] = []
    blocks: list[Block] = []
    for element in elements:
        if isinstance(element, Block):
            blocks.append(element)
            continue
        deeper = bool(open_headings) and element.level > open_headings[-1].level
        sections += _close(open_headings, blocks, has_subsection=deeper)
        blocks = []
        while open_headings and open_headings[-1].level >= element.level:
            open_headings.pop()
        open_headings.append(element)
    return sections + _close(open_headings, blocks, has_subsection=False)


def _close(open_headings: list[Heading], blocks: list[Block], *, has_subsection: bool) -> list[Section]:
    headings = tuple(heading.text for heading in open_headings if heading.text)
    if not blocks and not has_subsection and open_headings and open_headings[-1].text:
        # A heading without content is not in the path of any passage, so it would be lost.
        blocks = [Block(open_headings[-1].text)]
    return [Section(headings, blocks)] if blocks else []
