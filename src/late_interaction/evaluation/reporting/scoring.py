"""The measures of systems on the same queries, with intervals, and paired with a baseline."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.errors import InvalidRequestError
from late_interaction.evaluation.statistics import bootstrap, paired
from late_interaction.validation import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from late_interaction.evaluation.dataset import JudgedQuery
    from late_interaction.evaluation.measures import Measure
    from late_interaction.evaluation.results import SystemResult
    from late_interaction.evaluation.statistics import Interval

__all__ = ["JUDGED_DEPTH", "ScoredSystem", "chosen_baseline", "judged_queries", "label_of", "score"]

JUDGED_DEPTH = 10
"""How many documents of a ranking are looked at to find those without a judgment."""

_LABELS = {"ndcg": "nDCG", "recall": "Recall", "mrr": "MRR", "success": "Success"}
_PREFERRED_BASELINES = ("single-vector", "lexical")  # kinds of systems


@dataclass(frozen=True)
class ScoredSystem:
    """A system with its measures. Names of measures are such as ``ndcg@10``.

    Attributes:
        result: Its rankings and its cost.
        values: By measure: the value of each query, (queries,) float64, in the order of `Report.queries`.
        intervals: By measure: the mean over queries with its interval.
        differences: By measure: the mean difference to the baseline with its interval; empty for the baseline itself.
        median_milliseconds: Of a query; None if the times are not known.
        p90_milliseconds: The time that nine of ten queries do not exceed; None if the times are not known.
        unjudged: Share of the first 10 documents of the rankings that have no judgment.
        not_asked: Number of queries without a ranking. Their measures are 0.
    """

    result: SystemResult
    values: Mapping[str, NDArray[np.float64]]
    intervals: Mapping[str, Interval]
    differences: Mapping[str, Interval]
    median_milliseconds: float | None
    p90_milliseconds: float | None
    unjudged: float
    not_asked: int

    @property
    def name(self) -> str:
        """Its name in the report."""
        return self.result.name

    @property
    def kind(self) -> str:
        """What kind of system it is, for example ``late`` or ``lexical``."""
        return str(self.result.settings.get("kind", ""))

    @property
    def bytes_per_document(self) -> float | None:
        """What must be stored to search; None if it is not known."""
        return self.result.bytes_per_document


def label_of(measure: str) -> str:
    """Return how a measure is written.

    Example:
        >>> label_of("ndcg@10")
        'nDCG@10'
    """
    name, _, k = measure.partition("@")
    return f"{_LABELS.get(name, name)}@{k}"


def judged_queries(queries: Sequence[JudgedQuery]) -> list[JudgedQuery]:
    """Return the queries that have a relevant document; without one, measures have no meaning.

    Raises:
        InvalidRequestError: There is none, or two have the same id.
    """
    judged = [query for query in queries if any(grade > 0 for grade in query.relevant.values())]
    if not judged:
        raise InvalidRequestError(
            f"None of the {len(queries):,} queries has a relevant document, so nothing can be measured. Give judgments "
            "with a grade above 0."
        )
    if len({query.id for query in judged}) < len(judged):
        ids = [query.id for query in judged]
        repeated = next(one for one in ids if ids.count(one) > 1)
        raise InvalidRequestError(f"Two queries have the id {repeated!r}. Ids of queries must differ.")
    return judged


def chosen_baseline(results: Sequence[SystemResult], name: str | None) -> str:
    """Return the name of the baseline: by default a single-vector model if there is one, else lexical, else the first.

    Raises:
        InvalidRequestError: There are no systems, two have the same name, or none has the name of the baseline.
    """
    names = [result.name for result in results]
    if not names:
        raise InvalidRequestError("There are no systems to report on. Give at least one.")
    if repeated := [one for one in names if names.count(one) > 1]:
        raise InvalidRequestError(f"Two systems have the name {repeated[0]!r}. Names of systems must differ.")
    if name is not None:
        if name not in names:
            raise InvalidRequestError(
                f"The baseline must be one of {', '.join(map(repr, names))}, got {name!r}.{did_you_mean(name, names)}"
            )
        return name
    for kind in _PREFERRED_BASELINES:
        for result in results:
            if result.settings.get("kind") == kind:
                return result.name
    return names[0]


def score(
    results: Sequence[SystemResult], queries: Sequence[JudgedQuery], measures: Sequence[Measure], baseline: str
) -> tuple[ScoredSystem, ...]:
    """Return the systems with their measures, in the given order.

    Args:
        results: The systems.
        queries: The queries, each with a relevant document. A system without a ranking for one gets 0 for it, so that
            all systems are compared on the same queries.
        measures: What is measured.
        baseline: The name of one of the systems.
    """
    values = {result.name: _values(result, queries, measures) for result in results}
    return tuple(_scored(result, queries, values[result.name], values[baseline]) for result in results)


def _scored(
    result: SystemResult,
    queries: Sequence[JudgedQuery],
    values: Mapping[str, NDArray[np.float64]],
    baseline: Mapping[str, NDArray[np.float64]],
) -> ScoredSystem:
    compared = {} if values is baseline else baseline
    times = sorted(result.milliseconds)
    return ScoredSystem(
        result=result,
        values=values,
        intervals={name: bootstrap(of_queries.tolist()) for name, of_queries in values.items()},
        differences={name: paired(values[name].tolist(), of_queries.tolist()) for name, of_queries in compared.items()},
        median_milliseconds=median(times) if times else None,
        p90_milliseconds=times[math.ceil(0.9 * len(times)) - 1] if times else None,
        unjudged=_unjudged(result, queries),
        not_asked=sum(query.id not in result.rankings for query in queries),
    )


def _values(
    result: SystemResult, queries: Sequence[JudgedQuery], measures: Sequence[Measure]
) -> dict[str, NDArray[np.float64]]:
    rankings = [result.rankings.get(query.id, ()) for query in queries]
    return {
        f"{measure.name}@{measure.k}": np.array(
            [measure.of_ranking(ranking, query.relevant) for ranking, query in zip(rankings, queries, strict=True)]
        )
        for measure in measures
    }


def _unjudged(result: SystemResult, queries: Sequence[JudgedQuery]) -> float:
    found = [
        document in query.relevant
        for query in queries
        for document in list(result.rankings.get(query.id, ()))[:JUDGED_DEPTH]
    ]
    return 1 - sum(found) / len(found) if found else 0.0
