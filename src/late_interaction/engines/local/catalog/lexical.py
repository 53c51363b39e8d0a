"""Search the words of the catalog, which are in tables of FTS5, SQLite's full-text search."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.local.catalog.legacy_words import best_legacy_rows, highest_legacy_score
from late_interaction.engines.local.catalog.word_lists.ranking import best_of
from late_interaction.filters import parse

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from late_interaction.engines.local.catalog.reader import Reader
    from late_interaction.engines.local.catalog.word_lists.words import CommitWords
    from late_interaction.engines.records import Match
    from late_interaction.filters import Where

__all__ = ["highest_score", "search_words", "word_bytes"]

_CLAUSES_OF_A_WORD = 2
"""A query asks for each word as it is written and, among exact words and forms, for its stem.

So documents with the word as it is written come first. The score is the mean, which is plain BM25 for a word that
occurs in one form only.
"""


def search_words(
    reader: Reader,
    words: CommitWords,
    query: str,
    k: int,
    *,
    where: Where | None = None,
    candidates: Iterable[str] | None = None,
) -> list[Match]:
    """Return the k best documents by BM25 as FTS5 computes it, best first, of equal ones the older first.

    Args:
        reader: Reads one commit.
        words: The words of this commit.
        query: The query.
        k: The number of documents.
        where: Only documents that pass this filter.
        candidates: Only documents of these ids.
    """
    tokenizer = reader.tokenizer
    if tokenizer is None:
        return reader.matches_in_rows(best_legacy_rows(reader, query, k, where, candidates))
    clauses = [words.clause(reader.connection, clause) for clause in tokenizer.query(query)]
    found = best_of(words, reader.connection, clauses, k, _rows_of(reader, words, where, candidates))
    return reader.matches_in_rows([(row, score / _CLAUSES_OF_A_WORD) for row, score in found])


def highest_score(reader: Reader, words: CommitWords, query: str) -> float:
    """Return what the BM25 score of a document approaches in which every word of a query occurs many times.

    A word that no document has counts, as rare as a word can be. A phrase or a spelling that no document has does not.
    See `search_words` for the arguments.
    """
    if reader.tokenizer is None:
        return highest_legacy_score(reader.connection, query)
    total = 0.0
    for clause in reader.tokenizer.query(query):
        found = words.clause(reader.connection, clause)
        if clause.is_word or len(found.rows):
            total += found.bound
    return total / _CLAUSES_OF_A_WORD


def _rows_of(
    reader: Reader, words: CommitWords, where: Where | None, candidates: Iterable[str] | None
) -> NDArray[np.int64] | None:
    """Return the ascending rows of the documents that pass the filter and are candidates; None for all.

    The rows that pass a filter are kept until the next commit.
    """

    def read() -> NDArray[np.int64]:
        return np.sort(np.array(reader.rows(where=where, candidates=candidates), np.int64))

    if candidates is not None:
        return read()
    return None if where is None else words.passing(repr(parse(where)), read)


def word_bytes(connection: sqlite3.Connection) -> int:
    """Return the size of the tables of FTS5 in bytes, without what SQLite adds to each row and page.

    Example:
        >>> import sqlite3
        >>> connection = sqlite3.connect(":memory:")
        >>> _ = connection.execute("CREATE VIRTUAL TABLE words USING fts5 (exact, forms, content='')")
        >>> empty = word_bytes(connection)
        >>> _ = connection.execute("INSERT INTO words (rowid, exact, forms) VALUES (1, 'paris', 'pari')")
        >>> 0 < word_bytes(connection) - empty < 100
        True
    """
    sizes = (
        "SELECT sum(length(block)) FROM words_data",
        "SELECT sum(length(CAST(term AS BLOB))) FROM words_idx",
        "SELECT sum(length(sz)) FROM words_docsize",
    )
    return sum(connection.execute(size).fetchone()[0] or 0 for size in sizes)
