"""API keys: right, wrong and missing. They are in no repr, error, log, pickle, info nor output."""

from __future__ import annotations

import copy
import logging
import pickle
import traceback

import pytest
from typer.testing import CliRunner

from late_interaction import Document, Index
from late_interaction.cli import app
from late_interaction.engines import QdrantEngine
from late_interaction.errors import EngineRefusedError, InvalidRequestError, LateInteractionError
from tests.engines.helpers import DIM
from tests.fakes import PlainEncoder
from tests.qdrant_edge import serve

KEY, WRONG = "k3y-of-the-server-4711", "wr0ng-key-0815"
ODD = ["line-4711-end\n", "two\nlines-4711", "clé-4711-é", "tab-4711\there", "null-4711\0", "two words-4711"]


@pytest.fixture
def served(edge_folder):
    with serve(edge_folder, api_key=KEY) as served:
        yield served


@pytest.fixture
def open_engine(served, protocol, monkeypatch):
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)
    engines = []

    def open_engine(**settings):
        grpc = {"prefer_grpc": protocol == "grpc", "grpc_port": served.grpc_port}
        engines.append(QdrantEngine(served.url, **{"dim": DIM, **grpc, **settings}))
        return engines[-1]

    yield open_engine
    for engine in engines:
        engine.close()


@pytest.fixture
def clean(caplog):
    """Finds the key in texts, and in what was logged."""
    caplog.set_level(logging.DEBUG)

    def clean(*texts, keys=(KEY, WRONG)):
        for text in [*texts, *map(str, caplog.records), caplog.text, *(repr(one.__dict__) for one in caplog.records)]:
            for key in keys:
                assert key not in text
        return True

    return clean


def shown(error):
    """Return all that a program can show of an error."""
    return [str(error), repr(error), repr(error.args), "".join(traceback.format_exception(error))]


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
class TestKeys:
    def test_the_right_key(self, open_engine, clean, monkeypatch):
        given = open_engine(api_key=KEY)
        monkeypatch.setenv("QDRANT_API_KEY", KEY)
        found = open_engine()
        for engine in (given, found):
            encoder = PlainEncoder(DIM)
            with Index(engine=engine, encoder=encoder) as index:
                index.add([Document("a fact", id="a")])
                assert [hit.id for hit in index.search("fact", k=1)] == ["a"]
                parts = [
                    repr(index),
                    repr(engine),
                    repr(index.info()),
                    repr(engine.reopening),
                    repr(engine.capabilities),
                ]
                parts += [repr(one) for one in vars(engine).values()]
                parts += [repr(one) for one in vars(engine._connection).values()]
                data = pickle.dumps(index)
                assert clean(*parts, data.decode("latin-1"))
                again = pickle.loads(data)  # the key is that of the environment
                assert again.get(["a"])
                again.close()
                other = copy.copy(index)
                assert len(other) == 1
                other.close()

    @pytest.mark.parametrize("key", [WRONG, None])
    def test_a_wrong_key_and_none(self, open_engine, clean, key):
        with pytest.raises(EngineRefusedError, match="QDRANT_API_KEY") as caught:
            open_engine(api_key=key)
        assert clean(*shown(caught.value))

    def test_the_key_is_given_to_no_server_that_answers_strangely(self, open_engine, clean, monkeypatch, served):
        monkeypatch.setenv("QDRANT_API_KEY", KEY)
        engine = open_engine()
        served.server.delete("documents")
        with pytest.raises(LateInteractionError) as caught:
            engine.count()
        assert clean(*shown(caught.value))

    @pytest.mark.parametrize("key", ODD, ids=range(len(ODD)))
    def test_a_key_that_no_request_can_hold(self, open_engine, clean, monkeypatch, key):
        with pytest.raises(InvalidRequestError, match="api_key=") as caught:
            open_engine(api_key=key)
        assert clean(*shown(caught.value), keys=["4711"])
        if "\0" not in key:
            monkeypatch.setenv("QDRANT_API_KEY", key)
            with pytest.raises(InvalidRequestError, match="QDRANT_API_KEY") as caught:
                open_engine()
            assert clean(*shown(caught.value), keys=["4711"])

    @pytest.mark.parametrize("command", [["info", "--json"], ["get", "a"]], ids=["info", "get"])
    def test_the_command_line(self, open_engine, served, clean, monkeypatch, command):
        engine = open_engine(api_key=KEY)
        with Index(engine=engine, encoder=PlainEncoder(DIM)) as index:
            index.add([Document("a fact", id="a")])
        name, *arguments = command
        for key in (KEY, WRONG):
            monkeypatch.setenv("QDRANT_API_KEY", key)
            location = f"qdrant+{served.url}/documents"
            done = CliRunner().invoke(app, [name, location, *arguments], catch_exceptions=False)
            assert done.exit_code == (0 if key == KEY else 1)
            assert clean(done.stdout, done.stderr)
            if key == WRONG:
                assert not done.stdout
                assert len(done.stderr.splitlines()) == 1
                assert "refuses the API key" in done.stderr


ADDRESSES = [
    "http://me:pa55word@localhost:6333",
    "https://pa55word@localhost",
    "ftp://me:pa55word@localhost:6333",
    "http:me:pa55word@localhost",
    "http:/me:pa55word@localhost:6333",
    "me:pa55word@localhost:6333",
    "http://me:pa55word@localhost:port",
    "http://me:pa55word@[localhost",
    "http://localhost:6333?api-key=pa55word",
    "http://localhost:6333/#pa55word",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_with_credentials_are_refused(address, clean):
    uses = [
        lambda: QdrantEngine(address),
        lambda: QdrantEngine(location=address),
        lambda: QdrantEngine.open(f"qdrant+{address}"),
        lambda: QdrantEngine.open(f"qdrant+{address}/documents"),
    ]
    is_path = address.startswith("me:")  # without http, what follows the first colon may be anything
    if not is_path:
        uses.append(lambda: Index.open(f"qdrant+{address}/documents", dim=3))
    for use in uses:
        with pytest.raises(InvalidRequestError) as caught:
            use()
        assert clean(str(caught.value), repr(caught.value), keys=["pa55word"])
    if is_path:
        return
    done = CliRunner().invoke(app, ["info", f"qdrant+{address}/documents"], catch_exceptions=False)
    assert done.exit_code == 1
    assert clean(done.stdout, done.stderr, keys=["pa55word"])
