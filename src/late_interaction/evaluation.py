"""Measures of a ranking against known relevant documents. Binary relevance; each is a mean over queries."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

__all__ = ["mean_over_queries", "ndcg", "recall", "reciprocal_rank"]


def ndcg(ranking: Sequence[str], relevant: Collection[str], k: int = 10) -> float:
    """Normalised discounted cumulative gain of the first k (Järvelin & Kekäläinen, 2002), in [0, 1].

    Example:
        >>> round(ndcg(["x", "a"], {"a"}), 4)
        0.6309
    """
    gain = sum(1 / math.log2(rank + 1) for rank, found in enumerate(_first(ranking, k), start=1) if found in relevant)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(relevant)) + 1))
    return gain / ideal if ideal else 0.0


def recall(ranking: Sequence[str], relevant: Collection[str], k: int = 10) -> float:
    """The part of the relevant documents that is among the first k."""
    return len(set(_first(ranking, k)) & set(relevant)) / len(relevant) if relevant else 0.0


def reciprocal_rank(ranking: Sequence[str], relevant: Collection[str], k: int = 10) -> float:
    """One over the rank of the first relevant document, or 0 if it is not among the first k."""
    return next((1 / rank for rank, found in enumerate(_first(ranking, k), start=1) if found in relevant), 0.0)


def mean_over_queries(
    measure: Callable[[Sequence[str], Collection[str], int], float],
    rankings: Sequence[Sequence[str]],
    relevant: Sequence[Collection[str]],
    k: int = 10,
) -> float:
    """The mean of a measure over queries, given each one's ranking and relevant documents."""
    values = [measure(ranking, wanted, k) for ranking, wanted in zip(rankings, relevant, strict=True)]
    return sum(values) / len(values) if values else 0.0


def _first(ranking: Sequence[str], k: int) -> list[str]:
    """The first k different documents: one that is named twice counts once."""
    return list(dict.fromkeys(ranking))[:k]
