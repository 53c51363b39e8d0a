"""What users of LlamaIndex do most, over Qdrant's own engine and LanceDB.

All tests of this folder run over them by ``make test-engines``.
"""

from __future__ import annotations

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters

from late_interaction.llama_index import LateInteractionIndex, LateInteractionRerank, LateInteractionVectorStore
from tests.engine_option import OTHER_ENGINES

RIVERS = MetadataFilters(filters=[MetadataFilter(key="kind", value="river")])


@pytest.fixture(params=OTHER_ENGINES)
def index(request, word_encoder):
    """In place of the local index."""
    pytest.importorskip({"qdrant": "qdrant_edge", "lancedb": "lancedb"}[request.param])
    from tests.other_engines import opened_in_memory

    with opened_in_memory(request.param, word_encoder) as index:
        yield index


def ids(found):
    return [one.node.node_id for one in found]


@pytest.mark.parametrize("mode", ["late", "lexical", "hybrid"])
async def test_a_retriever_with_a_filter(filled, mode):
    retriever = filled.as_retriever(similarity_top_k=1, filters=RIVERS, mode=mode)
    for found in (retriever.retrieve("america france"), await retriever.aretrieve("america france")):
        assert ids(found) == ["amazon"]


def test_nodes_come_back_as_they_were(filled, facts):
    assert [found.node for found in filled.as_retriever(similarity_top_k=1).retrieve("nile")] == [facts[0]]
    assert set(filled.ref_doc_info) <= {"nile", "amazon", "paris", "berlin"}


def test_inserting_deleting_and_reranking(filled):
    filled.insert_nodes([TextNode(text="rome is the capital of italy", id_="rome", metadata={"kind": "city"})])
    assert ids(filled.as_retriever(similarity_top_k=1).retrieve("italy")) == ["rome"]
    filled.delete_nodes(["rome"])
    found = filled.as_retriever(similarity_top_k=4).retrieve("capital of france")
    assert "rome" not in ids(found)
    rerank = LateInteractionRerank(index=filled.index, top_n=1)
    assert ids(rerank.postprocess_nodes(found, query_str="capital of france")) == ["paris"]


def test_a_vector_store(index, facts):
    store = LateInteractionVectorStore(index=index)
    theirs = VectorStoreIndex.from_vector_store(store, embed_model=store.embed_model)
    theirs.insert_nodes(facts)
    assert ids(theirs.as_retriever(similarity_top_k=1, filters=RIVERS).retrieve("africa")) == ["nile"]


def test_a_folder_of_ours_from_documents(index):
    from llama_index.core import Document

    ours = LateInteractionIndex.from_documents([Document(text="the nile flows north", id_="a")], index=index)
    assert ours.refresh_ref_docs([Document(text="the nile flows to egypt", id_="a")]) == [True]
    assert "egypt" in ours.as_retriever(similarity_top_k=5).retrieve("nile")[0].text
    assert len(index) == 1
