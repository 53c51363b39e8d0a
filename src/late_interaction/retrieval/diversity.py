"""Maximal marginal relevance: hits that are relevant and unlike each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["diverse"]


def diverse(
    relevances: Sequence[float], vectors: Sequence[NDArray[np.float32]], k: int, *, diversity: float = 0.5
) -> list[int]:
    """Choose k documents one after the other, each relevant and unlike those chosen before; return their positions.

    Carbonell & Goldstein, "The use of MMR, diversity-based reranking for reordering documents and producing summaries",
    SIGIR 1998; the similarity of two documents is the mean of their MaxSim in both directions, per token.

    Args:
        relevances: Of each document for the query, in [0, 1].
        vectors: Token vectors of each document, (tokens, dim).
        k: How many to choose.
        diversity: 0 counts relevance alone, 1 difference alone.

    Example:
        >>> east, north = np.array([[1.0, 0.0]], np.float32), np.array([[0.0, 1.0]], np.float32)
        >>> diverse([0.9, 0.9, 0.5], [east, east, north], k=2)
        [0, 2]
    """
    remaining = list(range(len(relevances)))
    similarity = np.full(len(relevances), -np.inf)  # to the most similar of the chosen
    chosen: list[int] = []
    while remaining and len(chosen) < k:
        penalties = np.maximum(similarity, 0) if chosen else np.zeros(len(relevances))
        gains = (1 - diversity) * np.asarray(relevances) - diversity * penalties
        best = max(remaining, key=lambda position: float(gains[position]))
        remaining.remove(best)
        chosen.append(best)
        for position in remaining:
            similarity[position] = max(similarity[position], _similarity(vectors[position], vectors[best]))
    return chosen


def _similarity(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    if not len(one) or not len(other):
        return 0.0
    similarities = one @ other.T
    return float(similarities.max(axis=0).mean() + similarities.max(axis=1).mean()) / 2
