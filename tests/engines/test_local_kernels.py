"""MaxSim of uncompressed documents, and the selection of the highest scores, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from late_interaction.engines.local.search import exact, reference

DIM = 5


def naive_maxsim(query, document):
    """The definition, spelled out."""
    total = 0.0
    for token in query:
        best = None
        for other in document:
            product = sum(float(a) * float(b) for a, b in zip(token, other, strict=True))
            best = product if best is None or product > best else best
        total += 0.0 if best is None else best
    return total


def column(lengths, seed, dim=DIM):
    """Documents of these lengths as a segment keeps them, with a few numbers too small to be normal."""
    rng = np.random.default_rng(seed)
    scales = rng.choice([1, 1, 1, 1e-6], (sum(lengths), dim))
    vectors = (rng.normal(size=(sum(lengths), dim)) * scales).astype(np.float16)
    return vectors, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


@st.composite
def segments(draw):
    lengths = draw(st.lists(st.integers(0, 9), min_size=1, max_size=12))
    chosen = draw(st.sets(st.integers(0, len(lengths) - 1)))
    return lengths, sorted(chosen)


@settings(deadline=None, max_examples=150)
@given(
    segment=segments(),
    piece=st.sampled_from([1, 2, 8, 2**21]),
    query_tokens=st.integers(0, 4),
    dim=st.one_of(st.integers(1, 20), st.sampled_from([31, 48, 64, 128])),
    seed=st.integers(0, 2**16),
)
@example(segment=([4, 4, 4], [0, 1, 2]), piece=8, query_tokens=2, dim=5, seed=0)
@example(segment=([0, 0, 3, 0, 2, 0], [0, 1, 2, 3, 4, 5]), piece=1, query_tokens=1, dim=5, seed=0)
@example(segment=([2, 5, 2, 5, 2], [0, 2, 4]), piece=1, query_tokens=2, dim=5, seed=0)  # with gaps
@example(segment=([2, 0, 3], [0, 2]), piece=2**21, query_tokens=2, dim=5, seed=0)  # the gap is empty
@example(segment=([0, 0], [0, 1]), piece=1, query_tokens=2, dim=5, seed=0)
@example(segment=([3], []), piece=1, query_tokens=2, dim=5, seed=0)
def test_maxsim_is_its_definition(segment, piece, query_tokens, dim, seed):
    lengths, positions = segment
    vectors, offsets = column(lengths, seed, dim)
    query = np.random.default_rng(seed + 1).normal(size=(query_tokens, dim)).astype(np.float32)
    expected = [naive_maxsim(query, vectors[offsets[at] : offsets[at + 1]]) for at in positions]
    before = vectors.copy(), offsets.copy(), query.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "_MIN_PIECE_PRODUCTS", piece)
        patch.setattr(exact, "cores", lambda: 3)
        scores = exact.maxsim(query, vectors, offsets, np.array(positions, np.int64))
    assert scores.shape == (len(positions),)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)
    for array, copy in zip((vectors, offsets, query), before, strict=True):
        assert np.array_equal(array, copy)


@settings(deadline=None, max_examples=50)
@given(tokens=st.integers(0, 6), query_tokens=st.integers(0, 4), seed=st.integers(0, 2**16))
def test_the_reference_is_the_definition(tokens, query_tokens, seed):
    rng = np.random.default_rng(seed)
    query, document = rng.normal(size=(query_tokens, DIM)), rng.normal(size=(tokens, DIM))
    scores = reference.maxsim_sums(query, document, np.array([0, tokens, tokens]), np.array([1, 0]))
    assert scores.tolist() == [0, pytest.approx(naive_maxsim(query, document))]


def test_a_maxsim_written_by_hand():
    query = np.array([[1, 0], [0, 1]], np.float32)
    vectors = np.array([[1, 0], [0, 0.5], [-1, -1], [-2, 0], [0, -3]], np.float16)
    offsets = np.array([0, 2, 3, 3, 5], np.int64)
    scores = exact.maxsim(query, vectors, offsets, np.arange(4))
    # (1 + .5), then a document that is only negative, one without tokens, and (max(-2, 0) + max(0, -3))
    assert scores.tolist() == [1.5, -2.0, 0.0, 0.0]


def test_many_documents_by_several_threads(monkeypatch):
    monkeypatch.setattr(exact, "_MIN_PIECE_PRODUCTS", 1000)
    monkeypatch.setattr(exact, "cores", lambda: 4)
    lengths = [number % 7 for number in range(2000)]
    vectors, offsets = column(lengths, 1)
    query = np.random.default_rng(2).normal(size=(3, DIM)).astype(np.float32)
    scores = exact.maxsim(query, vectors, offsets, np.arange(1, 2000))
    expected = reference.maxsim_sums(query, vectors, offsets, np.arange(1, 2000))
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)


def test_a_column_that_is_mapped_from_a_file(tmp_path):
    vectors, offsets = column([3, 0, 5], 3)
    query = np.random.default_rng(4).normal(size=(2, DIM)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    expected = exact.maxsim(query, vectors, offsets, np.arange(3))
    assert np.array_equal(exact.maxsim(query[:, ::-1][:, ::-1], mapped, offsets, np.arange(3)), expected)


def test_values_at_the_edge_of_half_precision_do_not_overflow():
    vectors = np.full((2, DIM), 65504, np.float16)
    query = np.full((3, DIM), 65504, np.float32)
    score = exact.maxsim(query, vectors, np.array([0, 2]), np.array([0]))[0]
    assert score == pytest.approx(3 * DIM * 65504.0**2, rel=1e-5)


@settings(max_examples=300)
@given(
    scores=st.lists(st.one_of(st.sampled_from([0.0, -0.0, 1.0, -1.0]), st.floats(-1e6, 1e6, width=32)), max_size=40),
    k=st.integers(1, 45),
)
@example(scores=[1.0, 1.0, 1.0, 2.0, 1.0], k=3)
@example(scores=[], k=1)
@example(scores=[0.0, -0.0, 0.0], k=2)
def test_top_k_is_a_stable_sort(scores, k):
    chosen = exact.top_k(np.array(scores, np.float32), k)
    expected = sorted(range(len(scores)), key=lambda position: (-scores[position], position))[:k]
    assert chosen.tolist() == expected
