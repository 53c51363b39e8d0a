"""A notebook cell that opens an index is run twice, and rerankers and retrievers open it by its path."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document as LangChainDocument
from llama_index.core import Document as LlamaIndexDocument
from llama_index.core.schema import NodeWithScore, TextNode

from late_interaction import Index, langchain, llama_index
from late_interaction.engines import LocalEngine
from late_interaction.errors import IncompatibleEncoderError, InvalidRequestError, ReadOnlyIndexError
from tests.fakes import WordEncoder


def langchain_cell(path, encoder):
    store = langchain.LateInteractionVectorStore(index=path, encoder=encoder)
    store.add_texts(["one"], ids=["1"])
    return store


def from_texts_cell(path, encoder):
    return langchain.LateInteractionVectorStore.from_texts(["one"], index=path, encoder=encoder, ids=["1"])


def langchain_documents_cell(path, encoder):
    documents = [LangChainDocument("one", id="1")]
    return langchain.LateInteractionVectorStore.from_documents(documents, index=path, encoder=encoder)


def llama_index_cell(path, encoder):
    index = llama_index.LateInteractionIndex(index=path, encoder=encoder)
    index.insert_nodes([TextNode(text="one", id_="1")])
    return index


def llama_index_documents_cell(path, encoder):
    documents = [LlamaIndexDocument(text="one", id_="1")]
    return llama_index.LateInteractionIndex.from_documents(documents, index=path, encoder=encoder)


def core_cell(path, encoder):
    index = Index.open(path, encoder=encoder)
    index.add(["one"])
    return index


CELLS = [
    langchain_cell,
    from_texts_cell,
    langchain_documents_cell,
    llama_index_cell,
    llama_index_documents_cell,
    core_cell,
]


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_that_is_run_again(cell, tmp_path):
    path = tmp_path / "index"
    variable = cell(path, WordEncoder())
    variable = cell(path, WordEncoder())
    variable = cell(str(path), WordEncoder())
    index = variable if isinstance(variable, Index) else variable.index
    assert len(index) == 1
    assert index.search("one", k=1)[0].text == "one"
    with pytest.raises(IncompatibleEncoderError):
        cell(path, WordEncoder(name="another"))
    index.close()
    LocalEngine.open(path).close()  # the writer lock is free


def test_a_retriever_and_a_reranker_over_the_path_of_a_store(tmp_path):
    path, encoder = tmp_path / "index", WordEncoder()
    store = langchain_cell(path, encoder)
    reader = Index.open(path, encoder=encoder, read_only=True)
    assert langchain.LateInteractionRetriever(index=reader, k=1).invoke("one")[0].id == "1"
    storing = llama_index.LateInteractionRerank(index=Index.open(path, encoder=encoder), store=True)
    storing.postprocess_nodes([NodeWithScore(node=TextNode(text="two", id_="2"))], query_str="one")
    assert len(store.index) == 2
    store.index.close()
    assert len(reader) == 2
    assert len(storing.index) == 2


def test_an_index_of_llama_index_that_only_reads(tmp_path):
    path, encoder = tmp_path / "index", WordEncoder()
    writer = llama_index_cell(path, encoder)
    reader = llama_index.LateInteractionIndex(index=path, encoder=encoder, read_only=True)
    assert reader.as_retriever(similarity_top_k=1).retrieve("one")[0].node.node_id == "1"
    with pytest.raises(ReadOnlyIndexError):
        reader.insert_nodes([TextNode(text="two", id_="2")])
    with pytest.raises(InvalidRequestError, match=r"read_only=True goes with the path"):
        llama_index.LateInteractionIndex(index=writer.index, read_only=True)
