"""Relevance in [0, 1] for the score of each mode of search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from late_interaction.retrieval.fusion import best_possible

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LateRelevance", "fused_relevance", "lexical_relevance"]


_TOLERANCE = 1e-3  # stored vectors are rounded


@dataclass(frozen=True)
class LateRelevance:
    """The scale of relevance for MaxSim of one query.

    Attributes:
        null: The score that an unrelated document gets: relevance 0.
        identity: The score that the query itself would get as a document: relevance 1.
    """

    null: float
    identity: float

    @classmethod
    def of(cls, query_vectors: NDArray[np.float32], null: float | None) -> LateRelevance:
        """Return the scale of a query, (query tokens, dim), given its null score; None if that is not known."""
        dots = query_vectors @ query_vectors.T
        identity = float(dots.max(axis=1).sum()) if len(query_vectors) else 0.0
        return cls(0.0 if null is None else null, identity)

    def __call__(self, score: float) -> float:
        """Return the relevance for a score."""
        is_median = abs(self.identity - self.null) <= _TOLERANCE * self.identity  # the query is the median document
        if self.identity > 0 and is_median:
            return float(score >= self.identity * (1 - _TOLERANCE))
        if self.identity <= self.null:  # encoders whose document vectors are longer than query vectors
            return float(score > self.null)
        return min(1.0, max(0.0, (score - self.null) / (self.identity - self.null)))


def lexical_relevance(score: float, highest: float | None) -> float:
    """Return a BM25 score as a share of the highest score of the query, or as ``score / (1 + score)`` without one."""
    if highest is None or highest <= 0:
        return score / (1 + score)
    return min(1.0, score / highest)


def fused_relevance(score: float, rankings: int) -> float:
    """Return a sum of reciprocal ranks as a share of the greatest possible one."""
    return score / best_possible(rankings)
