"""Measures, against numbers computed by hand and against scikit-learn."""

from __future__ import annotations

import random

import pytest

from late_interaction.errors import InvalidRequestError
from late_interaction.evaluation import (
    MEASURES,
    JudgedQuery,
    Measure,
    mean_over_queries,
    ndcg,
    recall,
    reciprocal_rank,
    success,
)

RANKING = ["a", "x", "b", "y", "c"]


@pytest.mark.parametrize(
    ("ranking", "relevant", "k", "expected"),
    [
        (RANKING, {"a"}, 10, 1.0),
        (RANKING, {"x"}, 10, 0.630929753571),  # 1 / log2(3)
        (RANKING, {"a", "b"}, 10, 0.919720789148),  # (1 + 1/2) / (1 + 1/log2(3))
        (RANKING, {"a", "b", "c"}, 10, 0.885460220030),  # (1 + 1/2 + 1/log2(6)) / (1 + 1/log2(3) + 1/2)
        (RANKING, {"a", "b", "c"}, 3, 0.703918089034),  # (1 + 1/2) / (1 + 1/log2(3) + 1/2)
        (RANKING, {"a", "b", "c"}, 2, 0.613147192765),  # 1 / (1 + 1/log2(3))
        (RANKING, {"c"}, 4, 0.0),
        (RANKING, {"z"}, 10, 0.0),
        (RANKING, set(), 10, 0.0),
        ([], {"a"}, 10, 0.0),
    ],
)
def test_ndcg(ranking, relevant, k, expected):
    assert ndcg(ranking, relevant, k) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("relevant", "k", "expected"),
    [
        ({"a"}, 1, 1),
        ({"a", "b", "c", "z"}, 10, 3 / 4),
        ({"a", "b", "c", "z"}, 3, 2 / 4),
        ({"a", "b", "c", "z"}, 1, 1 / 4),
        ({"z"}, 10, 0),
        (set(), 10, 0),
    ],
)
def test_recall(relevant, k, expected):
    assert recall(RANKING, relevant, k) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("relevant", "k", "expected"),
    [({"a", "b"}, 10, 1), ({"b", "c"}, 10, 1 / 3), ({"c"}, 5, 1 / 5), ({"c"}, 4, 0), ({"z"}, 10, 0), (set(), 10, 0)],
)
def test_reciprocal_rank(relevant, k, expected):
    assert reciprocal_rank(RANKING, relevant, k) == pytest.approx(expected)


def test_mean_over_queries():
    rankings = [RANKING, RANKING, []]
    relevant = [{"a"}, {"b"}, {"a"}]
    assert mean_over_queries(reciprocal_rank, rankings, relevant) == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert mean_over_queries(recall, rankings, relevant, 1) == pytest.approx(1 / 3)
    assert mean_over_queries(ndcg, rankings, relevant, 3) == pytest.approx((1 + 0.5 + 0) / 3)
    assert mean_over_queries(ndcg, [], []) == 0
    with pytest.raises(ValueError, match="shorter"):
        mean_over_queries(ndcg, [RANKING], [])


def test_a_document_found_twice_counts_once():
    assert ndcg(["a", "a"], {"a"}) == pytest.approx(1)
    assert ndcg(["x", "a", "a", "b"], {"a", "b"}) <= 1
    assert recall(["a", "a"], {"a", "b"}) == pytest.approx(1 / 2)


def test_ndcg_agrees_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    draw = random.Random(0)
    for _ in range(30):
        ranking = draw.sample([f"d{number}" for number in range(20)], k=20)
        relevant = set(draw.sample(ranking, k=draw.randint(1, 8)))
        k = draw.randint(1, 20)
        gains = [[float(found in relevant) for found in ranking]]
        expected = metrics.ndcg_score(gains, [list(range(20, 0, -1))], k=k)
        assert ndcg(ranking, relevant, k) == pytest.approx(expected)


def test_grades_are_gains():
    grades = {"a": 1, "x": 3, "b": 0, "c": -2}
    assert ndcg(RANKING, grades) == pytest.approx((1 + 3 / 1.584962500721) / (3 + 1 / 1.584962500721))
    assert recall(RANKING, grades, 1) == 1 / 2
    assert reciprocal_rank(["b", "c", "x"], grades) == 1 / 3
    assert success(["b", "c"], grades) == 0
    assert success(["b", "c", "x"], grades, 3) == 1


def test_a_measure_by_its_name():
    assert Measure.of("nDCG@10") == Measure("ndcg", 10)
    assert Measure.of(Measure("mrr", 3)) == Measure("mrr", 3)
    assert [str(Measure.of(name)) for name in MEASURES] == list(MEASURES)
    assert Measure.of("recall@1").of_ranking(RANKING, {"a": 2, "z": 1}) == 1 / 2


@pytest.mark.parametrize("name", ["ndcg", "ndcg@0", "ndcg@-1", "ndcg@1.5", "@10", "", 10, None, "ncdg@10", "map@10"])
def test_unknown_measures(name):
    with pytest.raises(InvalidRequestError, match="ndcg"):
        Measure.of(name)


def test_a_query_without_a_ranking_counts_0():
    queries = [JudgedQuery("1", "?", {"a": 1}), JudgedQuery("2", "?", {"a": 1}), JudgedQuery("3", "?", {})]
    assert Measure.of("success@1").of_run({"1": ["a"], "3": ["a"], "4": ["a"]}, queries) == [1, 0, 0]
