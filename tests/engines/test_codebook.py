"""The codebook: how many centroids, how good, and that what is written is what is read."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.vq import kmeans2

from late_interaction.engines.local.quantization.codebook import (
    Codebook,
    CodebookEntry,
    direction_of,
    open_codebook,
    stretch_of,
    stretched,
    write_codebook,
)
from late_interaction.engines.local.quantization.training import centroids_for, train
from late_interaction.engines.local.storage.columns import ColumnFile
from late_interaction.errors import CorruptIndexError

DIM = 24


def clustered(n, clusters, *, dim=DIM, spread=0.3, seed=0):
    """Vectors of length one around unevenly large clusters, (n, dim)."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, dim))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    weights = 1 / np.arange(1, clusters + 1)
    chosen = rng.choice(clusters, n, p=weights / weights.sum())
    vectors = centres[chosen] + spread / np.sqrt(dim) * rng.normal(size=(n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def distances(vectors, centroids):
    """Squared, (n, centroids), in double precision."""
    vectors, centroids = np.asarray(vectors, np.float64), np.asarray(centroids, np.float64)
    return (vectors**2).sum(axis=1)[:, None] - 2 * vectors @ centroids.T + (centroids**2).sum(axis=1)


def mean_residual(vectors, centroids):
    return np.sqrt(np.maximum(distances(vectors, centroids).min(axis=1), 0)).mean()


def same(codebook, other):
    return all(
        np.array_equal(getattr(codebook, name), getattr(other, name))
        for name in ("packed", "scales", "along", "direction")
    )


@settings(max_examples=300)
@given(tokens=st.integers(65_536, 10**11), more=st.integers(0, 10**9), dim=st.integers(32, 1024))
def test_a_codebook_is_affordable(tokens, more, dim):
    centroids = centroids_for(tokens, dim)
    assert 1 <= centroids <= 32_768
    size = -(-dim // 2) + 2  # four bits a dimension, and a scale
    assert centroids * size / tokens < 2
    assert centroids_for(tokens + more, dim) >= centroids
    assert centroids_for(tokens, dim + 1) <= centroids


@given(tokens=st.integers(0, 65_536), dim=st.integers(1, 5000))
def test_there_is_at_least_one_centroid(tokens, dim):
    assert 1 <= centroids_for(tokens, dim) <= max(1, tokens)


def test_how_many_centroids():
    assert centroids_for(10_000_000, 128) == int(10 * 10_000_000**0.5)
    assert centroids_for(10**9, 128) == 32_768
    assert 1000 < centroids_for(65_536, 128) < 65_536 / 16


@pytest.mark.parametrize("centroids", [1, 2, 3, 10, 100, 333, 1000])
def test_training_makes_as_many_as_asked(centroids):
    codebook = train(clustered(2000, 60), centroids)
    assert len(codebook) == centroids
    assert codebook.centroids.shape == (centroids, DIM)
    assert codebook.centroids.dtype == np.float32
    assert np.isfinite(codebook.centroids).all()
    assert np.linalg.norm(codebook.centroids, axis=1).max() < 1.1


def test_training_does_the_same_twice():
    sample = clustered(3000, 60)
    before = sample.copy()
    assert same(train(sample, 300), train(sample.copy(), 300))
    assert np.array_equal(sample, before)


@pytest.mark.parametrize("tokens", [1, 2, 7, 300])
def test_as_many_centroids_as_vectors(tokens):
    """Then each vector is its own, up to what rounding takes; and there are never more."""
    sample = clustered(tokens, 60)
    for asked in (tokens, tokens + 5):
        codebook = train(sample, asked)
        assert len(codebook) == tokens
        assert mean_residual(sample, codebook.centroids) < 0.15


@pytest.mark.parametrize("centroids", [1, 5, 50, 400])
@pytest.mark.parametrize("distinct", [1, 2, 5, 60])
def test_fewer_different_vectors_than_centroids(distinct, centroids):
    sample = np.tile(clustered(distinct, 60, spread=1), (1200 // distinct, 1))
    codebook = train(sample, centroids)
    assert len(codebook) == centroids
    assert np.isfinite(codebook.centroids).all()
    codes = codebook.assign(sample)
    assert codes.max() < centroids
    if distinct == 1:
        assert np.linalg.norm(sample - codebook.centroids[codes], axis=1).mean() < 0.15


@pytest.mark.parametrize("spread", [0, 1e-3, 1e-2])
def test_vectors_that_are_all_but_equal_get_a_centroid(spread):
    """Such as those of markers and of blank parts of pages: a fifth of the sample, in ten places."""
    rng = np.random.default_rng(0)
    places = np.repeat(rng.normal(size=(10, 64)), 200, axis=0)
    vectors = np.concatenate([places + spread * rng.normal(size=(2000, 64)), rng.normal(size=(8000, 64))])
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    codebook = train(vectors, 400)
    assert mean_residual(vectors[:2000], codebook.centroids) < 0.2


def test_vectors_of_zeros():
    codebook = train(np.zeros((1000, DIM), np.float32), 300)
    assert len(codebook) == 300
    assert not codebook.centroids.any()
    assert codebook.assign(np.ones((10, DIM), np.float32)).max() < 300


def test_far_vectors_among_equal_centroids():
    """Of many equal centroids most cells are empty, and a far vector's nearest cells may all be."""
    codebook = train(np.ones((3000, 16), np.float32), 400)
    far = np.random.default_rng(0).normal(size=(1000, 16)).astype(np.float32)
    assert codebook.assign(far).max() < 400


@pytest.mark.parametrize("centroids", [1, 2, 40, 200])
def test_few_centroids_are_searched_one_by_one(centroids):
    codebook = train(clustered(3000, 60), centroids)
    vectors = clustered(500, 60, seed=1)
    codes = codebook.assign(vectors)
    assert codes.dtype == np.uint16
    assert codes.shape == (500,)
    to = distances(vectors, codebook.centroids)
    np.testing.assert_allclose(to[np.arange(500), codes], to.min(axis=1), atol=1e-5)
    assert codebook.assign(vectors[:0]).shape == (0,)


def test_of_many_centroids_one_nearly_nearest_is_found():
    codebook = train(clustered(30_000, 1500, spread=1), 3000)
    vectors = clustered(2000, 1500, spread=1, seed=0)
    codes = codebook.assign(vectors)
    to = distances(vectors, codebook.centroids)
    found, nearest = np.sqrt(to[np.arange(2000), codes]), np.sqrt(to.min(axis=1))
    assert found.mean() < 1.03 * nearest.mean()
    assert (found <= nearest + 1e-4).mean() > 0.8
    assert np.array_equal(codebook.assign(vectors), codes)
    assert codebook.assign(vectors[:0]).shape == (0,)


def test_an_extended_codebook_begins_with_the_old_one():
    old = train(clustered(2000, 60), 250)
    new = clustered(2000, 60, seed=7)
    more = train(new, 50, old.direction)
    extended = old.extended(more)
    assert len(extended) == 300
    assert np.array_equal(extended.centroids[:250], old.centroids)
    assert np.array_equal(extended.centroids[250:], more.centroids)
    assert len(old) == 250
    to = distances(new, extended.centroids)
    codes = extended.assign(new)
    assert (codes >= 250).any()
    assert np.sqrt(np.maximum(to[np.arange(2000), codes], 0)).mean() < mean_residual(new, old.centroids)


def test_rounding_moves_centroids_little():
    vectors = clustered(500, 60)
    found = Codebook.rounded(vectors).centroids
    errors = np.linalg.norm(found - vectors, axis=1) / np.linalg.norm(vectors, axis=1)
    assert errors.mean() < 0.13
    transposed = np.asfortranarray(vectors)
    assert np.array_equal(Codebook.rounded(transposed).centroids, found)


@pytest.mark.parametrize(("centroids", "dim"), [(1, 1), (7, 3), (300, DIM)])
def test_what_is_written_is_read(tmp_path, centroids, dim):
    codebook = Codebook.rounded(clustered(centroids, 60, dim=dim))
    entry = write_codebook(tmp_path, "0000000000000001", codebook, 0.25)
    assert entry.centroids == centroids
    assert entry.residual_norm == 0.25
    folder, opened = open_codebook(tmp_path, entry, dim)
    assert same(opened, codebook)
    assert not opened.packed.flags.writeable
    assert folder.problems() == []
    assert np.array_equal(opened.centroids, codebook.centroids)
    vectors = clustered(50, 60, dim=dim, seed=1)
    assert np.array_equal(opened.assign(vectors), codebook.assign(vectors))
    second = write_codebook(tmp_path, "0000000000000002", opened.extended(codebook), 0.5)
    assert second.name != entry.name
    assert same(open_codebook(tmp_path, second, dim)[1], codebook.extended(codebook))
    assert entry.has_direction
    assert second.has_direction


def test_the_columns_are_plain_files(tmp_path):
    codebook = Codebook.rounded(clustered(9, 60))
    entry = write_codebook(tmp_path, "0000000000000003", codebook, 0.25)
    (folder,) = (path.parent for path in tmp_path.rglob("centroids.npy"))
    assert folder.name == entry.name
    assert np.array_equal(np.load(folder / "centroids.npy"), codebook.packed)
    assert np.array_equal(np.load(folder / "scales.npy"), codebook.scales)
    assert np.array_equal(np.load(folder / "direction.npy"), codebook.direction)
    assert {(file.name, file.size) for file in entry.files} == {
        (path.name, path.stat().st_size) for path in folder.iterdir()
    }


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def _lengthen(path):
    path.write_bytes(path.read_bytes() + b"\0")


def _empty(path):
    path.write_bytes(b"")


def _remove_folder(path):
    shutil.rmtree(path.parent)


def _other_type(path):
    """Of the same size, so that only the header tells."""
    content = path.read_bytes()
    header = content[:128].replace(b"'|u1'", b"'|i1'").replace(b"'<f2'", b"'<i2'").replace(b"'<f4'", b"'<i4'")
    assert header != content[:128]
    path.write_bytes(header + content[128:])


@pytest.mark.parametrize("name", ["centroids", "scales", "along", "direction"])
@pytest.mark.parametrize(
    "damage", [_truncate, _lengthen, _empty, _remove_folder, _other_type, lambda path: path.unlink()]
)
def test_a_damaged_codebook_is_not_opened(tmp_path, name, damage):
    entry = write_codebook(tmp_path, "0000000000000004", Codebook.rounded(clustered(30, 60)), 0.25)
    (path,) = tmp_path.rglob(f"{name}.npy")
    damage(path)
    with pytest.raises(CorruptIndexError, match=entry.name):
        open_codebook(tmp_path, entry, DIM)


@pytest.mark.parametrize("change", [{"centroids": 29}, {"centroids": 31}])
def test_a_catalog_that_says_something_else(tmp_path, change):
    entry = write_codebook(tmp_path, "0000000000000005", Codebook.rounded(clustered(30, 60)), 0.25)
    with pytest.raises(CorruptIndexError):
        open_codebook(tmp_path, CodebookEntry(**{**vars(entry), **change}), DIM)
    with pytest.raises(CorruptIndexError):
        open_codebook(tmp_path, entry, DIM + 2)


@pytest.mark.parametrize("name", ["along", "direction"])
def test_a_common_direction_with_nan(tmp_path, name):
    entry = write_codebook(tmp_path, "0000000000000007", Codebook.rounded(clustered(30, 60)), 0.25)
    (path,) = tmp_path.rglob(f"{name}.npy")
    path.write_bytes(path.read_bytes()[:-4] + np.float32(np.nan).tobytes())
    with pytest.raises(CorruptIndexError, match="NaN"):
        open_codebook(tmp_path, entry, DIM)


def anisotropic(n, seed=0):
    """Vectors of length 1 with a mean cosine of about .95."""
    common = np.eye(DIM, dtype=np.float32)[3]
    vectors = common + 0.22 * clustered(n, 60, seed=seed)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_rounding_does_not_touch_the_common_direction():
    vectors = anisotropic(500)
    codebook = Codebook.rounded(vectors)
    errors = codebook.centroids.astype(np.float64) - vectors
    assert np.abs(errors @ codebook.direction).max() < 1e-6
    across = np.linalg.norm(errors, axis=1).mean()
    assert across < 0.2 * np.linalg.norm(vectors - np.outer(codebook.along, codebook.direction), axis=1).mean()


def test_a_codebook_that_gets_a_direction_keeps_its_centroids():
    vectors = anisotropic(200)
    old = Codebook.rounded(vectors, np.zeros(DIM, np.float32))
    directed = old.directed()
    assert directed.direction == pytest.approx(direction_of(old.centroids))
    np.testing.assert_allclose(directed.centroids, old.centroids, atol=3e-7)


def test_few_dimensions_have_no_common_direction():
    assert not direction_of(np.ones((10, 15), np.float32)).any()
    assert direction_of(np.ones((10, 16), np.float32)) == pytest.approx(np.full(16, 0.25))
    assert not direction_of(np.zeros((10, 16), np.float32)).any()
    assert not direction_of(np.empty((0, 16), np.float32)).any()


def test_differences_along_the_common_direction_count_as_much_more_as_queries_are_longer_there():
    isotropic, narrow = clustered(2000, 2000), anisotropic(2000)
    assert stretch_of(isotropic, direction_of(isotropic)) == 1
    direction = direction_of(narrow)
    along = (narrow.astype(np.float64) @ direction).mean()
    stretch = stretch_of(narrow, direction)
    assert stretch == pytest.approx(along / np.sqrt(1 - along**2), rel=1e-3)
    assert 3 < stretch < 7
    longer = stretched(narrow, direction, stretch)
    np.testing.assert_allclose(longer @ direction, stretch * (narrow @ direction), rtol=1e-5)
    across = narrow - np.outer(narrow @ direction, direction)
    np.testing.assert_allclose(longer - np.outer(longer @ direction, direction), across, atol=1e-5)
    np.testing.assert_allclose(stretched(longer, direction, 1 / stretch), narrow, atol=1e-5)


def test_a_changed_byte_is_a_problem(tmp_path):
    entry = write_codebook(tmp_path, "0000000000000006", Codebook.rounded(clustered(30, 60)), 0.25)
    folder, _ = open_codebook(tmp_path, entry, DIM)
    (path,) = tmp_path.rglob("centroids.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    (problem,) = folder.problems()
    assert "centroids.npy" in problem


@given(
    entry=st.builds(
        CodebookEntry,
        name=st.text("0123456789abcdef", min_size=16, max_size=16),
        centroids=st.integers(1, 65_536),
        residual_norm=st.floats(0, 1e9),
        files=st.tuples(
            *(
                st.builds(ColumnFile, st.just(name), st.integers(0, 2**40), st.integers(0, 2**32 - 1))
                for name in ("along.npy", "centroids.npy", "direction.npy", "scales.npy")
            )
        ),
    )
)
def test_an_entry_survives_json(entry):
    before_format_5 = replace(entry, files=entry.files[1::2])
    for one in (entry, before_format_5):
        assert CodebookEntry.from_json(json.loads(json.dumps(one.to_json()))) == one
    assert (entry.has_direction, before_format_5.has_direction) == (True, False)


@pytest.mark.parametrize(("tokens", "clusters", "centroids"), [(20_000, 300, 400), (20_000, 3000, 600)])
def test_two_levels_are_about_as_good_as_one(tokens, clusters, centroids):
    sample = clustered(tokens, clusters, spread=0.6)
    flat, _ = kmeans2(sample, centroids, iter=10, minit="points", seed=5)
    codebook = train(sample, centroids)
    assert mean_residual(sample, codebook.centroids) < 1.1 * mean_residual(sample, Codebook.rounded(flat).centroids)
