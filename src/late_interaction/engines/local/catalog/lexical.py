"""Turn a query into an expression of FTS5, SQLite's full-text search."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["word_expression"]

_MAX_WORDS = 256  # a longer query, such as a pasted page, is truncated: its first words say what it is about
_WORD = re.compile(r"\w+")


def word_expression(query: str) -> str | None:
    """Return an FTS5 expression that matches passages with any word of the query; None if the query has no words.

    Words are taken from the query in Unicode form NFC, once each. They are quoted, so the operators of FTS5 are words,
    too. FTS5 itself reduces words to English stems and removes diacritics.

    Example:
        >>> word_expression("Nile AND nile-delta")
        '"Nile" OR "AND" OR "nile" OR "delta"'
    """
    words = list(dict.fromkeys(_WORD.findall(unicodedata.normalize("NFC", query))))[:_MAX_WORDS]
    return " OR ".join(f'"{word}"' for word in words) or None
