"""Training centroids, writing the sparse vectors that are missing, and extending, while the server fails.

Documents are written all the same. The next call that writes completes the first stage.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from late_interaction.engines import first_stage
from late_interaction.engines.first_stage import training
from late_interaction.engines.qdrant import first_stage as filling
from late_interaction.engines.qdrant import writing
from tests.engines.qdrant.failing import FOR_A_MOMENT, FOR_GOOD, error_of
from tests.engines.qdrant.writes import BEFORE, CONTENT_BEFORE, content, record

FAULTS = {f"moment-{name}": (fault, 1) for name, fault in FOR_A_MOMENT.items()}
FAULTS |= {f"good-{name}": (fault, 10_000) for name, fault in FOR_GOOD.items()}
SAMPLE = {("extend", "grpc", "good-closed-applied")}
FIRST = [record("new0")]
MORE = [record(f"more{number}") for number in range(20)]

pytestmark = pytest.mark.usefixtures("clock")


def cases():
    found = []
    for step, protocol, fault in itertools.product(("train", "extend"), ("rest", "grpc"), FAULTS):
        marks = [] if (step, protocol, fault) in SAMPLE else [pytest.mark.slow]
        found.append(pytest.param(step, protocol, fault, marks=marks, id=f"{step}-{protocol}-{fault}"))
    return found


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Few documents are enough for few centroids, and several requests."""
    monkeypatch.setattr(training, "_CENTROIDS_PER_ROOT_TOKEN", 1)
    monkeypatch.setattr(filling, "_FILLED_TOGETHER", 2)
    monkeypatch.setattr(writing, "_BATCH_DOCUMENTS", 8)


@pytest.fixture
def records(open_engine, stored, monkeypatch, step):
    """The records that a call adds, which lets the first stage take a step; the collection is saved before it."""
    engine = open_engine()
    engine.upsert(BEFORE)
    monkeypatch.setattr(first_stage, "MIN_TRAINING_TOKENS", 10)
    if step == "extend":
        engine.upsert(FIRST)
        assert complete(stored)
    else:
        assert stored.without_centroids() == CONTENT_BEFORE.keys()
    stored.save()
    return FIRST if step == "train" else MORE


@pytest.mark.parametrize(("step", "protocol", "fault"), cases())
def test_the_server_fails_at_each_request(open_engine, stored, faults, records, step, fault):
    wanted = stored.documents() | {one.document.id: content(one) for one in records}
    engine = open_engine()
    faults.clear()
    engine.upsert(records)
    operations = faults.operations()
    before = stored.documents().keys()
    assert complete(stored)
    assert len(engine.centroids()) > (3 if step == "train" else 4)
    what, times = FAULTS[fault]
    for number in range(1, len(operations) + 1):
        where = (number, operations)
        stored.restore()
        engine = open_engine()
        faults.clear()
        faults.on(None, what, nth=number, times=times)
        error = error_of(engine.upsert, records)
        faults.clear()
        after = stored.documents()
        if error is None:
            assert after == wanted, where
        assert after.keys() <= before, where
        assert all(after.get(key) == one for key, one in CONTENT_BEFORE.items()), where
        if times == 1:
            assert error is None, where
            assert complete(stored), where
        if number % 2:
            engine.close()
            engine = open_engine()
        assert engine.verify(), where  # whatever is there is of use
        engine.upsert(records)
        assert stored.documents() == wanted, where
        assert complete(stored, may_have_others=times > 1), where
        assert engine.verify(), where
        engine.close()


def complete(stored, *, may_have_others=False):
    """Return whether every document has the sparse vector of its nearest centroids.

    What was written before an extension has those of fewer centroids, the first ones. No other centroids are stored,
    unless the server failed between storing them and naming them in the setting.
    """
    centroids, state, others = stored.centroids()
    assert state == "complete"
    assert may_have_others or not others
    assert not stored.without_centroids()
    for point in stored.points():
        if point.payload["kind"] == "document":
            tokens = np.asarray(point.vector["tokens"])
            distances = np.linalg.norm(tokens[:, None] - centroids, axis=2)
            possible = [{*distances[:, :count].argmin(axis=1).tolist()} for count in range(1, len(centroids) + 1)]
            assert {*point.vector["centroids"].indices} in possible
    return True
