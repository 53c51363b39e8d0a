"""Intervals: known cases, what few or equal values give, and arguments. `test_coverage` has what they are for."""

from __future__ import annotations

import numpy as np
import pytest

from late_interaction.errors import InvalidRequestError
from late_interaction.evaluation import Interval, bootstrap, paired


@pytest.mark.parametrize(("successes", "queries"), [(0, 30), (1, 30), (15, 30), (29, 30), (40, 50), (391, 400)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_zeros_and_ones_have_the_interval_of_jeffreys(successes, queries, confidence):
    stats = pytest.importorskip("scipy.stats")
    posterior = stats.beta(successes + 0.5, queries - successes + 0.5)
    interval = bootstrap([1.0] * successes + [0.0] * (queries - successes), confidence=confidence)
    assert interval.mean == pytest.approx(successes / queries)
    tolerance = 0.12 * posterior.std()  # of 10,000 resamples
    assert interval.low == pytest.approx(min(posterior.ppf((1 - confidence) / 2), interval.mean), abs=tolerance)
    assert interval.high == pytest.approx(max(posterior.ppf((1 + confidence) / 2), interval.mean), abs=tolerance)


def test_many_values_have_the_interval_of_a_normal_distribution():
    values = np.random.default_rng(0).beta(2, 3, 2000)
    interval = bootstrap(values)
    error = 1.96 * values.std() / len(values) ** 0.5
    assert interval.low == pytest.approx(values.mean() - error, abs=0.05 * error)
    assert interval.high == pytest.approx(values.mean() + error, abs=0.05 * error)


def test_a_paired_interval_is_smaller_than_one_of_independent_systems():
    draw = np.random.default_rng(0)
    values = draw.random(100)
    better = np.where(draw.random(100) < 0.2, np.minimum(values + 0.2, 1), values)
    difference, alone = paired(better, values), bootstrap(better)
    assert difference.mean == pytest.approx((better - values).mean())
    assert 0 < difference.low < difference.high
    assert difference.high - difference.low < (alone.high - alone.low) / 3


def test_swapping_the_systems_turns_the_interval_around():
    values, baseline = [1.0, 0.5, 0.0, 1.0] * 25, [0.5, 0.5, 0.0, 0.8] * 25
    there, back = paired(values, baseline), paired(baseline, values)
    assert there.mean == -back.mean
    assert there.low == pytest.approx(-back.high, abs=0.002)
    assert there.high == pytest.approx(-back.low, abs=0.002)


@pytest.mark.parametrize("queries", [1, 2, 3, 30])
@pytest.mark.parametrize("value", [0.0, 0.25, 1.0])
def test_equal_values_do_not_make_certain(value, queries):
    interval = bootstrap([value] * queries)
    assert interval.mean == pytest.approx(value)
    assert 0 <= interval.low <= interval.mean <= interval.high <= 1
    assert interval.high - interval.low > 0.5 / (queries + 1)
    assert 2 * interval.mean - 1 <= paired([value] * queries, [1 - value] * queries).mean + 1e-9


@pytest.mark.parametrize("queries", [1, 2, 50, 400])
def test_systems_that_never_differ(queries):
    interval = paired([0.5] * queries, [0.5] * queries)
    assert interval.mean == 0
    assert 0.5 / queries < interval.high <= 1
    assert interval.low == pytest.approx(-interval.high, rel=0.1)


def test_rounding_errors_of_measures_are_allowed():
    assert bootstrap([1 + 1e-9, 1.0]).high == 1
    assert bootstrap([0.0, -1e-9]).low == 0


def test_an_interval_depends_on_values_and_seed_alone():
    values = list(np.random.default_rng(3).random(60))
    first = bootstrap(values)
    bootstrap(values[:20])  # draws other weights meanwhile
    assert bootstrap(values) == first
    assert bootstrap(values, seed=1) != first
    assert bootstrap(values, seed=1).low == pytest.approx(first.low, abs=0.005)
    assert bootstrap(tuple(values)) == bootstrap(np.array(values)) == first


def test_weights_that_are_drawn_in_blocks(monkeypatch):
    values = list(np.random.default_rng(3).random(60))
    whole = bootstrap(values)
    monkeypatch.setattr("late_interaction.evaluation.statistics._BLOCK_WEIGHTS", 60 * 300)
    blocks = bootstrap(values)
    assert (blocks.low, blocks.high) == (pytest.approx(whole.low, abs=0.005), pytest.approx(whole.high, abs=0.005))


def test_a_wider_confidence_has_a_wider_interval():
    values = [0.0, 1.0, 0.5] * 10
    widths = [bootstrap(values, confidence=confidence) for confidence in (0.5, 0.9, 0.99)]
    assert widths[0].low > widths[1].low > widths[2].low
    assert widths[0].high < widths[1].high < widths[2].high


@pytest.mark.parametrize(
    "values", [[], [0.5, 1.5], [-0.1], [float("nan")], [float("inf")], ["x"], [[0.5]], 0.5, None], ids=repr
)
def test_values_that_are_refused(values):
    with pytest.raises(InvalidRequestError, match="values"):
        bootstrap(values)
    with pytest.raises(InvalidRequestError):
        paired(values, [0.5])


@pytest.mark.parametrize("confidence", [0, 1, 95, -0.5, "0.95", None, True, float("nan")])
def test_confidence_that_is_refused(confidence):
    with pytest.raises(InvalidRequestError, match="confidence"):
        bootstrap([0.5], confidence=confidence)


def test_systems_over_other_numbers_of_queries():
    with pytest.raises(InvalidRequestError, match="2 and 1"):
        paired([0.5, 1.0], [0.5])


def test_an_interval_is_a_value():
    assert Interval(0.5, 0.4, 0.6) == Interval(mean=0.5, low=0.4, high=0.6)
