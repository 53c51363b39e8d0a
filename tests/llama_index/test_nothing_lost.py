"""One index through LangChain and LlamaIndex: ids, metadata and text are the same both ways, also when changed."""

from __future__ import annotations

import copy
import datetime

import pytest

pytest.importorskip("langchain_core")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document as LangChainDocument
from langchain_core.indexing import InMemoryRecordManager
from langchain_core.indexing import index as index_documents
from llama_index.core import Document as SourceDocument
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters

from late_interaction.langchain import LateInteractionReranker, LateInteractionVectorStore
from late_interaction.langchain import LateInteractionRetriever as LangChainRetriever
from late_interaction.llama_index import (
    LateInteractionIndex,
    LateInteractionRerank,
    LateInteractionRetriever,
)

METADATA = {
    "nothing": {},
    "nested": {"author": {"name": "Ada", "born": 1815, "tags": ["a", ["b", {"c": None}]]}, "empty": {}, "list": []},
    "dates": {"day": "2020-01-02", "when": "2020-01-02T03:04:05+00:00"},
    "none": {"a": None, "b": [None, {"c": None}]},
    "unicode": {"größe": "尼罗河 🦓 “quoted” \\ \n\t\x00", "": "empty key", "e\u0301": "combining"},
    "numbers": {"int": 2**63 - 1, "negative": -(2**63), "float": 0.1 + 0.2, "small": 5e-324, "zero": -0.0},
    "booleans beside numbers": {"true": True, "one": 1, "one point": 1.0, "false": False},
    "keys with a meaning elsewhere": {
        "id": "i",
        "text": "t",
        "page_content": "p",
        "doc_id": "d",
        "document_id": "e",
        "relevance_score": 0.5,
        "score": 1,
        "_private": 1,
        "a.b": {"c.d": 1},
        "$eq": 1,
        "class_name": "c",
        "type": "Document",
    },
}
IDS = [
    "plain",
    "a/b c",
    "größe",
    "尼罗河 🦓",
    "O'Brien",
    "%_?*",
    " ",
    "x" * 500,
    "00000000-0000-0000-0000-000000000000",
]


@pytest.fixture
def store(index):
    return LateInteractionVectorStore(index=index)


@pytest.fixture
def llama(index):
    return LateInteractionIndex(index=index)


def own(document):
    """A document of LangChain's without what LlamaIndex has added to it."""
    added = {"_node_content", "_node_type", "ref_doc_id", "_encoded_text"}
    metadata = {key: value for key, value in document.metadata.items() if key not in added}
    return document.model_copy(update={"metadata": metadata})


def exact(value):
    """Tells True from 1 from 1.0, and the order of keys."""
    return repr(value)


@pytest.mark.parametrize("metadata", METADATA.values(), ids=METADATA)
def test_metadata_of_langchain_in_llama_index(store, llama, metadata):
    store.add_documents([LangChainDocument("zebra", id="z", metadata=copy.deepcopy(metadata))])
    node = llama.as_retriever().retrieve("zebra")[0].node
    assert exact(node.metadata) == exact(metadata)
    assert (node.node_id, node.text) == ("z", "zebra")


@pytest.mark.parametrize("metadata", METADATA.values(), ids=METADATA)
def test_metadata_of_llama_index_in_langchain(store, llama, metadata):
    llama.insert_nodes([TextNode(text="zebra", id_="z", metadata=copy.deepcopy(metadata))])
    for document in (store.similarity_search("zebra")[0], store.get_by_ids(["z"])[0]):
        assert exact(own(document).metadata) == exact(metadata)
        assert (document.id, document.page_content) == ("z", "zebra")


@pytest.mark.parametrize("metadata", METADATA.values(), ids=METADATA)
def test_there_and_back(store, llama, metadata):
    """Read by the other framework, stored by it again, and read by the first."""
    given = LangChainDocument("zebra", id="z", metadata=copy.deepcopy(metadata))
    store.add_documents([given])
    relevance = store.index.search("zebra")[0].relevance
    llama.insert_nodes([found.node for found in llama.as_retriever().retrieve("zebra")])
    assert own(store.get_by_ids(["z"])[0]) == given
    assert store.index.search("zebra")[0].relevance == relevance
    assert len(store.index) == 1
    node = TextNode(text="lion", id_="l", metadata=copy.deepcopy(metadata), excluded_embed_metadata_keys=[*metadata])
    llama.insert_nodes([node])
    store.add_documents(store.get_by_ids(["l"]))
    assert llama.as_retriever(similarity_top_k=1).retrieve("lion")[0].node == node


