"""The same random calls to the engine, in process and over both wires, and to the client's own local mode."""

import warnings

import pytest
from qdrant_client import QdrantClient
from qdrant_client.http import models

from tests.qdrant_edge import EdgeClient, serve
from tests.qdrant_edge.random_calls import DIM, RandomCalls


@pytest.fixture(params=["in process", "http", "grpc"])
def client(request, edge_folder):
    if request.param == "in process":
        client = EdgeClient(edge_folder)
        yield client
        client.close()
        return
    with serve(edge_folder) as served:
        client = served.client(prefer_grpc=request.param == "grpc", check_compatibility=False)
        yield client
        client.close()


@pytest.fixture
def local():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it ignores payload indexes
        client = QdrantClient(":memory:")
        yield client
        client.close()


def prepare(client):
    client.create_collection(
        "docs",
        vectors_config={
            "tokens": models.VectorParams(
                size=DIM, distance="Dot", multivector_config=models.MultiVectorConfig(comparator="max_sim")
            ),
            "mean": models.VectorParams(size=DIM, distance="Dot"),
        },
        sparse_vectors_config={
            "ids": models.SparseVectorParams(),
            "words": models.SparseVectorParams(modifier=models.Modifier.IDF),
        },
    )


def comparable(value):
    """Return a result without what may differ: versions, rounding, absent against empty payloads, types of ids."""
    match value:
        case models.ScoredPoint():
            return (
                "point",
                str(value.id),
                comparable(value.score),
                comparable(value.payload or {}),
                comparable(value.vector),
            )
        case models.Record():
            return ("point", str(value.id), comparable(value.payload or {}), comparable(value.vector))
        case models.QueryResponse():
            return comparable(value.points)
        case models.CountResult():
            return value.count
        case models.SparseVector():
            return comparable(dict(zip(value.indices, value.values, strict=True)))
        case dict():
            return {key: comparable(each) for key, each in value.items()}
        case list() | tuple():
            return [comparable(each) for each in value]
        case float():
            return pytest.approx(value, abs=1e-4)
    return value


@pytest.mark.parametrize("seed", range(4))
def test_random_calls_have_the_results_of_local_mode(client, local, seed):
    calls = RandomCalls(seed)
    for each in (client, local):
        prepare(each)
    for _ in range(30):
        write, arguments = calls.write()
        getattr(local, write)("docs", **arguments)
        getattr(client, write)("docs", **arguments)
        for _ in range(5):
            read, arguments = calls.read()
            expected, found = (getattr(each, read)("docs", **arguments) for each in (local, client))
            if read == "retrieve":  # in no order
                expected, found = (sorted(each, key=lambda record: str(record.id)) for each in (expected, found))
            assert comparable(found) == comparable(expected), (read, arguments)
