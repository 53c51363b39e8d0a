"""Centroids of the first stage: which are nearest, sparse vectors of documents, and stored bytes."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from late_interaction.engines.first_stage import Centroids, train
from late_interaction.errors import CorruptIndexError
from tests.engines.token_vectors import documents, topics, unit


def random_centroids(count, dim=16, seed=0):
    return Centroids(unit(np.random.default_rng(seed).normal(size=(count, dim))))


def distances(vectors, centroids):
    return np.linalg.norm(vectors[:, None].astype(np.float64) - centroids[None], axis=2)


@pytest.mark.parametrize("count", [1, 2, 31, 200])
@pytest.mark.parametrize("dim", [1, 3, 16, 1024])
def test_the_nearest_of_few_centroids(count, dim):
    centroids = random_centroids(count, dim)
    vectors = np.random.default_rng(1).normal(size=(50, dim)).astype(np.float32)
    ids = centroids.ids(vectors)
    assert ids.dtype == np.uint32
    to = distances(vectors, centroids.values)
    np.testing.assert_allclose(to[np.arange(50), ids], to.min(axis=1), rtol=1e-3)


def test_one_of_the_nearest_of_many_centroids():
    centroids = random_centroids(2000)
    vectors = unit(np.random.default_rng(1).normal(size=(300, 16)))
    to = distances(vectors, centroids.values)
    ids = centroids.ids(vectors)
    assert (ids == to.argmin(axis=1)).mean() > 0.7
    assert to[np.arange(300), ids].mean() < 1.05 * to.min(axis=1).mean()


def test_the_sparse_vector_of_a_document_has_each_centroid_once():
    centroids = random_centroids(100)
    vectors = unit(np.random.default_rng(1).normal(size=(80, 16)))
    found = centroids.document(vectors)
    assert found.dtype == np.uint32
    assert found.tolist() == sorted(set(distances(vectors, centroids.values).argmin(axis=1).tolist()))


def test_a_document_without_tokens_has_no_centroids():
    centroids = random_centroids(10)
    empty = np.empty((0, 16), np.float32)
    assert centroids.document(empty).shape == (0,)
    assert centroids.document(empty).dtype == np.uint32
    assert [one.tolist() for one in centroids.documents([empty, centroids.values[3:4], empty])] == [[], [3], []]
    assert centroids.documents([]) == []
    assert [one.tolist() for one in centroids.documents([empty])] == [[]]


def test_many_documents_get_what_each_gets_alone():
    some = documents(40, topics(30))
    centroids = train(np.concatenate(some), 60)
    for together, one in zip(centroids.documents(some), some, strict=True):
        assert together.tolist() == centroids.document(one).tolist()


def test_values_are_those_that_are_stored():
    given = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    centroids = Centroids(given)
    assert np.array_equal(centroids.values, given.astype(np.float16).astype(np.float32))
    assert (len(centroids), centroids.dim) == (9, 5)
    assert np.array_equal(Centroids(centroids.values).values, centroids.values)


def test_centroids_of_long_vectors_stay_finite():
    assert np.isfinite(Centroids(np.array([[1e6, -1e6]], np.float32)).values).all()


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 40), dim=st.integers(1, 40), seed=st.integers(0, 5))
def test_bytes_give_the_same_centroids(count, dim, seed):
    centroids = random_centroids(count, dim, seed)
    data = centroids.to_bytes()
    again = Centroids.from_bytes(data)
    assert np.array_equal(again.values, centroids.values)
    assert again.name == centroids.name
    assert again.to_bytes() == data
    assert len(data) < 2 * count * dim + 64


def test_the_name_is_that_of_the_content():
    centroids = random_centroids(12)
    assert centroids.name == Centroids(centroids.values.copy()).name
    assert len(centroids.name) == 32
    assert int(centroids.name, 16)
    assert centroids.name != random_centroids(12, seed=1).name
    assert centroids.name != Centroids(centroids.values[::-1]).name
    assert centroids.name != Centroids(centroids.values.reshape(24, 8)).name


def test_damaged_bytes_are_refused():
    data = random_centroids(12).to_bytes()
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1
        with pytest.raises(CorruptIndexError, match="Restore"):
            Centroids.from_bytes(bytes(damaged))


@pytest.mark.parametrize("cut", [0, 1, 8, 47, 48, 49, -1])
def test_truncated_bytes_are_refused(cut):
    data = random_centroids(12).to_bytes()
    with pytest.raises(CorruptIndexError):
        Centroids.from_bytes(data[:cut])
    with pytest.raises(CorruptIndexError):
        Centroids.from_bytes(data + b"0")


def test_bytes_that_claim_more_than_there_is_are_refused():
    with pytest.raises(CorruptIndexError):
        Centroids.from_bytes(struct.pack("<8sII32s", b"centrds1", 2**32 - 1, 2**32 - 1, bytes(32)))
    with pytest.raises(CorruptIndexError):
        Centroids.from_bytes(struct.pack("<8sII32s", b"centrds1", 0, 16, bytes(32)))


def test_infinity_is_refused():
    sound = Centroids(np.ones((1, 2), np.float32))
    sound._rounded = np.array([[np.inf, 1]], np.float16)
    with pytest.raises(CorruptIndexError):
        Centroids.from_bytes(sound.to_bytes())


def test_extended_centroids_begin_with_the_old_ones():
    old = train(np.concatenate(documents(100, topics(30))), 40)
    far = np.concatenate(documents(100, topics(30, seed=9)))
    new = old.extended(far, 70)
    assert len(new) == 70
    assert np.array_equal(new.values[:40], old.values)
    assert new.name != old.name
    ids = new.ids(far)
    assert (ids >= 40).mean() > 0.8
    assert distances(far, new.values).min(axis=1).mean() < 0.8 * distances(far, old.values).min(axis=1).mean()


def test_new_centroids_are_where_the_old_ones_are_far():
    """Four of ten token vectors of a sample are far from all old centroids, and nearly all new centroids near them."""
    near, far = np.concatenate(documents(60, topics(30))), np.concatenate(documents(40, topics(30, seed=9)))
    new = train(near, 40).extended(np.concatenate([near, far]), 60).values[40:]
    assert (distances(new, far).min(axis=1) < distances(new, near).min(axis=1)).mean() > 0.7


def test_centroids_that_are_many_enough_stay_the_same():
    old = random_centroids(40)
    assert old.extended(old.values, 40).name == old.extended(old.values, 20).name == old.name
    assert old.extended(np.empty((0, 16), np.float32), 80).name == old.name
