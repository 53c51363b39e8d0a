"""Searches while the server fails: what passes is tried again, the rest is one of two errors, on every way in."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document as LangChainDocument
from typer.testing import CliRunner

from late_interaction import Document, Index
from late_interaction.cli import app
from late_interaction.errors import EngineRefusedError, EngineUnavailableError
from late_interaction.langchain import LateInteractionReranker, LateInteractionRetriever, LateInteractionVectorStore
from late_interaction.llama_index import LateInteractionIndex
from late_interaction.llama_index import LateInteractionRetriever as LlamaIndexRetriever
from tests.engines.qdrant.failing import FOR_A_MOMENT, FOR_GOOD, REFUSALS
from tests.fakes import WordEncoder
from tests.qdrant_edge.faults import hang, refuse

TEXTS = {"nile": "The Nile flows north", "paris": "Paris is a city", "rain": "Rain falls in spring"}
QUERY = "the city of Paris"


class Named(WordEncoder):
    """One that an index remembers by name, as the command line needs it."""

    source, revision = "minilm", None


@pytest.fixture
def index(open_engine, faults, monkeypatch):
    encoder = Named()
    monkeypatch.setattr("late_interaction.index_encoder.shared_encoder", lambda *_, **__: encoder)
    index = Index(engine=open_engine(dim=encoder.dim, candidates=2), encoder=encoder)
    index.add([Document(text, id=name, metadata={"length": len(text)}) for name, text in TEXTS.items()])
    assert index.search(QUERY, k=1)[0].id == "paris"
    faults.clear()
    return index


def langchain_documents(found):
    return [document.id for document in found]


WAYS = {
    "search": lambda index: [hit.id for hit in index.search(QUERY, k=2)],
    "lexical": lambda index: [hit.id for hit in index.search("Paris city", k=2, mode="lexical")],
    "hybrid": lambda index: [hit.id for hit in index.search(QUERY, k=2, mode="hybrid")],
    "filter": lambda index: [hit.id for hit in index.search(QUERY, k=2, where={"length": {"$gt": 1}})],
    "search-many": lambda index: [hit.id for hits in index.search_many([QUERY, QUERY], k=2) for hit in hits],
    "rerank": lambda index: [hit.id for hit in index.rerank(QUERY, ids=["nile", "paris"], k=2)],
    "explain": lambda index: list(index.explain(QUERY, "paris").spans),
    "get": lambda index: [document.text for document in index.get(["paris", "nile"])],
    "scan": lambda index: [document.id for document in index.scan()],
    "langchain-retriever": lambda index: langchain_documents(LateInteractionRetriever(index=index, k=2).invoke(QUERY)),
    "langchain-store": lambda index: langchain_documents(
        LateInteractionVectorStore(index=index).similarity_search(QUERY, k=2)
    ),
    "langchain-mmr": lambda index: langchain_documents(
        LateInteractionVectorStore(index=index).max_marginal_relevance_search(QUERY, k=2)
    ),
    "langchain-reranker": lambda index: langchain_documents(
        LateInteractionReranker(index=index).compress_documents(
            [LangChainDocument(text, id=name) for name, text in TEXTS.items()], QUERY
        )
    ),
    "llama-index-retriever": lambda index: [
        one.node.node_id for one in LlamaIndexRetriever(index=index, similarity_top_k=2).retrieve(QUERY)
    ],
    "llama-index-index": lambda index: [
        one.node.node_id for one in LateInteractionIndex(index=index).as_retriever(similarity_top_k=2).retrieve(QUERY)
    ],
}


SAMPLE = ["filter", "langchain-retriever", "llama-index-retriever"]


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("way", [pytest.param(one, marks=[] if one in SAMPLE else [pytest.mark.slow]) for one in WAYS])
def test_each_way_in(index, faults, clock, way):
    WAYS[way](index)  # what is known for a minute is asked now
    faults.clear()
    expected = WAYS[way](index)
    assert expected
    operations = faults.operations()
    for number in range(1, len(operations) + 1):
        for name in ("503", "429-after", "closed-applied"):
            faults.clear()
            clock.waits.clear()
            faults.on(None, FOR_A_MOMENT[name], nth=number)
            assert WAYS[way](index) == expected, (operations, number)
            assert len(clock.waits) == 1, (operations, number, name)
        for name in ("503", "closed", "403", "400"):
            faults.clear()
            faults.on(None, FOR_GOOD[name], nth=number, times=10_000)
            kind = EngineRefusedError if name in REFUSALS else EngineUnavailableError
            with pytest.raises(kind):
                WAYS[way](index)
            if name in REFUSALS and way != "search-many":
                assert len(faults.operations()) == number
    faults.clear()
    assert WAYS[way](index) == expected


COMMANDS = [["get", "paris"], ["search", QUERY], ["list"], ["info"], ["rerank", QUERY], ["verify"]]


@pytest.mark.parametrize("protocol", ["rest"])  # the port of gRPC is not in an address
@pytest.mark.parametrize(
    "command",
    [pytest.param(one, marks=[pytest.mark.slow] if place else [], id=one[0]) for place, one in enumerate(COMMANDS)],
)
def test_the_command_line(index, served, faults, clock, command):
    name, *arguments = command
    arguments = [name, *arguments] if name == "rerank" else [name, f"qdrant+{served.url}/documents", *arguments]
    arguments += ["--index", f"qdrant+{served.url}/documents"] if name == "rerank" else []
    text = "\n".join(TEXTS)
    done = CliRunner().invoke(app, arguments, input=text, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    output, operations = done.stdout, faults.operations()
    for number in range(1, len(operations) + 1):
        faults.clear()
        faults.on(None, FOR_A_MOMENT["503"], nth=number)
        done = CliRunner().invoke(app, arguments, input=text, catch_exceptions=False)
        assert (done.exit_code, done.stdout, done.stderr) == (0, output, "")
        for fault in ("closed", "403"):
            faults.clear()
            faults.on(None, FOR_GOOD[fault], nth=number, times=10_000)
            done = CliRunner().invoke(app, arguments, input=text, catch_exceptions=False)
            assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1), (number, operations, done.stderr)
            assert "Traceback" not in done.stderr
            assert ("cannot be reached" if fault == "closed" else "refuses the API key") in done.stderr


@pytest.mark.usefixtures("clock")
def test_no_server(free_tcp_port):
    address = f"qdrant+http://127.0.0.1:{free_tcp_port}/documents"
    with pytest.raises(EngineUnavailableError, match="cannot be reached"):
        Index.open(address, dim=3)
    done = CliRunner().invoke(app, ["info", address], catch_exceptions=False)
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)


def test_a_server_that_restarts(index, faults, monkeypatch):
    from tests.engines.qdrant.clocks import Clock

    monkeypatch.setattr("late_interaction.engines.remote.retries.time", Clock(speed=10))
    faults.on("query_points", refuse(0.1))
    assert index.search(QUERY, k=1)[0].id == "paris"


@pytest.mark.slow
def test_a_server_that_does_not_answer(open_engine, faults, clock):
    engine = open_engine(timeout=1)
    faults.on("count", hang(30, applied=1), times=2)
    assert engine.count() == 0
    faults.on("count", hang(30, applied=1), times=10_000)
    with pytest.raises(EngineUnavailableError, match="timeout="):
        engine.count()
    assert faults.operations().count("count") == 3 + 5
