"""A misspelt argument is an error: above all, a misspelt filter must not become no filter."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from late_interaction.errors import InvalidRequestError
from late_interaction.langchain import LateInteractionReranker, LateInteractionRetriever, LateInteractionVectorStore


@pytest.mark.parametrize(
    "search", ["similarity_search", "similarity_search_with_score", "similarity_search_with_relevance_scores"]
)
def test_store(store, facts, search):
    store.add_documents(facts)
    with pytest.raises(InvalidRequestError, match=r"where.*filter"):
        getattr(store, search)("river", where={"kind": "city"})


def test_store_as_retriever(store, facts):
    store.add_documents(facts)
    with pytest.raises(InvalidRequestError, match="where"):
        store.as_retriever(search_kwargs={"where": {"kind": "city"}}).invoke("river")


def test_retriever_and_reranker(index):
    with pytest.raises(ValidationError, match="filter"):
        LateInteractionRetriever(index=index, filter={"kind": "city"})
    with pytest.raises(ValidationError, match="top_k"):
        LateInteractionReranker(index=index, top_k=3)


def test_one_where_many_are_expected(store, facts):
    with pytest.raises(InvalidRequestError, match=r"pass `\["):
        store.add_texts("hello")
    with pytest.raises(InvalidRequestError, match=r"pass `\["):
        store.add_documents(facts[0])
    assert len(store.index) == 0


def test_encoder_of_from_texts_by_either_name(tmp_path, word_encoder):
    for name, given in (("a", {"embedding": word_encoder}), ("b", {"embedding": None, "encoder": word_encoder})):
        store = LateInteractionVectorStore.from_texts(["the nile"], index=tmp_path / name, **given)
        assert store.similarity_search("nile")[0].page_content == "the nile"
        store.index.close()
