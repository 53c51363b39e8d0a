"""How often confidence intervals cover the true mean, in samples of values that measures of retrieval have.

    python -m benchmarks.intervals [--samples 1000] [--queries 30 50 100 400]

A sample is one value for each query: zeros, ones and values between, as nDCG, recall and reciprocal ranks have, or
differences of two systems, most of which are 0. The true mean is known, because the distribution is. Columns are
percentages of samples whose 95% interval covers it:

- "ours": `late_interaction.evaluation.bootstrap`, and `paired` for differences;
- "percentile": quantiles of the means of resamples with replacement;
- "BCa": the same with other quantiles, corrected for bias and skewness (Efron, 1987);
- "studentized": quantiles of the t statistic of resamples, within the range of the values;
- "t": Student's interval, without a bootstrap.

The last columns are mean widths. Of few queries, a proportion near 0 or 1 has so few values that no interval covers it
in exactly 95%.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.measure import save, table
from late_interaction.evaluation import bootstrap, paired

if TYPE_CHECKING:
    from collections.abc import Callable

    Sampler = Callable[[np.random.Generator, int], np.ndarray]

RESAMPLES = 2000
NORMAL = NormalDist()


def main() -> None:
    """Print the table."""
    options = _options()
    rows = []
    for queries in options.queries:
        for shape in SHAPES:
            print(f"… {queries} queries, {shape}", file=sys.stderr, flush=True)
            found = others(shape, queries, options.samples)
            found = {"ours": ours(shape, queries, options.samples), **found}
            rows.append(
                {"queries": queries, "values": shape}
                | {name: f"{100 * covered:.1f}" for name, (covered, _) in found.items()}
                | {f"width, {name}": round(found[name][1], 3) for name in ("ours", "percentile", "t")}
            )
    print(table(rows))
    save(options.json, rows)


def discrete(chances: dict[float, float]) -> tuple[Sampler, float]:
    """Return a sampler of values with these probabilities, and its true mean."""
    numbers, weights = np.array(list(chances)), np.array(list(chances.values()))
    return lambda draw, queries: draw.choice(numbers, queries, p=weights), float(numbers @ weights)


def mixed(zeros: float, ones: float, a: float, b: float) -> tuple[Sampler, float]:
    """Return a sampler of zeros, ones and, between them, a beta distribution; and its true mean."""

    def sample(draw: np.random.Generator, queries: int) -> np.ndarray:
        place, between = draw.random(queries), draw.beta(a, b, queries)
        return np.where(place < zeros, 0, np.where(place < zeros + ones, 1, between))

    return sample, ones + (1 - zeros - ones) * a / (a + b)


# A single relevant document at rank r has the reciprocal rank 1/r and the nDCG 1/log2(1 + r): 1, .63, .5, .43, …
MEASURES = {
    "success, 50%": discrete({0: 0.5, 1: 0.5}),
    "success, 80%": discrete({0: 0.2, 1: 0.8}),
    "success, 90%": discrete({0: 0.1, 1: 0.9}),
    "success, 95%": discrete({0: 0.05, 1: 0.95}),
    "MRR, high": discrete({1: 0.6, 1 / 2: 0.12, 1 / 3: 0.06, 1 / 4: 0.04, 1 / 6: 0.04, 1 / 9: 0.03, 0: 0.11}),
    "MRR, low": discrete({1: 0.1, 1 / 2: 0.05, 1 / 3: 0.03, 1 / 5: 0.05, 1 / 10: 0.02, 0: 0.75}),
    "nDCG, middle": mixed(0.2, 0.3, 3, 2),
    "nDCG, low": mixed(0.6, 0.1, 2, 3),
    "nDCG, many relevant": mixed(0.02, 0.02, 3, 3),
    "recall, high": mixed(0.02, 0.8, 4, 2),
    "recall, nearly all": mixed(0.01, 0.9, 4, 1),
}
DIFFERENCES = {
    "success, 10% differ": discrete({-1: 0.03, 0: 0.9, 1: 0.07}),
    "success, 20% differ": discrete({-1: 0.08, 0: 0.8, 1: 0.12}),
    "MRR, 30% differ": discrete({-0.67: 0.02, -0.5: 0.05, -0.17: 0.03, 0: 0.7, 0.17: 0.04, 0.5: 0.11, 0.9: 0.05}),
    "nDCG, 20% differ": discrete(
        {-0.63: 0.005, -0.37: 0.03, -0.13: 0.035, 0: 0.8, 0.05: 0.02, 0.13: 0.035, 0.37: 0.05, 0.63: 0.02, 1: 0.005}
    ),
    "nDCG, 10% differ": discrete(
        {-0.63: 0.003, -0.37: 0.015, -0.13: 0.012, 0: 0.9, 0.05: 0.01, 0.13: 0.02, 0.37: 0.028, 0.63: 0.009, 1: 0.003}
    ),
}
SHAPES = {**MEASURES, **DIFFERENCES}


def samples(shape: str, queries: int, number: int) -> tuple[np.ndarray, float]:
    """Return samples of a shape, (samples, queries), and the true mean."""
    sample, true = SHAPES[shape]
    draw = np.random.default_rng(1)
    return np.array([sample(draw, queries) for _ in range(number)]), true


def ours(shape: str, queries: int, number: int = 1000) -> tuple[float, float]:
    """Return the fraction of samples whose interval covers the true mean, and the mean width of the intervals."""
    values, true = samples(shape, queries, number)
    intervals = [
        paired(np.maximum(row, 0), np.maximum(-row, 0)) if shape in DIFFERENCES else bootstrap(row) for row in values
    ]
    bounds = np.array([(interval.low, interval.high) for interval in intervals])
    return _covered(bounds, true)


def others(shape: str, queries: int, number: int) -> dict[str, tuple[float, float]]:
    """Return the same of other intervals."""
    values, true = samples(shape, queries, number)
    counts = np.random.default_rng(2).multinomial(queries, np.full(queries, 1 / queries), RESAMPLES).astype(float)
    bounds: dict[str, list[tuple[float, float]]] = {name: [] for name in ("percentile", "BCa", "studentized", "t")}
    ends = (-1.0 if shape in DIFFERENCES else 0.0, 1.0)
    for row in values:
        means = counts @ row / queries
        deviations = np.sqrt(np.maximum(counts @ row**2 / queries - means**2, 0))
        bounds["percentile"].append(tuple(np.quantile(means, (0.025, 0.975))))
        bounds["BCa"].append(_bca(row, means))
        bounds["studentized"].append(_studentized(row, means, deviations, ends))
        bounds["t"].append(_student(row))
    return {name: _covered(np.array(found), true) for name, found in bounds.items()}


def _covered(bounds: np.ndarray, true: float) -> tuple[float, float]:
    rounding = 1e-9
    inside = (bounds[:, 0] <= true + rounding) & (true - rounding <= bounds[:, 1])
    return float(inside.mean()), float(np.diff(bounds).mean())


def _bca(row: np.ndarray, means: np.ndarray) -> tuple[float, float]:
    centered = row - row.mean()
    spread = (centered**2).sum()
    if not spread:
        return row[0], row[0]
    skewness = (centered**3).sum() / (6 * spread**1.5)
    ties = np.isclose(means, row.mean())
    below = ((means < row.mean()) & ~ties).mean() + ties.mean() / 2
    bias = NORMAL.inv_cdf(min(max(below, 1 / len(means)), 1 - 1 / len(means)))
    places = [bias + (bias + z) / (1 - skewness * (bias + z)) for z in (-1.96, 1.96)]
    low, high = np.quantile(means, [NORMAL.cdf(place) for place in places])
    return low, high


def _studentized(
    row: np.ndarray, means: np.ndarray, deviations: np.ndarray, ends: tuple[float, float]
) -> tuple[float, float]:
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.nan_to_num((means - row.mean()) / deviations, nan=0.0, posinf=np.inf, neginf=-np.inf)
    low, high = np.quantile(scores, (0.025, 0.975), method="nearest")
    spread = row.std()
    if not spread:
        return row[0], row[0]
    return max(row.mean() - high * spread, ends[0]), min(row.mean() - low * spread, ends[1])


def _student(row: np.ndarray) -> tuple[float, float]:
    # The quantile of Student's distribution by its expansion (Cornish & Fisher), exact to .001 from 30 on.
    z, freedom = 1.959964, len(row) - 1
    quantile = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    error = quantile * row.std(ddof=1) / math.sqrt(len(row))
    return row.mean() - error, row.mean() + error


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.intervals",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--queries", type=int, nargs="*", default=[30, 50, 100, 400])
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="also write the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
