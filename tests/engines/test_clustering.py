"""The nearest of many centroids: how often it is found, that it is always the same, and odd vectors."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from late_interaction.engines.clustering import NearestCentroids, cluster
from late_interaction.engines.products import products
from tests.engines.helpers import CHILD_ENVIRONMENT

pytestmark = pytest.mark.filterwarnings("error")


def tokens(count, *, dim=48, seed=0, kinds=4000):
    """Vectors like those of tokens, (count, dim): of some kinds, each around one of a few topics, of length 1."""
    rng = np.random.default_rng(0)
    topics = rng.normal(size=(60, dim))
    centers = topics[rng.integers(60, size=kinds)] + 0.7 * rng.normal(size=(kinds, dim))
    rng = np.random.default_rng(seed)
    vectors = centers[rng.integers(kinds, size=count)] + 0.5 * rng.normal(size=(count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def distances(vectors, centroids):
    """(n, centroids), in double precision."""
    vectors, centroids = np.asarray(vectors, np.float64), np.asarray(centroids, np.float64)
    squares = (vectors**2).sum(axis=1)[:, None] - 2 * vectors @ centroids.T + (centroids**2).sum(axis=1)
    return np.sqrt(np.maximum(squares, 0))


def quality(vectors, centroids):
    """The share of vectors that get their nearest centroid, and the mean distance relative to that of the nearest."""
    to = distances(vectors, centroids)
    found = to[np.arange(len(vectors)), NearestCentroids(centroids).search(vectors)]
    return (found <= to.min(axis=1) + 1e-5).mean(), found.mean() / to.min(axis=1).mean()


@pytest.mark.parametrize("strength", [0, 0.9])
@pytest.mark.parametrize("dim", [32, 128, 384])
def test_nearly_all_vectors_get_the_nearest_centroid(dim, strength):
    vectors = tokens(13_000, dim=dim)
    if strength:
        common = np.sqrt(strength) * np.eye(dim, dtype=np.float32)[3]
        vectors = common + np.float32(np.sqrt(1 - strength)) * vectors
    share, ratio = quality(vectors[:1000], cluster(vectors[1000:], 1500))
    assert share > 0.96
    assert ratio < 1.003


def test_vectors_without_structure_get_a_near_centroid():
    """All cells are about equally far from them, so only the cap bounds the work."""
    vectors = np.random.default_rng(0).normal(size=(3000, 64)).astype(np.float32)
    _, ratio = quality(vectors[:500], vectors[500:])
    assert ratio < 1.05


@pytest.mark.parametrize("count", [1, 2, 100, 216])
def test_few_centroids_are_all_compared(count):
    centroids, vectors = tokens(count, seed=1), tokens(500)
    to = distances(vectors, centroids)
    found = to[np.arange(500), NearestCentroids(centroids).search(vectors)]
    np.testing.assert_allclose(found, to.min(axis=1), atol=1e-5)


def test_each_centroid_is_nearest_to_itself():
    centroids = tokens(3000)
    assert np.array_equal(NearestCentroids(centroids).search(centroids), np.arange(3000))


def test_results_do_not_depend_on_what_is_searched_together(monkeypatch):
    nearest, vectors = NearestCentroids(tokens(2000, seed=1)), tokens(1500)
    whole = nearest.search(vectors)
    parts = [nearest.search(vectors[:1]), nearest.search(vectors[1:40]), nearest.search(vectors[40:])]
    assert np.array_equal(whole, np.concatenate(parts))
    monkeypatch.setattr("late_interaction.engines.clustering._BLOCK_VECTORS", 64)
    assert np.array_equal(whole, nearest.search(vectors))


def test_the_order_of_vectors_and_a_read_only_array_change_nothing():
    nearest, vectors = NearestCentroids(tokens(1000, seed=1)), tokens(800)
    codes = nearest.search(vectors)
    vectors = np.asfortranarray(vectors[::-1])
    vectors.flags.writeable = False
    assert np.array_equal(nearest.search(vectors), codes[::-1])


_PROGRAM = """
import hashlib, numpy as np
from late_interaction.engines.clustering import NearestCentroids, cluster
vectors = np.random.default_rng(0).normal(size=(9000, 128)).astype(np.float32)
centroids = cluster(vectors, 600)
print(hashlib.sha256(centroids.tobytes() + NearestCentroids(centroids).search(vectors).tobytes()).hexdigest())
"""


def test_the_number_of_threads_changes_no_bit():
    found = set()
    for threads in ("1", "4"):
        environment = {**CHILD_ENVIRONMENT, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        command = [sys.executable, "-c", _PROGRAM]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_few_dimensions(dim):
    vectors = np.random.default_rng(0).normal(size=(2000, dim)).astype(np.float32)
    share, ratio = quality(vectors[:500], cluster(vectors, 600))
    assert share > 0.7
    assert ratio < 1.2


@pytest.mark.parametrize("value", [0, 1, 200])
def test_equal_vectors(value):
    vectors = np.full((1000, 20), value, np.float32)
    centroids = cluster(vectors, 400)
    assert centroids.shape == (400, 20)
    assert np.array_equal(centroids, vectors[:400])
    codes = NearestCentroids(centroids).search(np.concatenate([vectors, -vectors, np.eye(20, dtype=np.float32)]))
    assert codes.shape == (2020,)
    assert 0 <= codes.min() <= codes.max() < 400


def test_fewer_different_vectors_than_centroids():
    """Each gets a centroid of its own."""
    different = np.random.default_rng(0).normal(size=(30, 20)).astype(np.float32)
    vectors = np.tile(different, (50, 1))
    centroids = cluster(vectors, 300)
    assert len(centroids) == 300
    assert distances(different, centroids).min(axis=1).max() < 1e-3


def test_fewer_vectors_than_centroids():
    vectors = tokens(50)
    assert np.array_equal(np.sort(cluster(vectors, 80), axis=0), np.sort(vectors, axis=0))


def test_no_vectors():
    assert NearestCentroids(tokens(300)).search(np.empty((0, 48), np.float32)).shape == (0,)


@pytest.mark.parametrize(("rows", "dim", "columns"), [(0, 3, 2), (1, 1, 1), (70, 128, 63), (9, 5, 120_000)])
def test_products(rows, dim, columns):
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(rows, dim)).astype(np.float32), rng.normal(size=(dim, columns)).astype(np.float32)
    found = products(one, other)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, one.astype(np.float64) @ other, atol=1e-4)
