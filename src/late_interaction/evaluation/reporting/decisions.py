"""What paired differences show: which system is better, which cheaper one suffices, and how many queries would tell.

A claim is made only if the whole 95 % interval of the paired difference supports it, never because of a mean alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.evaluation.statistics import paired

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from late_interaction.evaluation.reporting.scoring import ScoredSystem
    from late_interaction.evaluation.statistics import Interval

__all__ = ["MIN_QUERIES", "Choice", "Comparison", "Verdict", "best_of", "choose", "compare"]

MIN_QUERIES = 30
"""With fewer queries nothing is claimed: intervals of so few values are too narrow, and equal values have none."""

_TOLERANCE = 1e-9  # of sums of floats
_DETECTED = 1.96 + 0.84  # standard errors: an interval of 95 %, found in 80 % of samples (Cohen, 1988)


class Verdict(Enum):
    """What is known of a difference."""

    BETTER = "better"
    WORSE = "worse"
    EQUAL = "equal"  # apart from what may be lost
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Comparison:
    """A system compared with another one over the same queries.

    Attributes:
        system: The system.
        other: The other one.
        difference: The mean difference with its interval; positive if the system is better.
        verdict: What that shows. Equal means that the whole interval is within the loss on both sides.
        is_within_loss: Whether the whole interval is above minus the loss.
        needed: About how many queries would give a verdict in four of five samples, if the difference and its spread
            are as observed; None if there is one, or if there is only one query.
        needed_within_loss: The same for being within the loss; None also if the mean is not within the loss.
    """

    system: ScoredSystem
    other: ScoredSystem
    difference: Interval
    verdict: Verdict
    is_within_loss: bool
    needed: int | None
    needed_within_loss: int | None


@dataclass(frozen=True)
class Choice:
    """The cheapest system that suffices, by one cost.

    Attributes:
        best: The system of the highest mean.
        chosen: The cheapest system that is shown to be within the loss of the best; None if no system that suffices
            has a known cost.
        cheaper: The cheapest system whose mean is within the loss, but whose interval is not; None if there is none
            that is cheaper than the chosen one.
    """

    best: ScoredSystem
    chosen: Comparison | None
    cheaper: Comparison | None


def best_of(systems: Sequence[ScoredSystem], measure: str) -> ScoredSystem:
    """Return the system of the highest mean; the first of equal ones."""
    return max(systems, key=lambda system: system.intervals[measure].mean)


def choose(
    systems: Sequence[ScoredSystem], measure: str, loss: float, cost: Callable[[ScoredSystem], float | None]
) -> Choice:
    """Return the cheapest system whose measure is within the loss of the best.

    Args:
        systems: At least one.
        measure: The name of the measure.
        loss: What may be lost of it.
        cost: Returns what a system costs; None if that is not known. Such a system is never chosen.
    """
    best = best_of(systems, measure)
    priced = [(price, one) for one in systems if (price := cost(one)) is not None]
    priced.sort(key=lambda pair: (pair[0], -pair[1].intervals[measure].mean))
    cheaper = None
    for _, system in priced:
        compared = compare(system, best, measure, loss)
        if compared.is_within_loss:
            return Choice(best, compared, cheaper)
        if cheaper is None and compared.difference.mean > -loss:
            cheaper = compared
    return Choice(best, None, cheaper)


def compare(system: ScoredSystem, other: ScoredSystem, measure: str, loss: float) -> Comparison:
    """Compare two systems over the same queries.

    Args:
        system: The system.
        other: The other one, or the same.
        measure: The name of the measure.
        loss: Differences up to this do not matter.
    """
    values, others = system.values[measure], other.values[measure]
    difference = paired(values.tolist(), others.tolist())
    verdict, is_within = Verdict.UNKNOWN, system is other
    if len(values) >= MIN_QUERIES:
        verdict = _verdict(difference, loss)
        is_within = is_within or difference.low >= -loss - _TOLERANCE
    distance = abs(difference.mean)
    return Comparison(
        system,
        other,
        difference,
        verdict,
        is_within,
        needed=_needed(values - others, max(distance, loss - distance)) if verdict is Verdict.UNKNOWN else None,
        needed_within_loss=None if is_within else _needed(values - others, difference.mean + loss),
    )


def _verdict(difference: Interval, loss: float) -> Verdict:
    if difference.low >= -loss - _TOLERANCE and difference.high <= loss + _TOLERANCE:
        return Verdict.EQUAL
    if difference.low > _TOLERANCE:
        return Verdict.BETTER
    if difference.high < -_TOLERANCE:
        return Verdict.WORSE
    return Verdict.UNKNOWN


def _needed(differences: np.typing.NDArray[np.float64], margin: float) -> int | None:
    """Return how many queries show that a mean is beyond a bound, from which it is ``margin`` away.

    The variance of the mean is that of `paired`: of the queries, and of one that was not seen, with the largest
    difference.
    """
    if len(differences) < 2 or margin <= _TOLERANCE:
        return None
    variance = float(np.var(differences, ddof=1))
    unseen = float(np.square(differences).max()) or 1.0
    needed = (_DETECTED / margin) ** 2 * variance  # solves _DETECTED² (variance / n + unseen / n²) = margin²
    needed = (needed + math.sqrt(needed**2 + 4 * unseen * (_DETECTED / margin) ** 2)) / 2
    return max(math.ceil(needed), len(differences) + 1, MIN_QUERIES)
