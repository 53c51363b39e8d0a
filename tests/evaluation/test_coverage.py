"""How often an interval covers the true mean, in 1,000 samples of values that measures of retrieval have.

The slow test prints a table: the coverage in percent of every shape and number of queries.
"""

from __future__ import annotations

import numpy as np
import pytest

from late_interaction.evaluation import bootstrap, paired

SAMPLES = 1000


def discrete(values):
    """Return a sampler of values with their probabilities, and the true mean."""
    numbers, chances = np.array(list(values)), np.array(list(values.values()))
    assert chances.sum() == pytest.approx(1)
    return lambda draw, queries: draw.choice(numbers, queries, p=chances), float(numbers @ chances)


def mixed(zeros, ones, a, b):
    """Return a sampler of zeros, ones and, between them, a beta distribution; and the true mean."""

    def sample(draw, queries):
        place, between = draw.random(queries), draw.beta(a, b, queries)
        return np.where(place < zeros, 0, np.where(place < zeros + ones, 1, between))

    return sample, ones + (1 - zeros - ones) * a / (a + b)


# By the measure that has such values. A single relevant document at rank r has the reciprocal rank 1/r, and nDCG
# 1/log2(1 + r), which is 1, .63, .5, .43, …; differences of two systems are differences of these.
MEASURES = {
    "success, half": discrete({0: 0.5, 1: 0.5}),
    "success, 80%": discrete({0: 0.2, 1: 0.8}),
    "success, 90%": discrete({0: 0.1, 1: 0.9}),
    "success, 95%": discrete({0: 0.05, 1: 0.95}),
    "mrr, high": discrete({1: 0.6, 1 / 2: 0.12, 1 / 3: 0.06, 1 / 4: 0.04, 1 / 6: 0.04, 1 / 9: 0.03, 0: 0.11}),
    "mrr, low": discrete({1: 0.1, 1 / 2: 0.05, 1 / 3: 0.03, 1 / 5: 0.05, 1 / 10: 0.02, 0: 0.75}),
    "ndcg, middle": mixed(0.2, 0.3, 3, 2),
    "ndcg, low": mixed(0.6, 0.1, 2, 3),
    "ndcg, many relevant": mixed(0.02, 0.02, 3, 3),
    "recall, high": mixed(0.02, 0.8, 4, 2),
    "recall, nearly all": mixed(0.01, 0.9, 4, 1),
}
DIFFERENCES = {
    "success, 10% differ": discrete({-1: 0.03, 0: 0.9, 1: 0.07}),
    "success, 20% differ": discrete({-1: 0.08, 0: 0.8, 1: 0.12}),
    "mrr, 30% differ": discrete(
        {-2 / 3: 0.02, -1 / 2: 0.05, -1 / 6: 0.03, 0: 0.7, 1 / 6: 0.04, 1 / 2: 0.11, 0.9: 0.05}
    ),
    "ndcg, 20% differ": discrete(
        {
            -0.63: 0.005,
            -0.37: 0.03,
            -0.13: 0.025,
            -0.05: 0.01,
            0: 0.8,
            0.05: 0.02,
            0.13: 0.035,
            0.37: 0.05,
            0.63: 0.02,
            1: 0.005,
        }
    ),
    "ndcg, 10% differ": discrete(
        {-0.63: 0.003, -0.37: 0.015, -0.13: 0.012, 0: 0.9, 0.05: 0.01, 0.13: 0.02, 0.37: 0.028, 0.63: 0.009, 1: 0.003}
    ),
}


def coverage(shape, queries, samples=SAMPLES):
    """Return the fraction of samples whose interval covers the true mean."""
    sample, true = {**MEASURES, **DIFFERENCES}[shape]
    draw = np.random.default_rng(1)
    covered = 0
    for _ in range(samples):
        values = sample(draw, queries)
        interval = paired(np.maximum(values, 0), np.maximum(-values, 0)) if shape in DIFFERENCES else bootstrap(values)
        covered += interval.low <= true <= interval.high
    return covered / samples


@pytest.mark.parametrize("shape", ["mrr, high", "ndcg, low", "ndcg, 20% differ"])
def test_an_interval_covers_the_true_mean_in_95_of_100_samples(shape):
    assert 0.93 <= coverage(shape, 50) <= 0.97


@pytest.mark.slow
def test_the_coverage_of_every_shape(capsys):
    rows = {shape: [coverage(shape, queries) for queries in (30, 50, 100, 400)] for shape in (*MEASURES, *DIFFERENCES)}
    with capsys.disabled():
        for _shape, _row in rows.items():
            pass
    everything = np.array(list(rows.values()))
    assert 0.945 <= everything.mean() <= 0.96
    # A proportion of few queries has few values, so no interval covers it equally often everywhere.
    assert everything.min() >= 0.87
    assert everything[:, 3].min() >= 0.93
    assert np.mean((everything >= 0.93) & (everything <= 0.975)) >= 0.9
