"""Words of messages: numbers with their nouns, and addresses without credentials."""

from __future__ import annotations

import os
import re

__all__ = ["counted", "shown_bits", "shown_location"]


def counted(number: int, noun: str) -> str:
    """Return a number with its noun in the singular or plural.

    Example:
        >>> counted(1, "passage"), counted(0, "file"), counted(1204, "page")
        ('1 passage', '0 files', '1,204 pages')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def shown_bits(bits: int | None) -> str:
    """Return how an index stores a token vector, by its setting ``bits``.

    Example:
        >>> shown_bits(2), shown_bits(0), shown_bits(None)
        ('2 bits', 'codes alone', 'float16')
    """
    if bits is None:
        return "float16"
    return counted(bits, "bit") if bits else "codes alone"


_CREDENTIALS = re.compile(r"(?<=//)\S*@|(?<=[:+])[^/\\:@\s]+:(?!//)[^@\s]*@")


def shown_location(location: str | os.PathLike[str]) -> str:
    """Return a path, or an address without the user and the password in it, for messages.

    Example:
        >>> shown_location("qdrant+http://me:secret@host:6333/docs")
        'qdrant+http://…@host:6333/docs'
    """
    return _CREDENTIALS.sub("…@", os.fspath(location))
