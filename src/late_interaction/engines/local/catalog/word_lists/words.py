"""The words of one commit: what each clause of a query adds to the BM25 scores of documents, as FTS5 computes them."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from late_interaction.engines.local.catalog.word_lists.doclists import Doclists, WordList
from late_interaction.engines.local.catalog.word_lists.lengths import Lengths

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from numpy.typing import NDArray

    from late_interaction.words import Clause

__all__ = ["FORM_WEIGHT", "K1", "ClauseScores", "CommitWords", "inverse_frequency", "quoted"]

FORM_WEIGHT = 0.9
"""The weight of other forms of a word; that of exact words is 1."""

K1, _B = 1.2, 0.75  # of FTS5's BM25
_RANK = f"bm25(1.0, {FORM_WEIGHT})"
_LOWEST_IDF = 1e-6  # which FTS5 gives to words in at least half of the documents
_MAX_KEPT_BYTES = 32 << 20
_ENTRY_BYTES = 1024  # an entry without documents takes less, and words that no document has are without number


class ClauseScores(NamedTuple):
    """A clause of a query in the documents that have it.

    Attributes:
        rows: Ascending row numbers, (n,).
        idf: The weight of the clause.
        counts: How often each document has it, each time with the weight of the column, (n,). Of a phrase this is not
            known, but what it adds to the score of each document.
        is_scored: Whether ``counts`` are what it adds to scores.
    """

    rows: NDArray[np.int64]
    idf: float
    counts: NDArray[np.float64]
    is_scored: bool = False

    @property
    def bound(self) -> float:
        """What the clause adds to a score at most."""
        return self.idf * (K1 + 1)


def inverse_frequency(documents: int, holding: int) -> float:
    """Return the weight of a clause that some of the documents have."""
    odds = (documents - holding + 0.5) / (holding + 0.5)
    return max(math.log(max(odds, 1.0)), _LOWEST_IDF)


def quoted(clause: Clause) -> str:
    """Return a clause of a query as an expression of FTS5. Words are quoted, so the operators of FTS5 are words, too.

    Example:
        >>> from late_interaction.words import Clause
        >>> quoted(Clause(("foo", "bar"), is_exact=True)), quoted(Clause(("京",), is_prefix=True))
        ('exact : "foo bar"', '"京" *')
    """
    column, star = "exact : " if clause.is_exact else "", " *" if clause.is_prefix else ""
    return f'{column}"{" ".join(clause.words)}"{star}'


class CommitWords:
    """The words of one commit, which keeps the lists that it has read. Any thread may call any method.

    Every method takes a connection in a transaction that sees this commit.
    """

    def __init__(self) -> None:
        self._mutex = threading.RLock()  # reentrant: a signal handler may search while its thread is inside
        self._doclists: Doclists | None = None
        self._lengths: Lengths | None = None
        self._lists: dict[str, WordList] = {}
        self._phrases: dict[Clause, ClauseScores] = {}
        self._passing: dict[str, NDArray[np.int64]] = {}
        self._kept = 0

    def documents(self, connection: sqlite3.Connection) -> int:
        """Return the number of documents."""
        return self._opened(connection).documents

    def clause(self, connection: sqlite3.Connection, clause: Clause) -> ClauseScores:
        """Return a clause of a query in the documents that have it.

        Raises:
            CorruptIndexError: The tables of FTS5 are damaged.
        """
        documents = self._opened(connection).documents
        if clause.is_prefix or len(clause.words) != 1:
            return self._phrase(connection, clause)
        found = self._list(connection, clause.words[0])
        rows, counts = found.exact if clause.is_exact else found.anywhere
        return ClauseScores(rows, inverse_frequency(documents, len(rows)), counts)

    def norms(self, connection: sqlite3.Connection, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what BM25 adds to the counts of documents in its denominator, which grows with their lengths, (n,)."""
        doclists = self._opened(connection)
        lengths = self._lengths
        if lengths is None:
            lengths = self._lengths = Lengths(doclists.documents)
        average = doclists.tokens / max(doclists.documents, 1) or 1.0
        return K1 * (1 - _B + _B * lengths.of(connection, rows) / average)

    def passing(self, key: str, read: Callable[[], NDArray[np.int64]]) -> NDArray[np.int64]:
        """Return the ascending rows that pass a filter; ``read`` gives them the first time."""
        rows = self._passing.get(key)
        if rows is None:
            rows = read()
            self._keep(self._passing, key, rows, rows.nbytes)
        return rows

    def _opened(self, connection: sqlite3.Connection) -> Doclists:
        doclists = self._doclists
        if doclists is None:
            doclists = self._doclists = Doclists.of(connection)
        return doclists

    def _list(self, connection: sqlite3.Connection, word: str) -> WordList:
        found = self._lists.get(word)
        if found is None:
            found = self._opened(connection).read(connection, word, FORM_WEIGHT)
            self._keep(self._lists, word, found, sum(part.nbytes for part in (*found.exact, *found.anywhere)))
        return found

    def _phrase(self, connection: sqlite3.Connection, clause: Clause) -> ClauseScores:
        """Return a clause whose documents FTS5 finds by the positions of words, or by all words with a prefix."""
        found = self._phrases.get(clause)
        if found is None:
            select = "SELECT rowid, -rank FROM words WHERE words MATCH ? AND rank MATCH ?"
            pairs = connection.execute(select, (quoted(clause), _RANK)).fetchall()
            rows, scores = zip(*pairs, strict=True) if pairs else ((), ())
            idf = inverse_frequency(self._opened(connection).documents, len(rows))
            found = ClauseScores(np.array(rows, np.int64), idf, np.array(scores, np.float64), is_scored=True)
            self._keep(self._phrases, clause, found, found.rows.nbytes + found.counts.nbytes)
        return found

    def _keep(self, kept: dict[Any, Any], key: object, value: object, array_bytes: int) -> None:
        size = array_bytes + len(str(key)) + _ENTRY_BYTES
        with self._mutex:
            if self._kept + size > _MAX_KEPT_BYTES:
                for one in (self._lists, self._phrases, self._passing):
                    one.clear()
                self._kept = 0
            if size <= _MAX_KEPT_BYTES and key not in kept:
                kept[key] = value
                self._kept += size
