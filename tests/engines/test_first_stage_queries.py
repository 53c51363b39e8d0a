"""The sparse vector of a query: weights as defined, and that it finds what MaxSim finds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from late_interaction.engines.first_stage import Centroids, mean_vector, query_mean, train
from tests.engines.token_vectors import documents, maxsim, queries, topics, unit


def weights(query, centroids, probes):
    """The definition, one query token at a time, in double precision."""
    total = {}
    for token in query.astype(np.float64):
        scores = centroids.values.astype(np.float64) @ token
        nearest = np.argsort(-scores)[:probes]
        best, worst = scores[nearest[0]], scores[nearest[-1]]
        for one in nearest:
            weight = math.exp((scores[one] - best) / (0.3 * (best - worst))) * (best - worst)
            total[int(one)] = total.get(int(one), 0) + weight
    return {one: weight for one, weight in total.items() if weight > 0}


@pytest.mark.parametrize("probes", [2, 8, 32])
@pytest.mark.parametrize("count", [3, 40, 3000])
def test_weights_are_those_of_the_definition(count, probes):
    rng = np.random.default_rng(0)
    centroids = Centroids(unit(rng.normal(size=(count, 24))))
    query = unit(rng.normal(size=(7, 24)))
    found, expected = centroids.query(query, probes), weights(query, centroids, probes)
    assert found.indices.tolist() == sorted(expected)
    np.testing.assert_allclose(found.values, [expected[one] for one in sorted(expected)], rtol=1e-3)


@pytest.mark.parametrize("dim", [1, 2, 128, 1024])
@pytest.mark.parametrize("tokens", [0, 1, 50])
@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 500])
def test_indices_ascend_and_weights_are_positive(count, tokens, dim):
    rng = np.random.default_rng(0)
    centroids = Centroids(unit(rng.normal(size=(count, dim))))
    indices, values = centroids.query(unit(rng.normal(size=(tokens, dim))))
    assert (indices.dtype, values.dtype) == (np.uint32, np.float32)
    assert indices.shape == values.shape
    assert (np.diff(indices.astype(np.int64)) > 0).all()
    assert np.isfinite(values).all()
    assert (values > 0).all()
    assert not len(indices) or indices[-1] < count
    if dim > 1:  # with one dimension the nearest centroids are equal
        assert bool(len(indices)) == (tokens > 0 and count > 1)


def test_the_query_of_a_page_is_that_of_its_parts():
    """More tokens than are scored at a time."""
    rng = np.random.default_rng(0)
    centroids = Centroids(unit(rng.normal(size=(600, 24))))
    page = unit(rng.normal(size=(1030, 24)))
    expected = np.zeros(600)
    for part in np.array_split(page, 40):
        indices, values = centroids.query(part)
        expected[indices] += values
    indices, values = centroids.query(page)
    assert indices.tolist() == np.flatnonzero(expected).tolist()
    np.testing.assert_allclose(values, expected[indices], rtol=1e-4)


@pytest.mark.parametrize("scale", [1e-3, 1, 300])
def test_weights_are_proportional_to_the_length_of_vectors(scale):
    rng = np.random.default_rng(0)
    values, query = unit(rng.normal(size=(600, 24))), unit(rng.normal(size=(7, 24)))
    one, other = Centroids(values).query(query), Centroids(scale * values).query(query / scale)
    assert len(np.intersect1d(one.indices, other.indices)) > 0.98 * len(one.indices)
    np.testing.assert_allclose(one.values.sum(), other.values.sum(), rtol=0.02)


def test_a_query_of_zeros_is_empty():
    assert len(train(topics(50), 40).query(np.zeros((3, 32), np.float32)).indices) == 0


def test_the_first_stage_finds_the_best_documents():
    some = documents(2000, topics(150))
    centroids = train(np.concatenate(some), 1000)
    sparse = [set(one.tolist()) for one in centroids.documents(some)]
    means = np.stack([mean_vector(one) for one in some])
    found = {"sparse": 0, "mean": 0, "halves": 0}
    for query in queries(some, 40):
        best = set(np.argsort(-maxsim(query, some))[:10].tolist())
        weight = dict(zip(*(column.tolist() for column in centroids.query(query)), strict=True))
        by_sparse = np.argsort([-sum(weight.get(one, 0) for one in ids) for ids in sparse])
        by_mean = np.argsort(-(means @ query_mean(query)))
        found["sparse"] += len(best & set(by_sparse[:100].tolist()))
        found["mean"] += len(best & set(by_mean[:100].tolist()))
        found["halves"] += len(best & {*by_sparse[:50].tolist(), *by_mean[:50].tolist()})
    assert found["sparse"] > 350
    assert found["halves"] > 320


@pytest.mark.parametrize("dim", [1, 7, 1024])
def test_mean_vectors(dim):
    vectors = np.random.default_rng(0).normal(size=(9, dim)).astype(np.float32)
    found = mean_vector(vectors)
    assert (found.dtype, found.shape) == (np.float32, (dim,))
    np.testing.assert_allclose(found, vectors.sum(axis=0) / np.linalg.norm(vectors.sum(axis=0)), atol=1e-6)
    np.testing.assert_allclose(query_mean(vectors), vectors.sum(axis=0), atol=1e-5)


def test_means_that_have_no_direction():
    assert mean_vector(np.empty((0, 4), np.float32)).tolist() == [0, 0, 0, 0]
    assert query_mean(np.empty((0, 4), np.float32)).tolist() == [0, 0, 0, 0]
    assert mean_vector(np.array([[1, 0], [-1, 0]], np.float32)).tolist() == [0, 0]
