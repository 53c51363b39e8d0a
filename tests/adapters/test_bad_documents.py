"""One document of many that cannot be stored: the error names it, nothing is added, and reranking ranks it anyway."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest
from langchain_core.documents import Document as LangChainDocument
from llama_index.core.schema import NodeWithScore, TextNode

from late_interaction import Document, Index
from late_interaction.errors import InvalidDocumentError
from late_interaction.langchain import LateInteractionReranker, LateInteractionVectorStore
from late_interaction.llama_index import LateInteractionIndex, LateInteractionRerank
from tests.fakes import WordEncoder

BAD = "formula \ud835 here"


@pytest.fixture
def index(tmp_path):
    with Index.open(tmp_path / "index", encoder=WordEncoder()) as index:
        yield index


def add_to_core(index, texts, ids, metadatas):
    if ids[0] is None and not any(metadatas):
        return index.add(texts)
    return index.add(
        Document(text, id=given, metadata=metadata) for text, given, metadata in zip(texts, ids, metadatas, strict=True)
    )


def add_to_langchain(index, texts, ids, metadatas):
    store = LateInteractionVectorStore(index=index)
    rows = zip(texts, ids, metadatas, strict=True)
    return store.add_documents([LangChainDocument(text, id=given, metadata=data) for text, given, data in rows])


def add_texts(index, texts, ids, metadatas):
    return LateInteractionVectorStore(index=index).add_texts(texts, metadatas, ids=ids)


def add_nodes(index, texts, ids, metadatas):
    rows = zip(texts, ids, metadatas, strict=True)
    nodes = [TextNode(text=text, id_=given, metadata=data) for text, given, data in rows]
    return LateInteractionIndex(index=index).insert_nodes(nodes)


WAYS = [add_to_core, add_to_langchain, add_texts, add_nodes]


@pytest.mark.parametrize("add", WAYS)
@pytest.mark.parametrize("broken", ["text", "metadata", "nested"])
def test_the_error_names_the_document(index, add, broken):
    texts, metadatas = [f"page {n}" for n in range(20)], [{"n": n} for n in range(20)]
    if broken == "text":
        texts[13] = BAD
    else:
        metadatas[13] = {"key": BAD} if broken == "metadata" else {"key": [{"inner": object()}]}
    with pytest.raises(InvalidDocumentError, match="page-13") as caught:
        add(index, texts, [f"page-{n}" for n in range(20)], metadatas)
    assert "page-12" not in str(caught.value)
    assert len(index) == 0


@pytest.mark.parametrize("add", WAYS[:3])
def test_a_document_without_an_id_is_named_by_its_position(index, add):
    texts = ["a", "b", BAD, "c"]
    with pytest.raises(InvalidDocumentError, match=r"documents\[2\].*Unicode.*character 8"):
        add(index, texts, [None] * 4, [{}] * 4)
    assert len(index) == 0
    with pytest.raises(InvalidDocumentError, match=r"documents\[1\].*not int"):
        index.add(["a", 5])


def test_one_rule_for_metadata_in_every_way(index):
    zone = datetime.timezone(datetime.timedelta(hours=-3))
    given = {"at": datetime.datetime(2024, 5, 6, 22, tzinfo=zone), "price": Decimal("9.90"), "none": None}
    stored = {"at": "2024-05-07T01:00:00+00:00", "price": 9.9, "none": None}
    for place, add in enumerate(WAYS):
        add(index, [f"text {place}"], [f"id-{place}"], [given])
        [document] = index.get([f"id-{place}"])
        assert {key: document.metadata[key] for key in stored} == stored
        assert index.count(where={**given, "at": {"$lte": given["at"]}}) == place + 1
    retriever = LateInteractionIndex(index=index).as_retriever(similarity_top_k=9)
    assert all(found.node.metadata.items() >= stored.items() for found in retriever.retrieve("text"))


def test_nodes_come_back_with_their_relationships(index):
    import numpy as np
    from llama_index.core import Document as LlamaDocument
    from llama_index.core.node_parser import SentenceSplitter

    source = LlamaDocument(
        text="One nile. " * 40, id_="source", metadata={"n": np.int64(3), "at": datetime.date(2024, 1, 2)}
    )
    nodes = SentenceSplitter(chunk_size=60, chunk_overlap=0).get_nodes_from_documents([source])
    llama = LateInteractionIndex(nodes, index=index)
    found = llama.as_retriever(similarity_top_k=1).retrieve("nile")[0].node
    assert found.metadata == found.source_node.metadata == {"n": 3, "at": "2024-01-02"}
    assert found.source_node.hash == source.hash
    assert source.metadata["n"].dtype == np.int64  # the caller's are not changed


BAD_CANDIDATES = {
    "text": {"text": BAD},
    "only half a pair": {"text": "\ud835"},
    "id": {"text": "formula here", "id": "\ud835"},
    "metadata": {"text": "formula here", "metadata": {"key": BAD, "other": object, 3: {1}}},
    "reference to a page": {"text": "formula here", "metadata": {"_page_image": {"no": "image"}}},
}


@pytest.mark.parametrize("name", BAD_CANDIDATES)
@pytest.mark.parametrize("with_index", [False, True])
def test_a_bad_candidate_is_ranked_and_comes_back_as_it_was(index, name, with_index):
    given = {"metadata": {}, "id": "bad", **BAD_CANDIDATES[name]}
    source = {"index": index} if with_index else {"encoder": WordEncoder()}
    documents = [
        LangChainDocument("red apples", id="good"),
        LangChainDocument(given["text"], id=given["id"], metadata={str(k): v for k, v in given["metadata"].items()}),
    ]
    found = LateInteractionReranker(**source).compress_documents(documents, "apples")
    assert [document.page_content for document in found] == ["red apples", given["text"]]
    assert found[1].id == given["id"]
    found = LateInteractionReranker(**source).compress_documents(documents, "a formula")
    if name != "only half a pair":
        assert found[0].page_content == given["text"]
    nodes = [TextNode(text=document.page_content, id_=document.id) for document in documents]
    nodes[1].metadata = documents[1].metadata
    nodes[1].excluded_embed_metadata_keys = [*nodes[1].metadata]
    scored = [NodeWithScore(node=node) for node in nodes]
    ranked = LateInteractionRerank(**source).postprocess_nodes(scored, query_str="apples")
    assert [found.node for found in ranked] == nodes
    assert ranked[1].node is nodes[1]


def test_core_ranks_a_string_that_cannot_be_stored(index):
    hits = index.rerank("a formula", documents=["red apples", BAD])
    assert [hit.text for hit in hits] == [BAD, "red apples"]
    assert hits[0].score > 0.9
    with pytest.raises(InvalidDocumentError, match=r"documents\[1\]"):
        index.rerank("a formula", documents=["red apples", BAD], store=True)
    assert len(index) == 0