@pytest.mark.parametrize("id_", IDS)
def test_ids(store, llama, id_):
    store.add_documents([LangChainDocument("zebra", id=id_)])
    assert llama.as_retriever(node_ids=[id_]).retrieve("zebra")[0].node.node_id == id_
    llama.insert_nodes([TextNode(text="zebra crossing", id_=id_)])
    assert [document.id for document in store.get_by_ids([id_])] == [id_]
    assert [document.page_content for document in store.similarity_search("zebra")] == ["zebra crossing"]
    store.delete([id_])
    assert llama.as_retriever().retrieve("zebra") == []


def test_an_id_that_langchain_left_out(store, llama):
    [made] = store.add_documents([LangChainDocument("zebra")])
    assert llama.as_retriever().retrieve("zebra")[0].node.node_id == made
    llama.delete_nodes([made])
    assert store.get_by_ids([made]) == []


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(metadata=st.dictionaries(st.text(max_size=5).map(lambda key: "k" + key), json_values, max_size=4))
def test_any_metadata(store, llama, metadata):
    store.add_documents([LangChainDocument("zebra", id="chain", metadata=metadata)])
    llama.insert_nodes(
        [TextNode(text="zebra", id_="llama", metadata=metadata, excluded_embed_metadata_keys=[*metadata])]
    )
    documents = {document.id: own(document) for document in store.similarity_search("zebra")}
    nodes = {found.node.node_id: found.node for found in llama.as_retriever().retrieve("zebra")}
    for name in ("chain", "llama"):
        assert exact(documents[name].metadata) == exact(nodes[name].metadata) == exact(metadata)


def test_dates_are_text_to_both(store, llama):
    day = datetime.date(2020, 1, 2)
    llama.insert_nodes([TextNode(text="zebra", id_="z", metadata={"day": day, "later": datetime.datetime(2021, 1, 2)})])
    metadata = {"day": "2020-01-02", "later": "2021-01-02T00:00:00"}
    assert own(store.get_by_ids(["z"])[0]).metadata == metadata
    assert llama.as_retriever().retrieve("zebra")[0].node.metadata == metadata
    found = LangChainRetriever(index=store.index, where={"day": {"$gte": "2020-01-01"}, "later": {"$gt": "2021"}})
    assert [document.id for document in found.invoke("zebra")] == ["z"]


FILTERS = [
    ("year", FilterOperator.GTE, 2000, {"year": {"$gte": 2000}}),
    ("year", FilterOperator.NE, 2001, {"year": {"$ne": 2001}}),
    ("tags", FilterOperator.CONTAINS, "a", {"tags": "a"}),
    ("name", FilterOperator.IN, ["größe", "x"], {"name": {"$in": ["größe", "x"]}}),
]


@pytest.mark.parametrize(("key", "operator", "value", "where"), FILTERS)
def test_filters_find_the_same_in_both(store, llama, key, operator, value, where):
    rows = {
        "one": {"year": 1999, "tags": ["a", "b"], "name": "größe"},
        "two": {"year": 2001, "tags": ["b"], "name": "x"},
        "three": {"year": 2001.5, "tags": [], "name": "y"},
    }
    chain = [LangChainDocument("zebra", id=f"chain {name}", metadata=row) for name, row in rows.items()]
    store.add_documents(chain)
    llama.insert_nodes([TextNode(text="zebra", id_=f"llama {name}", metadata=row) for name, row in rows.items()])
    filters = MetadataFilters(filters=[MetadataFilter(key=key, operator=operator, value=value)])
    nodes = llama.as_retriever(filters=filters, similarity_top_k=9).retrieve("zebra")
    documents = store.similarity_search("zebra", k=9, filter=where)
    found = {node.node.node_id for node in nodes}
    assert found == {document.id for document in documents}
    assert 0 < len(found) < 6
    assert {name.split()[1] for name in found if "chain" in name} == {
        name.split()[1] for name in found if "llama" in name
    }


