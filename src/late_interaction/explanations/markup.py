"""HTML that shows the same in every encoding."""

from __future__ import annotations

__all__ = ["ascii_html"]


def ascii_html(markup: str) -> str:
    """Return HTML in ASCII, with other characters as references, so that a file needs no declared charset."""
    return markup.encode("ascii", "xmlcharrefreplace").decode()
