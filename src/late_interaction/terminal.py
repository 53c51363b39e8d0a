"""How hits look in a terminal: matched words stand out, the stronger the match the more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.panel import Panel
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

    from late_interaction.documents import Hit
    from late_interaction.explain import Explanation

__all__ = ["show_hit"]

_STRONG, _WEAK = 0.75, 0.5  # cosines: the same or nearly the same word in a like context; a related one


def show_hit(console: Console, hit: Hit, explanation: Explanation | None = None) -> None:
    """Print a hit, with the words that match the query if they are explained."""
    text = Text(hit.text)
    if explanation is not None:
        text = Text(explanation.text)
        for (start, end), similarity in explanation.highlights().items():
            if similarity >= _STRONG:
                text.stylize("bold black on yellow", start, end)
            elif similarity >= _WEAK:
                text.stylize("bold yellow", start, end)
    title = Text(f"{hit.id} · score {hit.score:.2f} · relevance {hit.relevance:.2f}")
    console.print(Panel(text, title=title, title_align="left"))
