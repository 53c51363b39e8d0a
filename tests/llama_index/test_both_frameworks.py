"""One index through LangChain and LlamaIndex."""

from __future__ import annotations

import pytest

pytest.importorskip("langchain_core")

from langchain_core.documents import Document as LangChainDocument
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode

from late_interaction.langchain import LateInteractionReranker, LateInteractionVectorStore
from late_interaction.langchain import LateInteractionRetriever as LangChainRetriever
from late_interaction.llama_index import (
    LateInteractionIndex,
    LateInteractionRerank,
    LateInteractionRetriever,
)


@pytest.fixture
def node():
    return TextNode(
        text="they flow north",
        id_="n",
        metadata={"title": "rivers"},
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="book")},
    )


def test_written_by_langchain_read_by_llama_index(index):
    given = [
        LangChainDocument("the nile", id="nile", metadata={"kind": "river"}),
        LangChainDocument("the seine", id="seine", metadata={"kind": "river", "short": True}),
    ]
    LateInteractionVectorStore(index=index).add_documents(given)
    found = LateInteractionRetriever(index=index, where={"short": True}).retrieve("seine")
    assert [(node.node.node_id, node.node.text) for node in found] == [("seine", "the seine")]
    assert found[0].node.metadata == {"kind": "river", "short": True}
    assert found[0].score == pytest.approx(1, abs=1e-3)
    LateInteractionIndex(index=index).delete_nodes(["nile"])
    assert LateInteractionVectorStore(index=index).get_by_ids(["nile", "seine"]) == [given[1]]


def test_written_by_llama_index_read_by_langchain(index, node):
    LateInteractionIndex([node], index=index)
    found = LangChainRetriever(index=index, where={"title": "rivers", "ref_doc_id": "book"}).invoke("rivers")
    assert [(document.id, document.page_content) for document in found] == [("n", "they flow north")]
    assert found[0].metadata["title"] == "rivers"
    assert LateInteractionVectorStore(index=index).delete(["n"])
    assert LateInteractionRetriever(index=index).retrieve("rivers") == []


def test_there_and_back(index, node):
    """A node that LangChain has read and stored again is still that node."""
    LateInteractionIndex([node], index=index)
    store = LateInteractionVectorStore(index=index)
    store.add_documents(store.get_by_ids(["n"]))
    assert LateInteractionRetriever(index=index).retrieve("north")[0].node == node


def test_reranked_by_langchain_from_stored_vectors(index, node, word_encoder):
    LateInteractionIndex([node], index=index)
    found = LangChainRetriever(index=index).invoke("rivers")
    ranked = LateInteractionReranker(index=index).compress_documents(found, "rivers")
    assert word_encoder.documents_encoded == 1
    assert ranked[0].metadata["relevance_score"] == pytest.approx(1, abs=1e-3)


def test_reranked_by_llama_index_from_stored_vectors(index, word_encoder):
    LateInteractionVectorStore(index=index).add_texts(["they flow north"], [{"title": "rivers"}])
    found = LateInteractionRetriever(index=index).retrieve("north")
    ranked = LateInteractionRerank(index=index).postprocess_nodes(found, query_str="north")
    assert word_encoder.documents_encoded == 1
    assert ranked[0].score == pytest.approx(found[0].score)
