"""An address works wherever the classes of a framework take the path of an index."""

from __future__ import annotations

import itertools
import json

import pytest
from langchain_core.documents import Document as LangChainDocument
from llama_index.core import StorageContext, load_index_from_storage
from llama_index.core.schema import TextNode

from late_interaction import Index
from late_interaction.engines.registry import ENGINES, EngineEntry
from late_interaction.errors import IndexNotFoundError, ReadOnlyIndexError
from late_interaction.langchain import LateInteractionReranker, LateInteractionRetriever, LateInteractionVectorStore
from late_interaction.llama_index import LateInteractionIndex, LateInteractionRerank
from late_interaction.llama_index import LateInteractionRetriever as LlamaRetriever
from late_interaction.llama_index import LateInteractionVectorStore as LlamaStore
from tests.fakes import WordEncoder

_NUMBERS = itertools.count()


@pytest.fixture
def address(monkeypatch):
    """An address where there is no index yet."""
    monkeypatch.setitem(ENGINES, "MemoryEngine", EngineEntry("tests.memory_engine", ("memory",)))
    return f"memory:adapters-{next(_NUMBERS)}"


@pytest.fixture
def named(monkeypatch):
    """The encoder that is found under any name."""
    encoder = WordEncoder()
    encoder.source, encoder.revision = "minilm", None
    monkeypatch.setattr("late_interaction.index_encoder.shared_encoder", lambda *_, **__: encoder)
    return encoder


@pytest.fixture
def filled(address, named):
    """An address with two documents."""
    with Index.open(address, encoder="minilm") as index:
        index.add(["the nile is a river", "paris is a city"])
    return address


class TestLangChain:
    def test_store(self, address, named):
        store = LateInteractionVectorStore.from_texts(["the nile", "paris"], "minilm", ids=["a", "b"], index=address)
        assert store.similarity_search("nile", k=1)[0].id == "a"
        again = LateInteractionVectorStore(index=address, read_only=True)
        assert again.get_by_ids(["b"])[0].page_content == "paris"
        with pytest.raises(ReadOnlyIndexError):
            again.add_texts(["new"])

    def test_retriever(self, filled):
        assert LateInteractionRetriever(index=filled, k=1).invoke("river")[0].page_content == "the nile is a river"

    def test_reranker(self, filled):
        reranker = LateInteractionReranker(index=filled, top_n=1)
        documents = [LangChainDocument("paris is a city"), LangChainDocument("the nile is a river")]
        assert reranker.compress_documents(documents, "river")[0].page_content == "the nile is a river"

    def test_nothing_there(self, address):
        with pytest.raises(IndexNotFoundError):
            LateInteractionRetriever(index=address)


class TestLlamaIndex:
    def test_index(self, address, named, tmp_path):
        nodes = [TextNode(text="the nile", id_="a"), TextNode(text="paris", id_="b")]
        llama = LateInteractionIndex(nodes, index=address, encoder="minilm")
        assert llama.as_retriever(similarity_top_k=1).retrieve("nile")[0].node_id == "a"
        llama.persist(tmp_path / "copy")
        assert not (tmp_path / "copy").exists()  # the database keeps it
        assert LateInteractionIndex.load(address).index.count() == 2

    def test_a_storage_context_keeps_the_address(self, address, named, tmp_path):
        llama = LateInteractionIndex([TextNode(text="the nile", id_="a")], index=address, encoder="minilm")
        llama.storage_context.persist(str(tmp_path / "saved"))
        loaded = load_index_from_storage(StorageContext.from_defaults(persist_dir=str(tmp_path / "saved")))
        assert isinstance(loaded, LateInteractionIndex)
        assert [document.id for document in loaded.index.scan()] == ["a"]

    def test_loading_creates_nothing(self, address, named):
        with pytest.raises(IndexNotFoundError):
            LateInteractionIndex.load(address, encoder="minilm")
        with pytest.raises(IndexNotFoundError):
            Index.open(address)

    def test_store(self, filled, tmp_path):
        store = LlamaStore(index=filled)
        store.persist(str(tmp_path / "store"))
        assert not (tmp_path / "store").exists()
        assert store.to_dict()["index"] == filled
        assert len(LlamaStore.from_dict(json.loads(json.dumps(store.to_dict()))).get_nodes()) == 2

    def test_retriever_and_reranker(self, filled):
        assert LlamaRetriever(index=filled, similarity_top_k=1).retrieve("city")[0].text == "paris is a city"
        assert LateInteractionRerank(index=filled).to_dict()["index"] == filled


@pytest.mark.parametrize("scheme", ["redis", "qdrant+http"])
@pytest.mark.parametrize("made", [LateInteractionRetriever, LateInteractionReranker, LateInteractionIndex, LlamaStore])
def test_credentials_are_not_shown(made, scheme):
    with pytest.raises(ValueError, match="address") as refused:  # pydantic's, around ours
        made(index=f"{scheme}://me:secret@host/docs")
    assert "secret" not in f"{refused.value} {refused.value!r}"


def test_a_directory_of_qdrant(tmp_path, named):
    """The real client in local mode, through both frameworks: its directory is not one of the local engine."""
    pytest.importorskip("qdrant_client")
    address = f"qdrant:{tmp_path / 'docs'}"
    store = LateInteractionVectorStore.from_texts(["the nile", "paris"], "minilm", ids=["a", "b"], index=address)
    assert store.similarity_search("nile", k=1)[0].id == "a"
    llama = LateInteractionIndex(index=store.index)
    llama.storage_context.persist(str(tmp_path / "saved"))
    store.index.close()
    loaded = load_index_from_storage(StorageContext.from_defaults(persist_dir=str(tmp_path / "saved")))
    assert loaded.as_retriever(similarity_top_k=1).retrieve("paris")[0].node_id == "b"
    loaded.index.close()