class TestChangesAreSeen:
    """By retrievers that were there before."""

    @pytest.fixture
    def readers(self, index, store, llama):
        chain, nodes = LangChainRetriever(index=index, k=9), LateInteractionRetriever(index=index, similarity_top_k=9)

        def readers():
            seen = {document.id: document.page_content for document in chain.invoke("zebra")}
            assert seen == {found.node.node_id: found.node.text for found in nodes.retrieve("zebra")}
            return seen

        assert readers() == {}
        return readers

    async def test_deleted(self, store, llama, readers):
        llama.insert(SourceDocument(text="zebra one", id_="book"))
        store.add_texts(["zebra two", "zebra three", "zebra four"], ids=["two", "three", "four"])
        assert sorted(readers().values()) == ["zebra four", "zebra one", "zebra three", "zebra two"]
        llama.delete_nodes(["two"])
        await llama.adelete_nodes(["three"])
        assert set(readers().values()) == {"zebra one", "zebra four"}
        store.delete(where={"ref_doc_id": "book"})
        assert readers() == {"four": "zebra four"}
        assert llama.ref_doc_info == {}
        assert llama.refresh_ref_docs([SourceDocument(text="zebra one", id_="book")]) == [True]
        await store.adelete(["four"])
        assert list(readers().values()) == ["zebra one"]

    def test_replaced(self, store, llama, readers):
        store.add_texts(["zebra of langchain"], [{"by": "chain"}], ids=["z"])
        llama.insert_nodes([TextNode(text="zebra of llama index", id_="z", metadata={"by": "llama"})])
        assert readers() == {"z": "zebra of llama index"}
        assert own(store.get_by_ids(["z"])[0]).metadata == {"by": "llama"}
        store.add_texts(["zebra again"], [{"by": "chain"}], ids=["z"])
        assert readers() == {"z": "zebra again"}
        assert llama.as_retriever().retrieve("zebra")[0].node.metadata == {"by": "chain"}

    def test_a_source_named_by_langchain(self, store, llama, readers):
        """Metadata may name a source document: LlamaIndex then finds and deletes by it."""
        store.add_texts(["zebra one", "zebra two", "lion"], [{"ref_doc_id": "book"}, {"ref_doc_id": "book"}, {}])
        assert {name: len(info.node_ids) for name, info in llama.ref_doc_info.items()} == {"book": 2}
        assert len(llama.as_retriever(doc_ids=["book"], similarity_top_k=9).retrieve("zebra")) == 2
        llama.delete_ref_doc("book")
        assert list(readers().values()) == ["lion"]

    def test_langchains_indexing_leaves_nodes_alone(self, store, llama, readers):
        manager = InMemoryRecordManager("both")
        manager.create_schema()
        llama.insert_nodes([TextNode(text="zebra", id_="n")])
        for documents in ([LangChainDocument("zebra one"), LangChainDocument("zebra two")], []):
            index_documents(documents, manager, store, cleanup="full", key_encoder="blake2b")
            assert set(readers().values()) == {"zebra"} | {document.page_content for document in documents}


async def test_scores_are_the_same(store, llama):
    store.add_texts(["zebra one", "a lion"], ids=["z", "l"])
    llama.insert_nodes([TextNode(text="one zebra and a lion", id_="n")])
    for mode in ("late", "lexical", "hybrid"):
        chain = LangChainRetriever(index=store.index, include_scores=True, mode=mode)
        scores = {one.id: one.metadata["relevance_score"] for one in await chain.ainvoke("zebra one")}
        nodes = await llama.as_retriever(similarity_top_k=4, mode=mode).aretrieve("zebra one")
        assert {found.node.node_id: found.score for found in nodes} == scores
    documents = LateInteractionReranker(index=store.index).compress_documents(store.similarity_search("lion"), "lion")
    nodes = LateInteractionRerank(index=store.index).postprocess_nodes(
        llama.as_retriever(similarity_top_k=3).retrieve("lion"), query_str="lion"
    )
    assert [(one.id, one.metadata["relevance_score"]) for one in documents] == [
        (found.node.node_id, found.score) for found in nodes
    ]


@pytest.fixture
def edited(index):
    """The store over an index that LlamaIndex has filled with a node, and LlamaIndex's view of it."""
    llama = LateInteractionIndex([TextNode(text="old words", id_="n", metadata={"a": 1})], index=index)
    return LateInteractionVectorStore(index=index), llama


def test_what_langchain_has_changed_llama_index_reads(edited):
    store, llama = edited
    [document] = store.get_by_ids(["n"])
    store.add_documents([LangChainDocument("new words", id="n", metadata={**document.metadata, "a": 2, "b": None})])
    node = llama.as_retriever().retrieve("new words")[0].node
    assert (node.node_id, node.text, node.metadata) == ("n", "new words", {"a": 2, "b": None})


def test_a_copy_under_another_id_has_that_id(edited):
    store, llama = edited
    store.add_documents(store.get_by_ids(["n"]), ids=["copy"])
    assert {found.node.node_id for found in llama.as_retriever().retrieve("old")} == {"n", "copy"}
    llama.delete_nodes(["n", "copy"])
    assert llama.as_retriever().retrieve("old") == []


def test_a_heading_that_was_encoded_still_is_after_langchain(edited, index):
    store, llama = edited
    llama.insert_nodes([TextNode(text="they flow north", id_="n", metadata={"title": "rivers"})])
    relevance = index.search("rivers")[0].relevance
    [document] = store.get_by_ids(["n"])
    store.add_documents([document])
    assert index.search("rivers")[0].relevance == relevance > 0.9
    store.add_documents([document.model_copy(update={"page_content": "another text"})])  # which had no such heading
    assert index.search("rivers")[0].relevance < 0.9
