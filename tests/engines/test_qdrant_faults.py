"""A server that fails, over HTTP and gRPC: what is reported as written is written, and the same call completes it."""

from __future__ import annotations

import time

import grpc
import pytest
from qdrant_client.http.exceptions import ApiException

from late_interaction.engines.qdrant import writing
from late_interaction.errors import (
    EngineRefusedError,
    EngineUnavailableError,
    PartialWriteError,
)
from tests.conformance.helpers import ids_of, record, unit_vectors
from tests.engines.qdrant_engines import served_engine
from tests.qdrant_edge.conftest import edge_folder  # noqa: F401  # a fixture
from tests.qdrant_edge.faults import Faults, answer, close, cut, hang, refuse

RECORDS = [record(f"d{number}", n=number) for number in range(10)]
IDS = [one.document.id for one in RECORDS]
TRANSIENT = {
    "429": answer(429),
    "429 with a wait": answer(429, retry_after=1),
    "500 after it was written": answer(500, applied=1),
    "502": answer(502),
    "503 after half of it": answer(503, applied=0.5),
    "closed": close(),
    "closed after it was written": close(applied=1),
    "cut off": cut(),
    "timed out after it was written": hang(1.5, applied=1),
    "refused for a moment": refuse(0.02),
}


@pytest.fixture
def faults():
    return Faults()


@pytest.fixture(params=["http", "grpc"])
def engine(request, edge_folder, faults, monkeypatch):  # noqa: F811
    monkeypatch.setattr(writing, "_BATCH_DOCUMENTS", 4)
    with served_engine(edge_folder, faults=faults, grpc=request.param == "grpc", timeout=1) as engine:
        faults.clear()
        yield engine


def stored(engine):
    return ids_of(engine.scan(fields=()))


@pytest.mark.parametrize("fault", TRANSIENT)
def test_one_failure_is_tried_again(engine, faults, fault):
    faults.on("upsert", TRANSIENT[fault], nth=2)
    assert engine.upsert(RECORDS) == IDS
    assert stored(engine) == IDS
    assert faults.operations().count("upsert") == 4
    assert engine.count() == len(RECORDS)


@pytest.mark.parametrize("fault", [answer(503), answer(503, applied=0.5), answer(500, applied=1), close(applied=0.5)])
@pytest.mark.parametrize("records", [list, iter], ids=["list", "iterator"])
def test_what_is_reported_as_written_is_written(engine, faults, fault, records):
    faults.on("upsert", fault, nth=2, times=3)
    with pytest.raises(PartialWriteError, match="again") as caught:
        engine.upsert(records(RECORDS))
    error = caught.value
    assert list(error.written) == stored(engine)
    assert error.written[:4] == tuple(IDS[:4])
    rest = IDS if records is list else IDS[:8]
    assert list(error.not_written) == [one for one in rest if one not in error.written]
    assert isinstance(error.__cause__, EngineUnavailableError)
    assert engine.upsert(RECORDS) == IDS
    assert sorted(stored(engine)) == IDS


def test_a_failure_of_the_first_batch_is_no_partial_write(engine, faults):
    faults.on("upsert", answer(503), times=3)
    with pytest.raises(EngineUnavailableError) as caught:
        engine.upsert(RECORDS)
    assert isinstance(caught.value, ConnectionError)
    assert stored(engine) == []


def test_replaced_documents_are_never_lost(engine, faults):
    engine.upsert([record("old", kind="x"), record("d1", kind="x")])
    faults.on("upsert", answer(503), nth=2, times=3)
    new = [record(one, kind="x") for one in IDS]
    with pytest.raises(PartialWriteError):
        engine.upsert(new, replacing={"kind": "x"})
    assert {"old", *IDS[:4]} <= set(stored(engine))
    faults.on("delete", answer(503), times=3)
    with pytest.raises(PartialWriteError, match="replace") as caught:
        engine.upsert(new, replacing={"kind": "x"})
    assert (list(caught.value.written), caught.value.not_written) == (IDS, ())
    engine.upsert(new, replacing={"kind": "x"})
    assert stored(engine) == IDS


def test_a_refusal_is_not_tried_again(engine, faults):
    faults.on("upsert", answer(400))
    with pytest.raises(EngineRefusedError) as caught:
        engine.upsert(RECORDS)
    assert not isinstance(caught.value, EngineUnavailableError)
    assert faults.operations().count("upsert") == 1


@pytest.mark.parametrize("operation", ["query_points", "scroll", "retrieve", "count"])
def test_reads_are_tried_again_and_then_fail_as_ours(engine, faults, operation):
    engine.upsert(RECORDS)
    calls = {
        "query_points": lambda: len(engine.search(unit_vectors(1, 3), 5)),
        "scroll": lambda: len(stored(engine)),
        "retrieve": lambda: len(engine.get(IDS)),
        "count": engine.count,
    }
    engine.search(unit_vectors(1, 3), 5)
    expected = calls[operation]()
    faults.on(operation, answer(503), times=2)
    assert calls[operation]() == expected
    faults.on(operation, answer(503), times=3)
    with pytest.raises(EngineUnavailableError) as caught:
        calls[operation]()
    assert isinstance(caught.value.__cause__, (ApiException, grpc.RpcError))


def test_a_server_that_does_not_answer(engine, faults):
    faults.on("count", hang(3, applied=0), times=9)
    start = time.monotonic()
    with pytest.raises(EngineUnavailableError, match="timeout="):
        engine.count()
    assert 2 < time.monotonic() - start < 6


def test_the_wait_that_the_server_asks_for(engine, faults):
    faults.on("upsert", answer(429, retry_after=1))
    start = time.monotonic()
    engine.upsert(RECORDS[:1])
    assert time.monotonic() - start >= (1.0 if engine.info()["protocol"] == "rest" else 0.0)


def test_an_error_of_the_iterable_passes_through(engine):
    def failing():
        yield from RECORDS[:6]
        raise OSError("of the caller")

    with pytest.raises(OSError, match="of the caller"):
        engine.upsert(failing())
    assert stored(engine) == IDS[:4]
