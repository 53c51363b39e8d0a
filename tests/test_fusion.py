"""Reciprocal rank fusion, against sums computed by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from late_interaction.retrieval.fusion import best_possible, reciprocal_rank_fusion


def test_by_hand():
    fused = reciprocal_rank_fusion([["a", "b", "c"], ["c", "a", "d"]])
    assert list(fused) == ["a", "c", "b", "d"]
    assert fused == pytest.approx(
        {
            "a": 0.032522474881,  # 1/61 + 1/62
            "c": 0.032266458496,  # 1/63 + 1/61
            "b": 0.016129032258,  # 1/62
            "d": 0.015873015873,  # 1/63
        }
    )


def test_two_middling_ranks_beat_one_first():
    assert next(iter(reciprocal_rank_fusion([["a", "b"], ["c", "b"]]))) == "b"


def test_of_equal_sums_the_earlier_wins():
    assert list(reciprocal_rank_fusion([["a", "b"], ["c", "d"], ["d", "c"]])) == ["c", "d", "a", "b"]
    assert list(reciprocal_rank_fusion([["x", "a"], ["y", "b"]])) == ["x", "y", "a", "b"]


def test_nothing_to_fuse():
    assert reciprocal_rank_fusion([]) == {}
    assert reciprocal_rank_fusion([[], []]) == {}
    assert reciprocal_rank_fusion([[], ["a"]]) == {"a": pytest.approx(1 / 61)}


def test_best_possible():
    assert best_possible(1) == pytest.approx(0.016393442623)
    assert best_possible(3) == pytest.approx(0.049180327869)


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True), min_size=1, max_size=4))
def test_order_and_bounds(rankings):
    fused = reciprocal_rank_fusion(rankings)
    assert set(fused) == {found for ranking in rankings for found in ranking}
    scores = list(fused.values())
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= best_possible(len(rankings)) + 1e-12 for score in scores)
    for ranking in rankings[:1]:
        if rankings == [ranking]:
            assert list(fused) == ranking
