"""Parse HTML into headings and blocks."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from bs4 import BeautifulSoup
from bs4.builder import ParserRejectedMarkup
from bs4.dammit import EncodingDetector
from bs4.element import NavigableString, PreformattedString, Tag

from late_interaction.readers.blocks import Block, Heading, Outline
from late_interaction.readers.decoding import UTF_8, UnreadableFileError
from late_interaction.readers.hyphenation import Hyphenation

if TYPE_CHECKING:
    from bs4.element import PageElement

__all__ = ["declared_encoding", "outline"]

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
        "dir",
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
        "noscript",
        "ol",
        "p",
        "pre",
        "search",
        "section",
        "summary",
        "table",
        "ul",
    ]
).union(_HEADINGS)
# Blocks that a cell with one value may have.
_PARAGRAPHS = ("center", "div", "p")
# Elements inside a block that have lines of their own.
_LINES = frozenset(("dd", "dt", "li", "optgroup", "option", "tbody", "textarea", "text", "tfoot", "thead", "tr"))
# Elements inside a line that a reader sees apart from each other.
_CELLS = frozenset(
    (
        "audio",
        "button",
        "canvas",
        "iframe",
        "input",
        "label",
        "meter",
        "object",
        "output",
        "progress",
        "rp",
        "rt",
        "select",
    )
).union(("td", "th", "video"))
_APART = re.compile(r"display\s*:(?!\s*(?:inline\s*(?:;|$|!)|none|contents))", re.IGNORECASE)
_MAX_SPAN = 64  # columns or rows of a cell
_NUMBER = re.compile(r"\s*[+\u2212-]?\d+\s*")
_SPACE = re.compile(r"\s+")
# What browsers read instead of a declared encoding, whose name Python takes literally. A page that declares UTF-16 in
# text that can be searched for it is not UTF-16.
_SUPERSETS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "utf-16": UTF_8,
    "utf-16-le": UTF_8,
    "utf-16-be": UTF_8,
    "utf-8": UTF_8,
}
_XML_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*>")


def declared_encoding(content: bytes) -> str | None:
    """Return the encoding that an HTML page declares, or None if Python has no encoding of text of this name.

    A page that is not text in the encoding, such as one that was converted to UTF-8 later, declares none.
    """
    declared = EncodingDetector.find_declared_encoding(content, is_html=True)
    if declared is None:
        return None
    try:
        name = codecs.lookup(declared).name
        name = _SUPERSETS.get(name, name)
        content.decode(name)
    except (LookupError, ValueError):
        return None
    return name


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

    def run(self, soup: PageElement) -> list[Heading | Block]:
        # A stack instead of recursion, because html.parser nests elements without an end tag, sometimes thousands deep.
        # None marks the end of the innermost open block, and a plain string is the space after an element.
        stack: list[PageElement | str | None] = [soup]
        while stack:
            node = stack.pop()
            if node is None:
                self._flush()
                self._verbatim -= self._open.pop() == "pre"
            elif isinstance(node, Tag):
                if node.name == "table" and not self._verbatim and (rows := _data_rows(node)):
                    self._flush()
                    self._add_table(node, rows)
                    continue
                if node.name in _BLOCKS:
                    self._flush()
                    self._open.append(node.name)
                    self._verbatim += node.name == "pre"
                    stack.append(None)
                elif node.name == "br":
                    self._text.append("\n")
                elif space := _space_around(node):
                    self._text.append(space)
                    stack.append(space)
                elif node.name == "sup" and _NUMBER.fullmatch(node.get_text()) and self._ends_in_a_word():
                    self._text.append("^")
                stack.extend(reversed(node.contents))
            elif type(node) is str:
                self._text.append(node)
            elif isinstance(node, NavigableString) and not isinstance(node, PreformattedString):
                # Line ends of the source matter only in <pre>, and where they split a word.
                self._text.append(str(node) if self._verbatim else _SPACE.sub(" ", self._hyphenation.undone(str(node))))
        self._flush()
        return self._elements

    def _add_table(self, table: Tag, rows: list[tuple[Tag, bool]]) -> None:
        """Add a table as one block, a line for each row, and around it what else is in it, such as its caption."""
        inside = {id(part) for row, _ in rows for part in (row, *row.descendants)}
        groups = {id(parent) for row, _ in rows for parent in row.parents}
        others = [node for node in table.descendants if id(node) not in inside and id(node) not in groups]
        done: set[int] = set()
        for node in others:
            if not any(id(parent) in done for parent in node.parents):
                done.add(id(node))
                self._elements += _Walk(self._hyphenation).run(node)
        spans: dict[int, int] = {}  # by column: the number of rows below that a cell above covers
        lines = [(self._line(row, spans), is_header) for row, is_header in rows]
        header = "\n".join(line for line, is_header in lines if is_header and line)
        body = [line for line, is_header in lines if line and not is_header]
        text = "\n".join([header, *body] if header else body)
        if text:
            self._elements.append(Block(text, header=header, rows=tuple(body)))

    def _line(self, row: Tag, spans: dict[int, int]) -> str:
        """Return the cells of a row in a line, apart from each other, so that an empty one does not shift the others.

        Args:
            row: The row.
            spans: The columns that cells of the rows above cover, which is updated.
        """
        cells = _cells(row)
        others = (
            part
            for part in row.contents
            if getattr(part, "name", None) not in ("td", "th") and not isinstance(part, PreformattedString)
        )
        if any(part.get_text().strip() for part in others):
            return self._joined(row)  # there is text between the cells
        texts: list[str] = []
        for cell in cells:
            while spans.get(len(texts)):
                spans[len(texts)] -= 1
                texts.append("")
            width, height = _span(cell, "colspan"), _span(cell, "rowspan")
            spans.update((len(texts) + at, height - 1) for at in range(width))
            texts += [self._joined(cell), *[""] * (width - 1)]
        spans.update((column, rows - 1) for column, rows in spans.items() if column >= len(texts) and rows)
        return _collapse(" | ".join(texts)) if any(texts) else ""

    def _joined(self, tag: Tag) -> str:
        return _collapse(" ".join(element.text for element in _Walk(self._hyphenation).run(tag)))

    def _ends_in_a_word(self) -> bool:
        return bool(self._text) and self._text[-1][-1:].isalnum()

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


def _data_rows(table: Tag) -> list[tuple[Tag, bool]]:
    """Return the rows of a table and whether each is of its header; empty for a layout and with tables inside."""
    rows = table.find_all("tr")
    if table.find("table") is not None or any(row.find(("tr", "thead", "tbody")) is not None for row in rows):
        return []
    marked: list[tuple[Tag, bool]] = []
    for row in rows:
        cells = list(row.find_all(("td", "th")))
        if len(cells) > 1 and not cells[0].get_text().strip():
            cells = cells[1:]  # above the headers of rows
        is_header = row.find_parent("thead") is not None or bool(cells and all(cell.name == "th" for cell in cells))
        marked.append((row, is_header and all(earlier for _, earlier in marked)))
    if marked and marked[0][1] and not marked[-1][1]:
        return marked
    if len(rows) < 2 or not all(map(_is_plain, rows)) or not any(len(row.find_all(("td", "th"))) > 1 for row in rows):
        return []
    return [(row, number == 0 and _is_bold(row)) for number, row in enumerate(rows)]


def _is_plain(row: Tag) -> bool:
    """Return whether each cell of a row is at most a paragraph, as in tables of values, unlike in those of a layout."""
    blocks = row.find_all(list(_BLOCKS))
    return len(blocks) <= len(row.find_all(("td", "th"))) and all(block.name in _PARAGRAPHS for block in blocks)


def _is_bold(row: Tag) -> bool:
    """Return whether all text of a row is bold, which makes it the header of a table without <th>."""
    texts = [text for text in row.find_all(string=True) if text.strip() and not isinstance(text, PreformattedString)]
    return bool(texts) and all(text.find_parent(("b", "strong")) is not None for text in texts)


def _cells(row: Tag) -> list[Tag]:
    """Return the cells of a row. Those inside another one, which lacks its end tag, are moved behind it."""
    cells = row.find_all(("td", "th"))
    nested: list[tuple[Tag, Tag]] = []  # each with the outermost cell around it
    outer = None
    for cell in cells:
        parent = cell.find_parent(("td", "th", "tr"))
        if outer is None or parent is None or parent.name == "tr":
            outer = cell
        else:
            nested.append((cell, outer))
    # Innermost first, because bs4 looks through all that is in an element that it moves.
    nested.reverse()
    for cell, _ in nested:
        cell.extract()
    for cell, outer in nested:
        outer.insert_after(cell)
    return cells


def _span(cell: Tag, name: str) -> int:
    """Return the number of columns or rows that a cell covers."""
    value = str(cell.get(name, "")).strip()
    return min(max(int(value), 1), _MAX_SPAN) if value.isdecimal() and len(value) < 6 else 1


def _space_around(node: Tag) -> str:
    """Return the space before and after an element inside a block; empty for one that may be a part of a word."""
    style = node.get("style")
    if node.name in _LINES or "-" in node.name or (isinstance(style, str) and _APART.search(style)):
        return "\n"
    return " " if node.name in _CELLS else ""


def _collapse(text: str) -> str:
    return " ".join(text.split())


def _sanitize(text: str) -> str:
    """Replace surrogates, which numeric entities can produce and UTF-8 cannot encode. Later bs4 does so itself."""
    return text.encode(errors="replace").decode()
