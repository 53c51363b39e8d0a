"""Measures of a ranking against known relevant documents (binary relevance), and their mean over queries."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

__all__ = ["mean_over_queries", "ndcg", "recall", "reciprocal_rank"]


def ndcg(ranking: Sequence[str], relevant: Collection[str], k: int = 10) -> float:
    """Return the normalized discounted cumulative gain at k (Järvelin & Kekäläinen, 2002), in [0, 1].

    Example:
        >>> round(ndcg(["x", "a"], {"a"}), 4)
        0.6309
    """
    gain = sum(1 / math.log2(rank + 1) for rank, found in enumerate(_first(ranking, k), start=1) if found in relevant)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(relevant)) + 1))
    return gain / ideal if ideal else 0.0


def recall(ranking: Sequence[str], relevant: Collection[str], k: int = 10) -> float:
    """Return the fraction of the relevant documents that are among the first k, in [0, 1]."""
    return len(set(_first(ranking, k)) & set(relevant)) / len(relevant) if relevant else 0.0


def reciprocal_rank(ranking: Sequence[str], relevant: Collection[str], k: int = 10) -> float:
    """Return one over the rank of the first relevant document, or 0 if none is among the first k."""
    return next((1 / rank for rank, found in enumerate(_first(ranking, k), start=1) if found in relevant), 0.0)


def mean_over_queries(
    measure: Callable[[Sequence[str], Collection[str], int], float],
    rankings: Sequence[Sequence[str]],
    relevant: Sequence[Collection[str]],
    k: int = 10,
) -> float:
    """Return the mean of a measure over queries, or 0 if there are no queries.

    Args:
        measure: `ndcg`, `recall` or `reciprocal_rank`, for example.
        rankings: The ranked ids for each query, best first.
        relevant: The relevant ids for each query, in the same order.
        k: How many ids of each ranking count.
    """
    values = [measure(ranking, wanted, k) for ranking, wanted in zip(rankings, relevant, strict=True)]
    return sum(values) / len(values) if values else 0.0


def _first(ranking: Sequence[str], k: int) -> list[str]:
    """Return the first k distinct ids; repeated ids count once."""
    return list(dict.fromkeys(ranking))[:k]


@dataclass(frozen=True)
class Measure:
    """A measure of a ranking, at a depth."""

    name: str
    k: int

    @classmethod
    def of(cls, text: str) -> Measure:
        """Return the measure that a text such as ``ndcg@10`` names."""
        name, _, k = text.partition("@")
        return cls(name, int(k))

    def of_ranking(self, ranking: Sequence[str], relevant: Mapping[str, float]) -> float:
        """Return the measure of a ranking."""
        wanted = {found for found, grade in relevant.items() if grade > 0}
        if self.name == "success":
            return float(bool(set(_first(ranking, self.k)) & wanted))
        return {"ndcg": ndcg, "recall": recall, "mrr": reciprocal_rank}[self.name](ranking, wanted, self.k)


MEASURES = ("ndcg@10", "recall@10", "recall@100", "mrr@10", "success@1")
