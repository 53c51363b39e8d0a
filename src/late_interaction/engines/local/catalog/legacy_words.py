"""Search the words of catalogs of format 4 and older, which FTS5 splits and ranks itself."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING

from late_interaction.engines.local.catalog.word_lists.doclists import Doclists
from late_interaction.engines.local.catalog.word_lists.words import K1, inverse_frequency

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from late_interaction.engines.local.catalog.reader import Reader
    from late_interaction.filters import Where

__all__ = ["best_legacy_rows", "highest_legacy_score", "legacy_words"]

_MAX_LEGACY_WORDS = 256
_LEGACY_WORD = re.compile(r"\w+")


def best_legacy_rows(
    reader: Reader, query: str, k: int, where: Where | None, candidates: Iterable[str] | None
) -> list[tuple[int, float]]:
    """Return the rows and the BM25 scores of the k best documents. See `lexical.search_words` for the arguments."""
    expression = " OR ".join(legacy_words(query))
    if not expression:
        return []
    condition, parameters = "1", list[str]()
    if where is not None or candidates is not None:
        # With the plus sign, SQLite does not search the words again for each row.
        condition = "+words.rowid IN (SELECT value FROM json_each(?))"
        parameters = [json.dumps(reader.rows(where=where, candidates=candidates))]
    return reader.connection.execute(
        f"SELECT words.rowid, -rank FROM words WHERE words MATCH ? AND {condition} ORDER BY rank, words.rowid LIMIT ?",
        [expression, *parameters, k],
    ).fetchall()


def highest_legacy_score(connection: sqlite3.Connection, query: str) -> float:
    """Return what the BM25 score of a document approaches in which every word of a query occurs many times."""
    documents = Doclists.of(connection).documents
    total = 0.0
    for expression in legacy_words(query):
        (holding,) = connection.execute("SELECT count(*) FROM words WHERE words MATCH ?", (expression,)).fetchone()
        total += inverse_frequency(documents, holding) * (K1 + 1)
    return total


def legacy_words(query: str) -> list[str]:
    """Return the words of a query as expressions of FTS5, for the words of format 4 and older.

    FTS5 itself reduces these words to English stems and removes diacritics.

    Example:
        >>> legacy_words("Nile AND nile-delta")
        ['"Nile"', '"AND"', '"nile"', '"delta"']
    """
    words = dict.fromkeys(_LEGACY_WORD.findall(unicodedata.normalize("NFC", query)))
    return [f'"{word}"' for word in [*words][:_MAX_LEGACY_WORDS]]
