"""Parse HTML into headings and blocks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bs4 import BeautifulSoup
from bs4.builder import ParserRejectedMarkup
from bs4.element import NavigableString, PreformattedString, Tag

from late_interaction.readers.blocks import Block, Heading, Outline
from late_interaction.readers.decoding import UnreadableFileError
from late_interaction.readers.hyphenation import Hyphenation

if TYPE_CHECKING:
    from bs4.element import PageElement

__all__ = ["outline"]

_DROPPED = ["script", "style", "nav", "template"]
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "caption",
        "center",
        "details",
        "dialog",
        "div",
        "dl",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "hgroup",
        "hr",
        "html",
        "legend",
        "main",
        "menu",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "ul",
    ]
).union(_HEADINGS)
# Elements inside a block that start on a new line.
_LINES = frozenset(("br", "dd", "dt", "li", "option", "tr"))
_CELLS = frozenset(("td", "th"))
_SPACE = re.compile(r"\s+")
_XML_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*>")


def outline(text: str) -> Outline:
    """Parse an HTML page.

    Raises:
        UnreadableFileError: The HTML is too malformed to be parsed.
    """
    # bs4 warns about XML, and about a short line that might be a file name passed by mistake.
    try:
        soup = BeautifulSoup(_XML_DECLARATION.sub("", text, count=1) + "\n", "html.parser")
    except ParserRejectedMarkup:
        raise UnreadableFileError("it is too malformed to be parsed as HTML") from None
    for tag in soup.find_all(_DROPPED):
        tag.decompose()
    titles = soup.find_all("title")
    title = _collapse(_sanitize(titles[0].get_text())) if titles else ""
    for tag in titles:
        tag.decompose()  # not the whole head, whose end tag may be missing; the rest of it has no text
    return Outline(title=None, elements=_Walk(Hyphenation(text)).run(soup), fallback_title=title or None)


class _Walk:
    """Traverses a page once and collects text until a block starts or ends."""

    def __init__(self, hyphenation: Hyphenation) -> None:
        self._hyphenation = hyphenation
        self._elements: list[Heading | Block] = []
        self._open: list[str] = []  # the names of the blocks around the current node
        self._verbatim = 0  # how many of them are <pre>
        self._text: list[str] = []

    def run(self, soup: Tag) -> list[Heading | Block]:
        # A stack instead of recursion, because html.parser nests elements without an end tag, sometimes thousands deep.
        # None marks the end of the innermost open block.
        stack: list[PageElement | None] = [soup]
        while stack:
            node = stack.pop()
            if node is None:
                self._flush()
                self._verbatim -= self._open.pop() == "pre"
            elif isinstance(node, Tag):
                if node.name in _BLOCKS:
                    self._flush()
                    self._open.append(node.name)
                    self._verbatim += node.name == "pre"
                    stack.append(None)
                elif node.name in _LINES:
                    self._text.append("\n")
                elif node.name in _CELLS:
                    self._text.append(" ")
                stack.extend(reversed(node.contents))
            elif isinstance(node, NavigableString) and not isinstance(node, PreformattedString):
                # Line ends of the source matter only in <pre>, and where they split a word.
                self._text.append(str(node) if self._verbatim else _SPACE.sub(" ", self._hyphenation.undone(str(node))))
        self._flush()
        return self._elements

    def _flush(self) -> None:
        lines = _sanitize("".join(self._text)).split("\n")
        self._text = []
        if self._verbatim:
            lines = [line.rstrip() for line in lines]
        else:
            lines = [line for line in map(_collapse, lines) if line]
        text = "\n".join(lines).strip("\n")
        if not text:
            return
        if self._open and self._open[-1] in _HEADINGS:
            self._elements.append(Heading(int(self._open[-1][1]), _collapse(text)))
        else:
            self._elements.append(Block(text, verbatim=self._verbatim > 0))


def _collapse(text: str) -> str:
    return " ".join(text.split())


def _sanitize(text: str) -> str:
    """Replace surrogates, which numeric entities can produce and UTF-8 cannot encode. Later bs4 does so itself."""
    return text.encode(errors="replace").decode()
