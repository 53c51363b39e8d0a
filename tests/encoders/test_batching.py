"""Batches: how they are formed, and that nothing in a result tells which batch a text was in."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from late_interaction import load_encoder
from late_interaction.encoders import TextEncoder
from late_interaction.encoders.batching import batches
from tests.encoders.conftest import encode
from tests.encoders.texts import TEXTS

TASKS = ("query", "document")
TOLERANCE = 1e-5

lengths_strategy = st.lists(st.integers(0, 60), max_size=60)
budget_strategy = st.integers(1, 200)


@given(lengths_strategy, budget_strategy)
@example([], 10)
@example([0, 0, 0], 1)
@example([5, 5, 5, 5], 10)
@example([100], 10)
def test_every_position_is_in_one_batch(lengths, budget):
    assert sorted(position for batch in batches(lengths, budget) for position in batch) == list(range(len(lengths)))
    assert all(batches(lengths, budget))


@given(lengths_strategy, budget_strategy)
def test_a_padded_batch_is_within_the_budget_unless_it_is_one_text(lengths, budget):
    for batch in batches(lengths, budget):
        assert len(batch) == 1 or max(lengths[position] for position in batch) * len(batch) <= budget


@given(lengths_strategy, budget_strategy)
def test_longest_first(lengths, budget):
    in_order = [lengths[position] for batch in batches(lengths, budget) for position in batch]
    assert in_order == sorted(lengths, reverse=True)


@given(lengths_strategy, budget_strategy)
def test_no_batch_could_have_taken_the_next_text(lengths, budget):
    formed = list(batches(lengths, budget))
    for batch in formed[:-1]:
        longest = max(lengths[position] for position in batch)
        assert max(longest, 1) * (len(batch) + 1) > budget


def test_equal_lengths_keep_their_order():
    assert list(batches([4, 4, 4, 4, 4], 8)) == [[0, 1], [2, 3], [4]]


def in_batches_of(encoder, tokens):
    """The same model behind another budget."""
    return TextEncoder(encoder._model, batch_tokens=tokens)


def assert_same(actual, expected):
    assert [len(vectors) for vectors in actual] == [len(vectors) for vectors in expected]
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("task", TASKS)
def test_composition_and_order_of_batches_change_nothing(case, task):
    texts = list(TEXTS.values())
    alone = [encode(case.encoder, [text], task)[0] for text in texts]
    drawn = random.Random(5)
    for budget in (1, 400, 100_000):
        order = drawn.sample(range(len(texts)), len(texts)) + drawn.choices(range(len(texts)), k=5)
        encoded = encode(in_batches_of(case.encoder, budget), [texts[at] for at in order], task)
        assert_same(encoded, [alone[at] for at in order])


_some_text = st.sampled_from(list(TEXTS.values())) | st.text(max_size=30)


@pytest.fixture(scope="module", params=["stanford", "modernbert"])
def tiny(request):
    return load_encoder(request.getfixturevalue(f"{request.param}_checkpoint"))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_some_text, min_size=1, max_size=12), st.sampled_from([1, 30, 90, 5000]), st.sampled_from(TASKS))
def test_any_list_of_texts_is_encoded_as_one_by_one(tiny, texts, budget, task):
    assert_same(
        encode(in_batches_of(tiny, budget), texts, task),
        [encode(tiny, [text], task)[0] for text in texts],
    )


@pytest.mark.parametrize("task", TASKS)
def test_the_model_never_reads_more_than_the_budget_at_once(case, task):
    """``batch_tokens`` bounds memory: "Tokens of a batch, padding included", which query expansion and markers are."""
    budget = 600
    shapes = []
    handle = case.encoder._model[0].register_forward_pre_hook(
        lambda module, inputs: shapes.append(tuple(inputs[0]["input_ids"].shape))
    )
    try:
        encode(in_batches_of(case.encoder, budget), [f"word{number}" for number in range(150)], task)
    finally:
        handle.remove()
    assert sum(rows for rows, _ in shapes) == 150
    too_large = [(rows, columns) for rows, columns in shapes if rows > 1 and rows * columns > budget]
    assert not too_large, f"batches of (rows, tokens) {too_large} for a budget of {budget} tokens"
