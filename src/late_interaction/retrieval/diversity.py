"""Maximal marginal relevance: hits that are relevant and unlike each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["diverse"]

_MAX_SAMPLE = 32  # tokens of a document from which its scale is estimated


class _Scale(NamedTuple):
    """The scale of similarity to one document, as mean MaxSim of its tokens.

    Attributes:
        null: What an unrelated document gets: similarity 0.
        identity: What the document itself gets: similarity 1.
    """

    null: float
    identity: float

    def __call__(self, mean: float) -> float:
        if self.identity <= self.null:
            return float(mean > self.null)
        return (mean - self.null) / (self.identity - self.null)


def diverse(
    relevances: Sequence[float],
    vectors: Sequence[NDArray[np.float32]],
    k: int,
    *,
    diversity: float = 0.5,
    null_score: Callable[[NDArray[np.float32]], float | None] | None = None,
) -> list[int]:
    """Choose k documents one after the other, each relevant and unlike those chosen before; return their positions.

    Carbonell & Goldstein, "The use of MMR, diversity-based reranking for reordering documents and producing summaries",
    SIGIR 1998. The similarity of two documents is on the scale of relevance: the mean of their MaxSim in both
    directions, 0 for unrelated documents and 1 for equal ones.

    Args:
        relevances: Of each document for the query, in [0, 1].
        vectors: Token vectors of each document, (tokens, dim).
        k: How many to choose.
        diversity: 0 counts relevance alone, 1 difference alone.
        null_score: Returns the MaxSim that an unrelated document gets for token vectors, (tokens, dim); None if it is
            not known. Without it, unrelated documents have a MaxSim of 0.

    Example:
        >>> east, north = np.array([[1.0, 0.0]], np.float32), np.array([[0.0, 1.0]], np.float32)
        >>> diverse([0.9, 0.9, 0.5], [east, east, north], k=2)
        [0, 2]
    """
    scales = [_scale(given, null_score) for given in vectors]
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
            found = _similarity(vectors[position], vectors[best], scales[position], scales[best])
            similarity[position] = max(similarity[position], found)
    return chosen


def _scale(vectors: NDArray[np.float32], null_score: Callable[[NDArray[np.float32]], float | None] | None) -> _Scale:
    if not len(vectors):
        return _Scale(0.0, 0.0)
    sample = vectors[:: -(-len(vectors) // _MAX_SAMPLE)]
    null = None if null_score is None else null_score(sample)
    identity = float(np.square(sample).sum())
    return _Scale(0.0 if null is None else null / len(sample), identity / len(sample))


def _similarity(one: NDArray[np.float32], other: NDArray[np.float32], scale: _Scale, other_scale: _Scale) -> float:
    if not len(one) or not len(other):
        return 0.0
    similarities = one @ other.T
    return (scale(float(similarities.max(axis=1).mean())) + other_scale(float(similarities.max(axis=0).mean()))) / 2
