"""Intervals of means over queries, by the bootstrap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Interval", "bootstrap", "paired"]


@dataclass(frozen=True)
class Interval:
    """A mean with the limits of its interval."""

    mean: float
    low: float
    high: float


def bootstrap(values: Sequence[float], *, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Return the mean of the values with its interval."""
    array = np.asarray(values, float)
    drawn = np.random.default_rng(seed).integers(len(array), size=(1000, len(array)))
    low, high = np.quantile(array[drawn].mean(axis=1), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(array.mean()), float(low), float(high))


def paired(values: Sequence[float], baseline: Sequence[float], *, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Return the mean difference with its interval."""
    return bootstrap(np.subtract(values, baseline).tolist(), confidence=confidence, seed=seed)
