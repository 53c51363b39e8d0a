"""Words of messages that depend on a number."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, noun: str) -> str:
    """Return a number with its noun in the singular or plural.

    Example:
        >>> counted(1, "passage"), counted(0, "file"), counted(1204, "page")
        ('1 passage', '0 files', '1,204 pages')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
