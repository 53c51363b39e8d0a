"""Transfers into a server that fails: nothing is twice, and the same transfer again completes it."""

from __future__ import annotations

import pytest

from late_interaction.engines import LocalEngine
from late_interaction.engines.qdrant import writing
from late_interaction.transferring import copying, transfer
from tests.engines.helpers import DIM
from tests.engines.qdrant.failing import FOR_A_MOMENT, FOR_GOOD, error_of
from tests.engines.qdrant.writes import BEFORE, content, record

pytestmark = pytest.mark.usefixtures("clock")


@pytest.fixture
def source(tmp_path):
    with LocalEngine.open(tmp_path / "source", dim=DIM, bits=None) as engine:
        engine.upsert([record(f"source{number}") for number in range(8)] + [record("old1", 2)])
        yield engine


@pytest.fixture
def wanted():
    new = [record(f"source{number}") for number in range(8)] + [record("old1", 2)]
    return {one.document.id: content(one) for one in [*BEFORE, *new]}


FAULTS = {f"moment-{name}": (fault, 1) for name, fault in FOR_A_MOMENT.items()}
FAULTS |= {f"good-{name}": (fault, 10_000) for name, fault in FOR_GOOD.items()}
CASES = [pytest.param("grpc", "good-500-half", 11, id="sample")]
CASES += [
    pytest.param(protocol, fault, 1, marks=pytest.mark.slow, id=f"{protocol}-{fault}")
    for protocol in ("rest", "grpc")
    for fault in FAULTS
]


@pytest.mark.parametrize(("protocol", "fault", "step"), CASES)
def test_the_server_fails_at_each_request(open_engine, stored, faults, source, wanted, fault, step, monkeypatch):
    monkeypatch.setattr(copying, "_CHUNK_DOCUMENTS", 3)
    monkeypatch.setattr(writing, "_BATCH_DOCUMENTS", 2)
    engine = open_engine()
    engine.upsert(BEFORE)
    stored.save()
    faults.clear()
    transfer(source, engine, verify=2)
    operations = faults.operations()
    assert stored.documents() == wanted
    what, times = FAULTS[fault]
    for number in range(1, len(operations) + 1, step):
        where = (number, operations)
        stored.restore()
        engine = open_engine()
        faults.clear()
        faults.on(None, what, nth=number, times=times)
        error = error_of(lambda engine=engine: transfer(source, engine, verify=2))
        faults.clear()
        after = stored.documents()
        assert error is not None or after == wanted, where
        assert times > 1 or error is None, where
        assert all(one in (wanted[key], content(record(key))) for key, one in after.items()), where
        assert {one.document.id for one in BEFORE} <= after.keys(), where
        assert set(getattr(error, "written", ())) <= after.keys(), where
        report = transfer(source, engine, verify=2)
        assert stored.documents() == wanted, where
        assert report.documents == 9, where
        engine.close()
