"""How hits look in a terminal: matched words stand out, the stronger the match the more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

    from late_interaction.documents import Hit
    from late_interaction.explain import Explanation

__all__ = ["show_explanation", "show_hit"]

_STRONG, _WEAK = 0.75, 0.5  # cosines: the same or nearly the same word in a like context; a related one


def show_hit(console: Console, hit: Hit, explanation: Explanation | None = None) -> None:
    """Print a hit, with the words that match the query if they are explained."""
    text = Text(hit.text) if explanation is None else _highlighted(explanation, in_color=bool(console.color_system))
    title = Text(f"{hit.id} · score {hit.score:.2f} · relevance {hit.relevance:.2f}")
    console.print(Panel(text, title=title, title_align="left"))


def show_explanation(console: Console, explanation: Explanation) -> None:
    """Print a document with its matched words, and which word of the query each of them meets."""
    text = _highlighted(explanation, in_color=bool(console.color_system))
    title = Text(f"{explanation.document.id} · score {explanation.score:.2f}")
    console.print(Panel(text, title=title, title_align="left"))
    table = Table(box=None)
    table.add_column("query")
    table.add_column("document")
    table.add_column("similarity", justify="right")
    for span in explanation.spans:
        table.add_row(Text(span.query_word), Text(span.document_word), f"{span.similarity:.2f}")
    console.print(table)


def _highlighted(explanation: Explanation, *, in_color: bool) -> Text:
    """The text with its matched words in colour; where there is none, as in a file, **between stars**."""
    text = Text()
    at = 0
    for (start, end), similarity in explanation.highlights().items():
        text.append(explanation.text[at:start])
        word = explanation.text[start:end]
        at = end
        if similarity >= _STRONG:
            text.append(word if in_color else f"**{word}**", "bold black on yellow")
        else:
            text.append(word, "bold yellow" if similarity >= _WEAK else "")
    return text.append(explanation.text[at:])
