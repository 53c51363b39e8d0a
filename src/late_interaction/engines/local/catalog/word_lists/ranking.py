"""Find the documents with the highest BM25 scores without scoring all that have a word of the query.

The most frequent words of a query are in most documents, but add least to their scores. Once the k best documents are
known to score more than the frequent words can add together, a document that has only these cannot be among the k
best (MaxScore: Turtle & Flood, "Query evaluation: strategies and optimizations", 1995). So documents are taken from the
lists of rare words, and frequent words are only looked up in those that can still be among the k best.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.local.catalog.word_lists.words import K1
from late_interaction.engines.local.kernels import kernels_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from late_interaction.engines.local.catalog.word_lists.words import ClauseScores, CommitWords

__all__ = ["best_of"]

_TOLERANCE = 1e-9  # sums depend on the order of the clauses


def best_of(
    words: CommitWords,
    connection: sqlite3.Connection,
    clauses: Sequence[ClauseScores],
    k: int,
    allowed: NDArray[np.int64] | None,
) -> list[tuple[int, float]]:
    """Return the rows of the k best documents with the sums of what the clauses add, best first.

    Of documents with equal sums, the older is first.

    Args:
        words: The words of the commit.
        connection: A connection that sees it.
        clauses: The clauses.
        k: How many documents to return; fewer if fewer have any of the clauses.
        allowed: Ascending rows, among which the documents are; None for all.
    """
    norms = partial(words.norms, connection)
    clauses = [clause if allowed is None else _only(clause, allowed) for clause in clauses]
    ordered = sorted(clauses, key=lambda clause: -clause.bound)
    # By position in this order, what this clause and all later ones can add.
    remaining = np.cumsum([clause.bound for clause in reversed(ordered)])[::-1]
    rows, sums = np.empty(0, np.int64), np.empty(0)
    floor = -np.inf  # a document with a lower score is not among the k best
    at = 0
    while at < len(ordered) and floor <= remaining[at]:
        clause = ordered[at]
        rows, sums = _merged(rows, sums, clause.rows, _scores(clause, slice(None), norms(clause.rows)))
        floor = _kth(sums, k)
        at += 1
    weights = norms(rows)
    for clause, addable in zip(ordered[at:], remaining[at:], strict=True):
        keeps = sums + addable >= floor
        rows, sums, weights = rows[keeps], sums[keeps], weights[keeps]
        sums = sums + _looked_up(clause, rows, weights)
        floor = max(floor, _kth(sums, k))
    keeps = sums >= floor
    rows, weights = rows[keeps], weights[keeps]
    sums = np.zeros(len(rows))
    for clause in clauses:  # as FTS5 adds them
        sums += _looked_up(clause, rows, weights)
    best = np.lexsort((rows, -sums))[:k]
    return list(zip(rows[best].tolist(), sums[best].tolist(), strict=True))


def _kth(sums: NDArray[np.float64], k: int) -> float:
    """Return a little less than the k-th highest sum, or minus infinity if there are fewer."""
    return float(np.partition(sums, -k)[-k]) * (1 - _TOLERANCE) if len(sums) >= k else -np.inf


def _only(clause: ClauseScores, allowed: NDArray[np.int64]) -> ClauseScores:
    """Return a clause in the documents of some rows."""
    places = np.empty(min(len(clause.rows), len(allowed)), np.int64)
    places = places[: kernels_of(__package__).select(clause.rows, allowed, places)]
    return clause._replace(rows=clause.rows[places], counts=clause.counts[places])


def _merged(
    rows: NDArray[np.int64], sums: NDArray[np.float64], more_rows: NDArray[np.int64], scores: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the rows of both lists, ascending, with the sums of their scores."""
    if not len(rows):
        return more_rows, scores
    size = len(rows) + len(more_rows)
    all_rows, all_sums = np.empty(size, np.int64), np.empty(size)
    count = kernels_of(__package__).merge(rows, sums, more_rows, scores, all_rows, all_sums)
    return all_rows[:count], all_sums[:count]


def _looked_up(clause: ClauseScores, rows: NDArray[np.int64], norms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what a clause adds to the scores of the documents in some rows, given their norms."""
    added = np.zeros(len(rows))
    if len(clause.rows):
        places = np.minimum(np.searchsorted(clause.rows, rows), len(clause.rows) - 1)
        has_it = clause.rows[places] == rows
        added[has_it] = _scores(clause, places[has_it], norms[has_it])
    return added


def _scores(clause: ClauseScores, places: NDArray[np.int64] | slice, norms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what a clause adds to the scores of documents at some places of its list, given their norms."""
    counts = clause.counts[places]
    if clause.is_scored:
        return counts
    return clause.idf * (counts * (K1 + 1) / (counts + norms))
