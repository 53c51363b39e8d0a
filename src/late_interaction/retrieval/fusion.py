"""Reciprocal rank fusion: one ranking out of several whose scores cannot be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["best_possible", "reciprocal_rank_fusion"]

_RANK_CONSTANT = 60  # Cormack, Clarke & Büttcher, SIGIR 2009


def reciprocal_rank_fusion(rankings: Sequence[Sequence[str]]) -> dict[str, float]:
    """Fuse rankings of ids; return ids with their scores, best first, of equal scores the earlier first.

    The score of an id is the sum of ``1 / (60 + rank)`` over the rankings that have it.

    Cormack, Clarke & Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods",
    SIGIR 2009.

    Example:
        >>> list(reciprocal_rank_fusion([["a", "b"], ["b", "c"]]))
        ['b', 'a', 'c']
    """
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, document_id in enumerate(ranking, start=1):
            scores[document_id] = scores.get(document_id, 0.0) + 1 / (_RANK_CONSTANT + rank)
    return dict(sorted(scores.items(), key=lambda item: -item[1]))


def best_possible(rankings: int) -> float:
    """Return the score of a document that is first in every ranking."""
    return rankings / (_RANK_CONSTANT + 1)
