"""The centroids that another engine may use: those of the codebook, in the coordinates of the vectors."""

from __future__ import annotations

import numpy as np
import pytest

from late_interaction.engines import LocalEngine, transfer
from tests.conformance.weak_engines import ServerEngine
from tests.engines.helpers import record, records_on_disk, small_thresholds, unit_vectors

DIM = 32


@pytest.fixture
def compressed(tmp_path):
    """An index of vectors around a few directions, and of a common one."""
    centers = unit_vectors(1, 20, DIM) + 0.5 * unit_vectors(2, 1, DIM)
    rng = np.random.default_rng(3)
    with small_thresholds(400, 200), LocalEngine.open(tmp_path / "index", dim=DIM, bits=8) as engine:
        records = []
        for number in range(100):
            vectors = centers[rng.integers(20, size=10)] + 0.05 * rng.normal(size=(10, DIM))
            records.append(record(str(number), vectors=vectors.astype(np.float32)))
        engine.upsert(records)
        engine.compact()
        yield engine


def test_assigning_vectors_to_them_gives_the_stored_codes(compressed):
    centroids = compressed.centroids()
    assert centroids.shape == (compressed.info()["centroids"], DIM)
    assert centroids.dtype == np.float32
    stored = records_on_disk(compressed.path)
    equal = []
    for key, vectors in compressed.vectors(list(stored)).items():
        nearest = ((vectors[:, None] - centroids) ** 2).sum(-1).argmin(1)
        equal += (nearest == np.frombuffer(stored[key]["codes"], np.uint16)).tolist()
    assert np.mean(equal) > 0.9


def test_none_before_there_is_a_codebook(tmp_path):
    with LocalEngine.open(tmp_path / "index", dim=DIM) as engine:
        engine.upsert([record("a", dim=DIM)])
        assert engine.centroids() is None
    with LocalEngine.open(tmp_path / "exact", dim=DIM, bits=None) as engine:
        assert engine.centroids() is None


def test_a_transfer_gives_them_to_the_target_before_the_first_write(compressed, tmp_path):
    target = ServerEngine.open(tmp_path / "server", dim=DIM)
    given = []
    target.adopt_centroids = lambda centroids: given.append((centroids, target.count()))
    transfer(compressed, target, verify=0)
    ((centroids, documents),) = given
    np.testing.assert_array_equal(centroids, compressed.centroids())
    assert documents == 0
