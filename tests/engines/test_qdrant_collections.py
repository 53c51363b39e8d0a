"""Which collections are opened, created and refused; what is kept beside the documents; what is never shown."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import warnings

import pytest
from qdrant_client import QdrantClient, models

from late_interaction import Document, Index
from late_interaction.engines import QdrantEngine
from late_interaction.engines.qdrant import schema
from late_interaction.engines.qdrant.addresses import parse_location
from late_interaction.errors import (
    EngineRefusedError,
    EngineUnavailableError,
    IndexClosedError,
    IndexLockedError,
    IndexNotFoundError,
    InvalidRequestError,
    InvalidVectorsError,
    ReadOnlyIndexError,
)
from tests.conformance.helpers import ids_of, record, unit_vectors
from tests.engines.helpers import CHILD_ENVIRONMENT
from tests.engines.qdrant_engines import connect
from tests.fakes import WordEncoder
from tests.qdrant_edge import serve
from tests.qdrant_edge.conftest import edge_folder  # noqa: F401  # a fixture

KEY = "s3cret-k3y"


class TestAddresses:
    @pytest.mark.parametrize(
        ("location", "url", "collection"),
        [
            ("qdrant+http://localhost:6333/books", "http://localhost:6333", "books"),
            ("qdrant+https://qdrant.example/a/b%20c", "https://qdrant.example/a", "b c"),
            ("qdrant+http://[::1]:6333", "http://[::1]:6333", "documents"),
            ("QDRANT+HTTP://localhost:6333/", "http://localhost:6333", "documents"),
        ],
    )
    def test_of_a_server(self, location, url, collection):
        address = parse_location(location)
        assert (address.url, address.collection, address.path) == (url, collection, None)
        assert parse_location(address.location) == address

    def test_of_a_directory(self, tmp_path):
        address = parse_location(f"qdrant:{tmp_path}/x")
        assert (address.url, address.collection, address.path) == (None, "documents", tmp_path / "x")
        assert address.location == f"qdrant:{tmp_path}/x"

    @pytest.mark.parametrize(
        "location",
        [
            "qdrant+http://user:s3cret-k3y@localhost:6333/x",
            "qdrant+http://s3cret-k3y@localhost:6333/x",
            "qdrant+http://localhost:6333/x?api_key=s3cret-k3y",
            "qdrant+http://localhost:6333/x#s3cret-k3y",
            "qdrant+http:///x",
            "qdrant+http://localhost:99999/x",
            "qdrant+http://localhost:6333/a%2Fb",
            "qdrant:",
            "qdrant://localhost:6333/x",
            "qdrant://s3cret-k3y@localhost/x",
        ],
    )
    def test_refused_without_showing_credentials(self, location):
        with pytest.raises(InvalidRequestError) as caught:
            Index.open(location, dim=2)
        assert KEY not in str(caught.value)

    @pytest.mark.parametrize(
        "arguments",
        [
            {},
            {"url": "http://localhost:6333", "path": "x"},
            {"url": "localhost:6333"},
            {"location": ":memory:", "candidates": 0},
            {"location": ":memory:", "collection": "a/b"},
            {"location": ":memory:", "shard_number": 0},
            {"location": ":memory:", "language": "klingon"},
            {"location": ":memory:", "timeout": "x"},
            {"location": ":memory:", "timeout": float("nan")},
            {"location": ":memory:", "prefer_grpc": "yes"},
            {"location": ":memory:", "grpc_port": 65536},
            {"location": ":memory:", "read_consistency": "most"},
            {"location": ":memory:", "quantization": "scalar"},
        ],
    )
    def test_bad_arguments(self, arguments):
        name = [*arguments][-1] if "location" in arguments else "url=|http://"
        with pytest.raises(InvalidRequestError, match=name):
            QdrantEngine(**arguments)

    def test_settings_of_the_local_engine_are_refused(self, tmp_path):
        for setting in ({"bits": 2}, {"bits": None}, {"device": "cuda"}):
            with pytest.raises(InvalidRequestError, match="quantization="):
                Index.open(f"qdrant:{tmp_path}/x", dim=2, **setting)
        assert not (tmp_path / "x").exists()


class TestLocalMode:
    def test_opening_what_is_not_there_creates_nothing(self, tmp_path):
        for options in ({}, {"read_only": True}, {"read_only": True, "dim": 2}):
            with pytest.raises(IndexNotFoundError):
                QdrantEngine.open(f"qdrant:{tmp_path}/x", **options)
        assert list(tmp_path.iterdir()) == []

    def test_a_directory_is_open_once(self, tmp_path):
        with (
            Index.open(f"qdrant:{tmp_path}/x", encoder=WordEncoder(16)),
            pytest.raises(IndexLockedError, match="open elsewhere"),
        ):
            Index.open(f"qdrant:{tmp_path}/x")
        with Index.open(f"qdrant:{tmp_path}/x", encoder=WordEncoder(16)) as index:
            assert len(index) == 0

    def test_a_directory_of_something_else_is_left_alone(self, tmp_path):
        (tmp_path / "x").mkdir()
        (tmp_path / "x" / "notes.txt").write_text("mine")
        with pytest.raises(InvalidRequestError, match=r"notes\.txt"):
            Index.open(f"qdrant:{tmp_path}/x", dim=2)
        assert [path.name for path in (tmp_path / "x").iterdir()] == ["notes.txt"]

    def test_read_only(self, tmp_path):
        with QdrantEngine(path=tmp_path / "x", dim=16) as engine:
            engine.upsert([record("a")])
        with QdrantEngine(path=tmp_path / "x", read_only=True) as engine:
            assert engine.read_only
            assert engine.count() == 1
            for write in (
                lambda: engine.upsert([record("b")]),
                engine.clear,
                lambda: engine.delete(ids=["a"]),
                lambda: engine.record_encoder({}),
                lambda: engine.update_metadata(["a"], {"n": 1}),
                lambda: engine.set_root(["a"], 1),
                engine.compact,
                lambda: engine.adopt_centroids(unit_vectors(1, 4)),
            ):
                with pytest.raises(ReadOnlyIndexError):
                    write()
            assert ids_of(engine.scan()) == ["a"]

    def test_it_comes_back_by_its_pickle(self, tmp_path):
        index = Index.open(f"qdrant:{tmp_path}/x", dim=16)
        index.add([Document("old river", id="a")], vectors=[unit_vectors(1, 3)])
        data = pickle.dumps(index)
        index.close()
        with pickle.loads(data) as again:
            assert [hit.id for hit in again.search(unit_vectors(1, 3), 1)] == ["a"]

    def test_a_forked_child_is_refused(self, tmp_path):
        with QdrantEngine(path=tmp_path / "x", dim=16) as engine:
            engine.upsert([record("a")])
            reader, writer = os.pipe()
            child = os.fork()
            if child == 0:
                try:
                    engine.count()
                except IndexLockedError as error:
                    os.write(writer, str(error).encode()[:2000])
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
            assert b"forked" in os.read(reader, 4000)
            assert engine.count() == 1


class TestClients:
    def test_a_client_of_the_caller_is_not_closed(self):
        client = QdrantClient(":memory:")
        first = QdrantEngine(client=client, dim=16)
        first.upsert([record("a")])
        first.close()
        with pytest.raises(IndexClosedError):
            first.count()
        second = QdrantEngine(client=client)
        assert second.count() == 1
        assert second.reopening is None
        client.close()
        with pytest.raises(IndexClosedError):
            second.count()

    def test_a_collection_that_is_prepared_later(self):
        client = QdrantClient(":memory:")
        engine = QdrantEngine(client=client, collection="later")
        for call in (lambda: engine.dim, engine.count, lambda: engine.search([[1.0]]), lambda: engine.encoder_record):
            with pytest.raises(IndexNotFoundError, match="encoder"):
                call()
        index = Index(engine=engine, encoder=WordEncoder(16))
        index.add(["old river"])
        assert (engine.dim, len(index)) == (16, 1)
        engine.prepare(99)
        assert engine.dim == 16
        client.close()

    def test_two_collections_of_one_server_know_nothing_of_each_other(self):
        client = QdrantClient(":memory:")
        one = QdrantEngine(client=client, collection="one", dim=16)
        two = QdrantEngine(client=client, collection="two", dim=16)
        one.upsert([record("a")])
        assert (one.count(), two.count()) == (1, 0)
        client.close()


class TestForeignCollections:
    @pytest.fixture
    def client(self):
        client = QdrantClient(":memory:")
        yield client
        client.close()

    def test_of_another_layout(self, client):
        client.create_collection("documents", vectors_config=models.VectorParams(size=16, distance="Cosine"))
        client.upsert("documents", [models.PointStruct(id=1, vector=[1.0] * 16, payload={"mine": True})])
        with pytest.raises(InvalidRequestError, match="did not create it"):
            QdrantEngine(client=client, dim=16)
        assert client.count("documents").count == 1

    def test_of_our_layout_with_points_of_others(self, client):
        client.create_collection("documents", **schema.layout(16, None))
        client.upsert("documents", [models.PointStruct(id=1, vector={}, payload={"mine": True})])
        with pytest.raises(InvalidRequestError, match="did not create it"):
            QdrantEngine(client=client, dim=16)
        assert client.count("documents").count == 1

    def test_a_creation_that_was_interrupted_is_completed(self, client):
        client.create_collection("documents", **schema.layout(16, None))
        assert QdrantEngine(client=client, dim=16).count() == 0

    def test_of_a_newer_release(self, client):
        QdrantEngine(client=client, dim=16)
        value = json.dumps({"version": schema.FORMAT_VERSION + 1, "dim": 16, "language": None})
        client.set_payload("documents", {"value": value}, [schema.point_id(schema.SETTING, "format")])
        with pytest.raises(InvalidRequestError, match="newer"):
            QdrantEngine(client=client)

    def test_of_another_dimension_or_language(self, client):
        QdrantEngine(client=client, dim=16, language="german")
        with pytest.raises(InvalidVectorsError, match="16"):
            QdrantEngine(client=client, dim=17)
        with pytest.raises(InvalidRequestError, match="german"):
            QdrantEngine(client=client, language="french")
        assert QdrantEngine(client=client).language == "german"

    def test_points_of_others_are_no_documents(self, client):
        engine = QdrantEngine(client=client, dim=16)
        engine.upsert([record("a")])
        client.upsert("documents", [models.PointStruct(id=5, vector={"mean": [1.0] * 16}, payload={"mine": True})])
        assert engine.count() == 1
        assert ids_of(engine.scan()) == ["a"]
        assert ids_of(engine.search(unit_vectors(1, 2))) == ["a"]
        assert engine.clear() == 1
        assert client.retrieve("documents", [5])


class TestCredentials:
    @pytest.fixture
    def served(self, edge_folder):  # noqa: F811
        with serve(edge_folder, api_key=KEY) as served:
            yield served

    @pytest.mark.parametrize("grpc", [False, True], ids=["http", "grpc"])
    def test_without_a_key(self, served, grpc, monkeypatch):
        monkeypatch.delenv("QDRANT_API_KEY", raising=False)
        for key in (None, "wrong-k3y"):
            with pytest.raises(EngineRefusedError, match="QDRANT_API_KEY") as caught:
                connect(served, grpc=grpc, api_key=key, dim=16)
            assert "wrong-k3y" not in str(caught.value)

    @pytest.mark.parametrize("grpc", [False, True], ids=["http", "grpc"])
    def test_with_the_key_of_the_environment_which_is_nowhere_shown(self, served, grpc, monkeypatch):
        monkeypatch.setenv("QDRANT_API_KEY", KEY)
        engine = connect(served, grpc=grpc, dim=16)
        engine.upsert([record("a")])
        assert engine.info()["protocol"] == ("grpc" if grpc else "rest")
        for shown in (repr(engine), str(engine.info()), str(engine.reopening), repr(engine._connection._settings)):
            assert KEY not in shown
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Api key is used with an insecure connection")
            location, settings = engine.reopening
            again = QdrantEngine.open(location, **settings)
        assert again.count() == 1
        engine.close()
        again.close()


def test_a_server_that_is_not_there():
    with pytest.raises(EngineUnavailableError, match=r"127\.0\.0\.1:9"):
        QdrantEngine("http://127.0.0.1:9", dim=2, timeout=1)


def test_grpc_is_used_if_it_answers(edge_folder):  # noqa: F811
    with serve(edge_folder) as served:
        with QdrantEngine(served.url, dim=16, grpc_port=served.grpc_port) as engine:
            assert engine.info()["protocol"] == "grpc"
        with QdrantEngine(served.url) as engine:  # whose port of gRPC nobody knows
            assert engine.info()["protocol"] == "rest"
        with QdrantEngine(served.url, grpc_port=served.http_port) as engine:
            assert engine.info()["protocol"] == "rest"


def test_quantized_vectors_are_found_and_scored_exactly(edge_folder):  # noqa: F811
    scalar = models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type="int8", always_ram=True))
    with serve(edge_folder) as served, QdrantEngine(served.url, dim=16, quantization=scalar, candidates=60) as engine:
        records = [record(f"d{number}") for number in range(80)]
        engine.upsert(records)
        assert engine.info()["quantized"]
        found = engine.search(records[7].vectors, 10)
        assert found[0].id == "d7"
        scores = engine.score(records[7].vectors, ids_of(found))
        assert {match.id: match.score for match in found} == pytest.approx(scores, abs=1e-3)


def test_a_missing_client_names_the_extra():
    code = (
        "import sys\nsys.modules['qdrant_client'] = None\n"
        "from late_interaction import Index\nfrom late_interaction.errors import OptionalDependencyError\n"
        "try:\n    Index.open('qdrant:x', dim=2)\nexcept OptionalDependencyError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=CHILD_ENVIRONMENT, check=True
    )
    assert "pip install 'late-interaction[qdrant]'" in done.stdout


@pytest.mark.parametrize("grpc", [False, True], ids=["http", "grpc"])
def test_a_forked_child_connects_anew(edge_folder, grpc):  # noqa: F811
    with serve(edge_folder) as served, connect(served, grpc=grpc, dim=16) as engine:
        engine.upsert([record("a")])
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                found = ids_of(engine.search(unit_vectors(1, 2), 1))
                os.write(writer, f"{found} {engine.info()['protocol']}".encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reader, 100) == b"['a'] rest"
        assert engine.count() == 1
