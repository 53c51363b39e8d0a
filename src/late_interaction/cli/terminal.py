"""Show hits in a terminal, with matched words highlighted by similarity.

Control characters in documents are escaped, and markup is shown literally.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from late_interaction.cli.printable import printable, to_json
from late_interaction.explanations import Explanation, PageExplanation

if TYPE_CHECKING:
    from rich.console import Console

    from late_interaction.documents import Document, Hit
    from late_interaction.encoders.protocol import Box

__all__ = ["show_document", "show_explanation", "show_hit"]

_SHOWN_CHARACTERS = 400
_STRONG, _WEAK = 0.75, 0.5  # cosine similarities: the same or almost the same word in a similar context; a related word


def show_hit(
    console: Console, hit: Hit, explanation: Explanation | PageExplanation | None = None, *, name: str | None = None
) -> None:
    """Print a hit. Highlight matched words if there is an explanation. For a page, print the text on it.

    Args:
        console: Where to print it.
        hit: The hit.
        explanation: What the query matches in it.
        name: What to call it; None for its id.
    """
    if isinstance(explanation, Explanation):
        text = _highlighted(explanation, in_color=bool(console.color_system))
    else:
        text = Text(printable(hit.text if hit.document.image is None else _beginning(hit.text)))
    title = Text(f"{printable(name or hit.id, one_line=True)} · score {hit.score:.2f} · relevance {hit.relevance:.2f}")
    console.print(Panel(text, title=title, title_align="left"))


def show_document(console: Console, document: Document) -> None:
    """Print a document with its metadata."""
    text = Text(printable(document.text or "(page without text)"))
    for key, value in document.metadata.items():
        text.append(printable(f"\n{printable(key, one_line=True)}: {to_json(value, indent=None)}"), "dim")
    console.print(Panel(text, title=Text(printable(document.id, one_line=True)), title_align="left"))


def show_explanation(console: Console, explanation: Explanation | PageExplanation) -> None:
    """Print a document with its matched words, or the text of a page, and what each query word matches."""
    if isinstance(explanation, PageExplanation):
        text = Text(printable(_beginning(explanation.document.text)))
        rows = [(match.query_word, _place(match.box), match.similarity) for match in explanation.spans]
    else:
        text = _highlighted(explanation, in_color=bool(console.color_system))
        rows = [(span.query_word, span.document_word, span.similarity) for span in explanation.spans]
    title = Text(f"{printable(explanation.document.id, one_line=True)} · score {explanation.score:.2f}")
    console.print(Panel(text, title=title, title_align="left"))
    table = Table(box=None)
    table.add_column("query")
    table.add_column("page" if isinstance(explanation, PageExplanation) else "document")
    table.add_column("similarity", justify="right")
    for query_word, found, similarity in rows:
        words = (Text(printable(word, one_line=True)) for word in (query_word, found))
        table.add_row(*words, Text(f"{similarity:.2f}"))
    console.print(table)


def _beginning(text: str) -> str:
    """Return the beginning of the text on a page."""
    if not text:
        return "(page without text)"
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS].rstrip()} …"


def _place(box: Box) -> str:
    """Return the position of the center of a patch on its page."""
    left, top, right, bottom = box
    return f"{(left + right) / 2:.0%} from the left, {(top + bottom) / 2:.0%} from the top"


def _highlighted(explanation: Explanation, *, in_color: bool) -> Text:
    """Return the text with matched words in color, or ``**between asterisks**`` where there is no color."""
    text = Text()
    at = 0
    for (start, end), similarity in explanation.highlights().items():
        text.append(printable(explanation.text[at:start]))
        word = printable(explanation.text[start:end])
        at = end
        if similarity >= _STRONG:
            text.append(word if in_color else f"**{word}**", "bold black on yellow")
        else:
            text.append(word, "bold yellow" if similarity >= _WEAK else "")
    return text.append(printable(explanation.text[at:]))
