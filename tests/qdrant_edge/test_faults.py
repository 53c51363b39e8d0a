"""Each fault, over HTTP and over gRPC: what the real client raises, and what the engine has written."""

import contextlib
import time

import grpc
import httpx
import pytest
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http import models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from tests.qdrant_edge import serve
from tests.qdrant_edge.faults import Faults, answer, close, cut, delay, hang, refuse

POINTS = [models.PointStruct(id=number, vector=[1.0, float(number)], payload={"n": number}) for number in range(10)]


@pytest.fixture
def faults():
    return Faults()


@pytest.fixture(params=["http", "grpc"])
def client(request, edge_folder, faults):
    with serve(edge_folder, faults=faults) as served:
        client = served.client(prefer_grpc=request.param == "grpc", timeout=1)
        client.create_collection("docs", vectors_config=models.VectorParams(size=2, distance="Dot"))
        faults.clear()
        yield client
        client.close()


def code(client, call):
    """Return what the client raises: an HTTP status, an exception of httpx, or a code of gRPC."""
    if not client._client._prefer_grpc:
        with pytest.raises((UnexpectedResponse, ResponseHandlingException)) as caught:
            call()
        error = caught.value
        return error.status_code if isinstance(error, UnexpectedResponse) else type(error.source)
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code()


def written(client):
    return [each.id for each in client.scroll("docs", limit=100)[0]]


@pytest.mark.parametrize("status", [429, 500, 502, 503])
@pytest.mark.parametrize("applied", [0, 0.5, 1])
def test_an_error_answer_after_a_part_was_written(client, faults, status, applied):
    faults.on("upsert", answer(status, applied=applied), nth=2)
    client.upsert("docs", POINTS[:1])
    codes = {429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 502: "UNAVAILABLE", 503: "UNAVAILABLE"}
    assert code(client, lambda: client.upsert("docs", POINTS[2:8])) in (status, grpc.StatusCode[codes[status]])
    assert written(client) == [0, *range(2, 2 + int(6 * applied))]
    client.upsert("docs", POINTS)
    assert written(client) == list(range(10))
    assert faults.operations() == ["upsert", "upsert", "scroll", "upsert", "scroll"]


def test_half_of_other_batches(client, faults):
    for operation in ("batch_update_points", "delete"):
        faults.on(operation, answer(500, applied=0.5))
    batch = [models.UpsertOperation(upsert=models.PointsList(points=[each])) for each in POINTS[:4]]
    code(client, lambda: client.batch_update_points("docs", batch))
    assert written(client) == [0, 1]
    columns = models.Batch(ids=[1, 2, 3, 4], vectors=[[1.0, 0.0]] * 4, payloads=[{}] * 4)
    faults.on("upsert", answer(500, applied=0.5))
    code(client, lambda: client.upsert("docs", columns))
    assert written(client) == [0, 1, 2]
    code(client, lambda: client.delete("docs", [0, 1, 2, 3]))
    assert written(client) == [2]


def test_retry_after_reaches_the_client(client, faults):
    faults.on("upsert", answer(429, retry_after=7))
    with pytest.raises(ResourceExhaustedResponse) as caught:
        client.upsert("docs", POINTS)
    assert caught.value.retry_after_s == 7
    assert written(client) == []


@pytest.mark.parametrize("applied", [0, 1])
def test_a_connection_that_is_closed_without_an_answer(client, faults, applied):
    faults.on("upsert", close(applied=applied))
    lost = (httpx.ReadError, httpx.RemoteProtocolError, grpc.StatusCode.UNAVAILABLE)
    assert code(client, lambda: client.upsert("docs", POINTS)) in lost
    assert len(written(client)) == 10 * applied


def test_a_connection_that_is_cut_while_sending(client, faults):
    faults.on("upsert", cut())
    lost = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError, grpc.StatusCode.UNAVAILABLE)
    assert code(client, lambda: client.upsert("docs", POINTS)) in lost
    assert written(client) == []


def test_a_timeout_after_the_write_was_applied(client, faults):
    faults.on("upsert", hang(10, applied=1))
    begin = time.monotonic()
    late = (httpx.ReadTimeout, grpc.StatusCode.DEADLINE_EXCEEDED)
    assert code(client, lambda: client.upsert("docs", POINTS)) in late
    assert time.monotonic() - begin < 5
    assert len(written(client)) == 10


def test_a_late_answer_is_the_right_one(client, faults):
    faults.on("count", delay(0.2))
    begin = time.monotonic()
    assert client.count("docs").count == 0
    assert time.monotonic() - begin >= 0.2


def test_a_server_that_restarts(client, faults):
    client.upsert("docs", POINTS)
    faults.on("count", refuse(0.3))
    code(client, lambda: client.count("docs"))
    refused = (httpx.ConnectError, grpc.StatusCode.UNAVAILABLE)
    assert code(client, lambda: client.count("docs")) in refused
    time.sleep(0.5)
    assert client.count("docs").count == 10


def test_the_record_holds_the_requests(client, faults):
    faults.on("upsert", answer(503), times=2)
    for _ in range(3):
        with contextlib.suppress(UnexpectedResponse, grpc.RpcError):
            client.upsert("docs", POINTS[:1])
    assert [each.fault and each.fault.status for each in faults.seen] == [503, 503, None]
    assert all(each.size > 10 for each in faults.seen)
    request = faults.seen[0].request
    assert len(request["points"] if isinstance(request, dict) else request.points) == 1
