"""Confidence intervals of means over queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Interval", "bootstrap", "paired"]

_RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """A mean over queries with its confidence interval.

    Attributes:
        mean: Of the queries.
        low: Lower bound.
        high: Upper bound.
    """

    mean: float
    low: float
    high: float


def bootstrap(values: Sequence[float], *, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Return the mean of a measure over queries, with its bootstrap interval.

    Args:
        values: One value for each query, in [0, 1].
        confidence: How often an interval made like this covers the true mean.
        seed: Of the resamples. The same seed and values give the same interval.

    Raises:
        InvalidRequestError: There are no values.
    """
    array = np.asarray(values, np.float64)
    if not array.size:
        raise InvalidRequestError("There are no values, so there is no interval.")
    draw = np.random.default_rng(seed)
    means = array[draw.integers(0, array.size, (_RESAMPLES, array.size))].mean(axis=1)
    low, high = np.quantile(means, ((1 - confidence) / 2, (1 + confidence) / 2))
    return Interval(float(array.mean()), float(low), float(high))


def paired(values: Sequence[float], baseline: Sequence[float], *, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Return the mean difference of two systems over the same queries, with its bootstrap interval.

    Args:
        values: One value for each query.
        baseline: The values of the baseline for the same queries, in the same order.
        confidence: As in `bootstrap`.
        seed: As in `bootstrap`.

    Raises:
        InvalidRequestError: There are no values, or not as many of each.
    """
    if len(values) != len(baseline):
        raise InvalidRequestError(f"Both must have a value for each query, got {len(values)} and {len(baseline)}.")
    return bootstrap(np.subtract(values, baseline), confidence=confidence, seed=seed)  # type: ignore[arg-type]
