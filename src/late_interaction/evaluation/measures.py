"""Measures of a ranking against judged documents, and their mean over queries."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from late_interaction.errors import InvalidRequestError
from late_interaction.validation import check_k, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from late_interaction.evaluation.dataset import JudgedQuery

    Relevant: TypeAlias = Collection[str] | Mapping[str, float]

__all__ = ["MEASURES", "Measure", "mean_over_queries", "ndcg", "recall", "reciprocal_rank", "success"]


def ndcg(ranking: Sequence[str], relevant: Relevant, k: int = 10) -> float:
    """Return the normalized discounted cumulative gain at k (Järvelin & Kekäläinen, 2002), in [0, 1].

    The gain of a document is its grade (linear, as in trec_eval and BEIR), and 0 for grades below 0.

    Args:
        ranking: Document ids, best first. A document that occurs twice counts where it occurs first.
        relevant: Grades by document id, or the ids of the relevant documents, whose grade is then 1.
        k: How many ids of the ranking count.

    Example:
        >>> round(ndcg(["x", "a"], {"a"}), 4)
        0.6309
        >>> round(ndcg(["b", "a"], {"a": 3, "b": 1}), 4)
        0.7967
    """
    grades = _positive(relevant)
    ideal = _discounted(sorted(grades.values(), reverse=True)[:k])
    return _discounted([grades.get(found, 0.0) for found in _first(ranking, k)]) / ideal if ideal else 0.0


def recall(ranking: Sequence[str], relevant: Relevant, k: int = 10) -> float:
    """Return the fraction of the relevant documents that are among the first k, in [0, 1]."""
    grades = _positive(relevant)
    return sum(found in grades for found in _first(ranking, k)) / len(grades) if grades else 0.0


def reciprocal_rank(ranking: Sequence[str], relevant: Relevant, k: int = 10) -> float:
    """Return one over the rank of the first relevant document, or 0 if none is among the first k."""
    grades = _positive(relevant)
    return next((1 / rank for rank, found in enumerate(_first(ranking, k), start=1) if found in grades), 0.0)


def success(ranking: Sequence[str], relevant: Relevant, k: int = 10) -> float:
    """Return 1 if a relevant document is among the first k, otherwise 0."""
    grades = _positive(relevant)
    return float(any(found in grades for found in _first(ranking, k)))


_FUNCTIONS: dict[str, Callable[[Sequence[str], Relevant, int], float]] = {
    "ndcg": ndcg,
    "recall": recall,
    "mrr": reciprocal_rank,
    "success": success,
}
_NAME = re.compile(r"([a-z]+)@([1-9][0-9]{0,8})")

MEASURES = ("ndcg@10", "recall@10", "recall@100", "mrr@10", "success@1")
"""The measures of a report, unless others are asked for."""


@dataclass(frozen=True)
class Measure:
    """A measure at a number of documents. Each is in [0, 1], and the mean over queries is what is reported.

    A query without relevant documents has the value 0, and so has one for which nothing was found.

    Attributes:
        name: ``ndcg`` (graded), ``recall``, ``mrr`` (its mean over queries is the mean reciprocal rank), ``success``.
        k: How many documents of a ranking count.

    Raises:
        InvalidRequestError: The name is unknown, or k is not a positive integer.

    Example:
        >>> measure = Measure.of("mrr@10")
        >>> str(measure), measure.of_ranking(["x", "a"], {"a": 1})
        ('mrr@10', 0.5)
    """

    name: str
    k: int

    def __post_init__(self) -> None:
        if self.name not in _FUNCTIONS:
            raise InvalidRequestError(
                f"Unknown measure {self.name!r}. Known are {', '.join(_FUNCTIONS)}, each with @ and a number, as in "
                f"'ndcg@10'.{did_you_mean(self.name, _FUNCTIONS)}"
            )
        check_k(self.k)

    @classmethod
    def of(cls, name: str | Measure) -> Measure:
        """Return the measure of a name such as ``ndcg@10``.

        Raises:
            InvalidRequestError: It is not the name of a measure.
        """
        if isinstance(name, Measure):
            return name
        parts = _NAME.fullmatch(name.strip().lower()) if isinstance(name, str) else None
        if parts is None:
            raise InvalidRequestError(
                f"A measure must be a name, @ and a positive number, such as 'ndcg@10', got {name!r:.80}. Known names "
                f"are {', '.join(_FUNCTIONS)}."
            )
        return cls(parts[1], int(parts[2]))

    def of_ranking(self, ranking: Sequence[str], relevant: Relevant) -> float:
        """Return the measure of one ranking, in [0, 1].

        Args:
            ranking: Document ids, best first. A document that occurs twice counts where it occurs first.
            relevant: Grades by document id, above 0 relevant; or the ids of the relevant documents.
        """
        return _FUNCTIONS[self.name](ranking, relevant, self.k)

    def of_run(self, rankings: Mapping[str, Sequence[str]], queries: Iterable[JudgedQuery]) -> list[float]:
        """Return the measure of each query, in order: 0 for a query without a ranking. Other rankings do not count.

        Args:
            rankings: Document ids for each query id, best first.
            queries: The judged queries.

        Example:
            >>> from late_interaction.evaluation import as_queries
            >>> queries = as_queries([{"query": "Seine", "relevant": "paris"}, {"query": "Tiber", "relevant": "rome"}])
            >>> Measure.of("success@1").of_run({"1": ["paris", "rome"], "3": ["oslo"]}, queries)
            [1.0, 0.0]
        """
        return [self.of_ranking(rankings.get(query.id, ()), query.relevant) for query in queries]

    def __str__(self) -> str:
        return f"{self.name}@{self.k}"


def mean_over_queries(
    measure: Callable[[Sequence[str], Relevant, int], float],
    rankings: Sequence[Sequence[str]],
    relevant: Sequence[Relevant],
    k: int = 10,
) -> float:
    """Return the mean of a measure over queries, or 0 if there are no queries.

    Args:
        measure: `ndcg`, `recall` or `reciprocal_rank`, for example.
        rankings: The ranked ids for each query, best first.
        relevant: The relevant ids for each query, or their grades, in the same order.
        k: How many ids of each ranking count.
    """
    values = [measure(ranking, wanted, k) for ranking, wanted in zip(rankings, relevant, strict=True)]
    return sum(values) / len(values) if values else 0.0


def _first(ranking: Sequence[str], k: int) -> list[str]:
    """Return the first k distinct ids; repeated ids count once."""
    return list(dict.fromkeys(ranking))[:k]


def _positive(relevant: Relevant) -> dict[str, float]:
    """Return the grades above 0; 1 for documents without grades."""
    if isinstance(relevant, Mapping):
        return {found: grade for found, grade in relevant.items() if grade > 0}
    return dict.fromkeys(relevant, 1.0)


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1) if gain)
