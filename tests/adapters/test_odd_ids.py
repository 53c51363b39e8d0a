"""Ids with control characters, NUL among them, through the classes of both frameworks."""

from __future__ import annotations

from langchain_core.documents import Document as LangChainDocument
from llama_index.core.schema import TextNode

from late_interaction import Index
from late_interaction.langchain import LateInteractionRetriever, LateInteractionVectorStore
from late_interaction.llama_index import LateInteractionIndex
from late_interaction.llama_index import LateInteractionRetriever as LlamaRetriever
from tests.fakes import WordEncoder

IDS = ["a\0b", "a", "line\nfeed", "\x1b[2J"]


def test_langchain(tmp_path):
    with Index.open(tmp_path / "index", encoder=WordEncoder()) as index:
        store = LateInteractionVectorStore(index=index)
        assert store.add_documents([LangChainDocument("nile", id=name) for name in IDS]) == IDS
        assert [document.id for document in store.get_by_ids(["a\0b"])] == ["a\0b"]
        assert {document.id for document in LateInteractionRetriever(index=index).invoke("nile")} == set(IDS)
        assert store.delete(["a"])
        assert [document.id for document in store.get_by_ids(IDS)] == ["a\0b", *IDS[2:]]


def test_llama_index(tmp_path):
    with Index.open(tmp_path / "index", encoder=WordEncoder()) as index:
        llama = LateInteractionIndex([TextNode(text="nile", id_=name) for name in IDS], index=index)
        for mode in ("late", "lexical"):
            found = LlamaRetriever(index=index, node_ids=["a\0b"], mode=mode).retrieve("nile")
            assert [one.node.node_id for one in found] == ["a\0b"]
        llama.delete_nodes(["a"])
        assert {one.node.node_id for one in llama.as_retriever(similarity_top_k=9).retrieve("nile")} == {*IDS} - {"a"}
