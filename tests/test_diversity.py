"""Maximal marginal relevance against its definition, worked out pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from late_interaction.retrieval.diversity import diverse


def likeness(one, other):
    if not len(one) or not len(other):
        return 0.0
    cosines = one.astype(np.float64) @ other.astype(np.float64).T
    return (cosines.max(axis=1).mean() + cosines.max(axis=0).mean()) / 2


def by_definition(relevances, vectors, k, weight):
    chosen = []
    while len(chosen) < min(k, len(relevances)):
        gains = {
            at: weight * relevances[at]
            - (1 - weight) * max([0.0, *(likeness(vectors[at], vectors[one]) for one in chosen)])
            for at in range(len(relevances))
            if at not in chosen
        }
        chosen.append(max(gains, key=lambda at: (round(gains[at], 6), -at)))
    return chosen


@given(
    seed=st.integers(0, 10_000),
    lengths=st.lists(st.integers(0, 4), max_size=8),
    k=st.integers(1, 9),
    weight=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
)
def test_equals_the_definition(seed, lengths, k, weight):
    rng = np.random.default_rng(seed)
    vectors = []
    for length in lengths:
        drawn = rng.normal(size=(length, 3))
        vectors.append((drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32))
    relevances = rng.random(len(lengths)).tolist()
    assert diverse(relevances, vectors, k, diversity=1 - weight) == by_definition(relevances, vectors, k, weight)


@pytest.mark.parametrize(("weight", "expected"), [(1.0, [0, 1]), (0.5, [0, 2])])
def test_the_weight_decides_between_a_twin_and_a_stranger(weight, expected):
    east, north = np.array([[1, 0]], np.float32), np.array([[0, 1]], np.float32)
    assert diverse([0.9, 0.8, 0.3], [east, east, north], 2, diversity=1 - weight) == expected
