"""How often an interval covers the true mean, in 1,000 samples of values that measures of retrieval have.

`python -m benchmarks.intervals` prints the table.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.intervals import SHAPES, ours


@pytest.mark.parametrize("shape", ["MRR, high", "nDCG, low", "nDCG, 20% differ"])
def test_an_interval_covers_the_true_mean_in_95_of_100_samples(shape):
    covered, _ = ours(shape, queries=50, number=1000)
    assert 0.93 <= covered <= 0.97


@pytest.mark.slow
def test_the_coverage_of_every_shape():
    # (shapes, numbers of queries)
    covered = np.array([[ours(shape, queries)[0] for queries in (30, 50, 100, 400)] for shape in SHAPES])
    assert 0.945 <= covered.mean() <= 0.96
    assert covered[:, 3].min() >= 0.93
    assert np.mean((covered >= 0.93) & (covered <= 0.975)) >= 0.9
    # A proportion of few queries has few values, so no interval covers it equally often everywhere.
    assert covered.min() >= 0.87
