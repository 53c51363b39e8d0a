"""The score of every hit is MaxSim of the vectors that are stored, at any dimension, and hits stand in its order."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from late_interaction.engines import LocalEngine
from tests.engines.helpers import record, small_thresholds

DOCUMENTS = 440
DEVICES = [None, "cpu:0"]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Many small steps on few cores are slow when several wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def documents(dim, *, seed=0):
    """Documents of 0 to 25 tokens with far more directions than there will be centroids, so that residuals are long."""
    rng = np.random.default_rng(seed)
    for number in range(DOCUMENTS):
        length = int(rng.integers(0, 26))
        yield record(f"d{number}", vectors=unit(rng.normal(size=(length, dim))) if length else np.empty((0, dim)))


def queries(dim):
    rng = np.random.default_rng(7)
    return [unit(rng.normal(size=(tokens, dim))) for tokens in (1, 5, 32)] + [3.5 * unit(rng.normal(size=(4, dim)))]


@contextmanager
def compressed(root, dim, bits):
    """An index whose first documents are compressed, in several segments, and whose last are not; some are deleted."""
    with small_thresholds(1000, 450), LocalEngine.open(root, dim=dim, bits=bits) as engine:
        made = list(documents(dim))
        for start, end in [(0, 200), (200, 420), (420, DOCUMENTS)]:
            engine.upsert(made[start:end])
        engine.delete(ids=[f"d{number}" for number in range(0, DOCUMENTS, 13)])
        info = engine.info()
        assert 0 < info["exact_tokens"] < info["tokens"]
        yield engine


def true_scores(engine, query):
    """MaxSim by id, in double precision, of what the engine says is stored."""
    stored = engine.vectors([document.id for document in engine.scan()])
    return {
        key: float((query.astype(np.float64) @ own.T.astype(np.float64)).max(axis=1).sum()) if len(own) else 0.0
        for key, own in stored.items()
    }


def check(matches, truth, size):
    """The scores are true but for the rounding of single precision, and the order is theirs."""
    found = np.array([match.score for match in matches])
    np.testing.assert_allclose(found, [truth[match.id] for match in matches], rtol=2e-5, atol=2e-6 * size)
    assert (np.diff(found) <= 0).all()


@pytest.mark.parametrize(
    ("dim", "bits"),
    [(3, 4), (5, 8), (8, 1), (8, 4), (16, 2), (16, 4), (17, 3), (48, 4), (128, 1), (128, 3), (128, 4), (128, 8)],
)
def test_every_hit_has_its_true_score(tmp_path, dim, bits):
    with compressed(tmp_path / "index", dim, bits):
        pass
    for device in DEVICES:
        with LocalEngine.open(tmp_path / "index", read_only=True, device=device) as engine:
            for query in queries(dim):
                search_and_check(engine, query)


def search_and_check(engine, query):
    truth = true_scores(engine, query)
    size = float(np.linalg.norm(query, axis=1).sum())
    for k in (1, 10, 100, DOCUMENTS + 1):
        matches = engine.search(query, k)
        assert len(matches) == min(k, len(truth))
        check(matches, truth, size)
    ranking = sorted(truth.values(), reverse=True)
    assert [match.score for match in matches] == pytest.approx(ranking, rel=2e-5, abs=2e-6 * size)
    some = [f"d{number}" for number in range(0, DOCUMENTS, 7)]
    check(engine.search(query, 10, candidates=some), truth, size)
    check(engine.search(query, len(some), candidates=some), truth, size)


@pytest.mark.parametrize("dim", [8, 16])
def test_few_dimensions_cost_no_recall(tmp_path, dim):
    with compressed(tmp_path / "index", dim, 4) as engine:
        shares = []
        for seed in range(20):
            query = unit(np.random.default_rng(seed).normal(size=(8, dim)))
            truth = true_scores(engine, query)
            best = sorted(truth, key=lambda key: -truth[key])[:10]
            shares.append(len({match.id for match in engine.search(query, 10)} & set(best)) / 10)
        assert np.mean(shares) >= 0.98
