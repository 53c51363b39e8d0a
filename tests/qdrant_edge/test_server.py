"""What a server does beside its operations: keys, limits, versions, several clients at once."""

import asyncio
import warnings
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import pytest
from qdrant_client import AsyncQdrantClient
from qdrant_client.http import models
from qdrant_client.http.exceptions import UnexpectedResponse
from qdrant_client.qdrant_remote import QdrantRemote

from tests.qdrant_edge import serve

VECTORS = models.VectorParams(size=2, distance="Dot")


def test_a_key_is_required(edge_folder):
    with serve(edge_folder, api_key="secret") as served:
        for prefer_grpc in (False, True):
            settings = {"prefer_grpc": prefer_grpc, "https": False}
            assert served.client(api_key="secret", **settings).get_collections().collections == []
            for wrong, part in [(None, "Must provide an API key"), ("guess", "Invalid API key")]:
                with pytest.raises((UnexpectedResponse, grpc.RpcError)) as caught:
                    served.client(api_key=wrong, **settings).get_collections()
                error = caught.value
                if prefer_grpc:
                    assert error.code() == grpc.StatusCode.UNAUTHENTICATED
                    assert part in error.details()
                else:
                    assert error.status_code == 401
                    assert part in error.content.decode()
        assert httpx.get(f"{served.url}/readyz").status_code == 200


@pytest.mark.parametrize("prefer_grpc", [False, True])
def test_a_key_may_be_for_reading_alone(edge_folder, prefer_grpc):
    with serve(edge_folder, api_key="all", read_only_api_key="read") as served:
        settings = {"prefer_grpc": prefer_grpc, "https": False}
        served.client(api_key="all", **settings).create_collection("docs", vectors_config=VECTORS)
        client = served.client(api_key="read", **settings)
        assert client.count("docs").count == 0
        assert client.query_points("docs", query=[1.0, 2.0]).points == []
        with pytest.raises((UnexpectedResponse, grpc.RpcError)) as caught:
            client.delete("docs", [1])
        error = caught.value
        assert (error.code() if prefer_grpc else error.status_code) in (403, grpc.StatusCode.PERMISSION_DENIED)


def test_the_versions_fit(edge_folder):
    with serve(edge_folder) as served, warnings.catch_warnings():
        warnings.simplefilter("error")
        QdrantRemote._check_compatibility(served.url, {}, None, 5)
        assert served.client(prefer_grpc=True).info().version.startswith("1.")


def test_a_body_beyond_the_limit_is_refused(edge_folder):
    with serve(edge_folder) as served:
        client = served.client()
        client.create_collection("docs", vectors_config=VECTORS)
        large = models.PointStruct(id=1, vector=[1.0, 2.0], payload={"text": "x" * (32 * 1024 * 1024)})
        with pytest.raises(UnexpectedResponse) as caught:
            client.upsert("docs", [large])
        assert caught.value.status_code == 400
        assert "is larger than allowed (limit: 33554432 bytes)" in caught.value.structured()["status"]["error"]
        assert client.count("docs").count == 0


def test_unknown_requests_are_not_found(edge_folder):
    with serve(edge_folder) as served:
        assert httpx.get(f"{served.url}/nothing").status_code == 404
        response = httpx.post(f"{served.url}/collections/docs/points/count", content=b"{not json")
        assert response.status_code == 400
        assert response.json()["status"]["error"].startswith("Format error in JSON body")


@pytest.mark.parametrize("prefer_grpc", [False, True])
def test_several_clients_write_and_read_at_once(edge_folder, prefer_grpc):
    with serve(edge_folder) as served:
        settings = {"prefer_grpc": prefer_grpc}
        served.client(**settings).create_collection("docs", vectors_config=VECTORS)

        def work(worker):
            client = served.client(**settings)
            for number in range(10):
                id_ = worker * 100 + number
                client.upsert("docs", [models.PointStruct(id=id_, vector=[1.0, float(number)])])
                assert client.retrieve("docs", [id_])[0].id == id_
                assert client.query_points("docs", query=[1.0, 0.0], limit=1).points
            client.close()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        assert served.client(**settings).count("docs").count == 80


@pytest.mark.parametrize("prefer_grpc", [False, True])
def test_the_asynchronous_client(edge_folder, prefer_grpc):
    async def work(served):
        client = AsyncQdrantClient(
            url=served.url, grpc_port=served.grpc_port, prefer_grpc=prefer_grpc, check_compatibility=False
        )
        await client.create_collection("docs", vectors_config=VECTORS)
        points = [models.PointStruct(id=number, vector=[1.0, float(number)]) for number in range(20)]
        await asyncio.gather(*(client.upsert("docs", [point]) for point in points))
        found = await asyncio.gather(*(client.query_points("docs", query=[1.0, -9.0], limit=1) for _ in range(5)))
        assert [[each.id for each in response.points] for response in found] == [[0]] * 5
        await client.close()

    with serve(edge_folder) as served:
        asyncio.run(work(served))


def test_names_of_collections(edge_folder):
    with serve(edge_folder) as served:
        client = served.client()
        for name in ("a.b", "ä ö", "x" * 200):
            client.create_collection(name, vectors_config=VECTORS)
        for name in ("a:b", "a/b", "x" * 300):
            with pytest.raises(UnexpectedResponse) as caught:
                client.create_collection(name, vectors_config=VECTORS)
            assert caught.value.status_code in (400, 422)
    with serve(edge_folder) as served:
        names = [each.name for each in served.client().get_collections().collections]
        assert names == sorted(["a.b", "ä ö", "x" * 200])
