"""Indexing the same sources again, and opening beside a writer."""

from __future__ import annotations

import pytest
from llama_index.core import Document

from late_interaction import Index
from late_interaction.errors import ReadOnlyIndexError
from late_interaction.llama_index import LateInteractionIndex

SOURCES = [Document(text="the nile flows north", id_="nile"), Document(text="paris is old", id_="paris")]


def test_documents_of_the_same_id_are_replaced(index):
    LateInteractionIndex.from_documents(SOURCES, index=index)
    LateInteractionIndex.from_documents([Document(text="the nile is long", id_="nile")], index=index)
    assert sorted(document.text for document in index.scan()) == ["paris is old", "the nile is long"]


def test_nodes_given_to_the_constructor_replace_no_others(index):
    nodes = LateInteractionIndex.from_documents(SOURCES, index=index)
    [node] = nodes.as_retriever(similarity_top_k=1).retrieve("nile")
    other = node.node.model_copy(update={"id_": "another part"})
    LateInteractionIndex([other], index=index)
    assert len(index) == 3


def test_an_index_that_may_only_be_read(index, word_encoder, tmp_path):
    LateInteractionIndex.from_documents(SOURCES, index=index)
    with Index.open(tmp_path / "index", read_only=True, encoder=word_encoder) as reader:
        nodes = LateInteractionIndex(index=reader)
        assert nodes.as_retriever(similarity_top_k=1).retrieve("nile")[0].node.ref_doc_id == "nile"
        with pytest.raises(ReadOnlyIndexError, match="read_only=True"):
            nodes.insert(Document(text="more"))
