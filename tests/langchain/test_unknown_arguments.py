"""A misspelt argument is an error: above all, a misspelt filter must not become no filter."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from PIL import Image
from pydantic import ValidationError

from late_interaction import Document as StoredDocument
from late_interaction.adapters.arguments import check_known
from late_interaction.errors import InvalidDocumentError, InvalidRequestError, UnsupportedError
from late_interaction.langchain import LateInteractionReranker, LateInteractionRetriever, LateInteractionVectorStore
from tests.fakes import WordEncoder


def test_retriever_and_reranker(index):
    with pytest.raises(ValidationError, match="filters"):
        LateInteractionRetriever(index=index, filters={"kind": "city"})
    with pytest.raises(ValidationError, match="top_k"):
        LateInteractionReranker(index=index, top_k=3)


SEARCHES = [
    "similarity_search",
    "similarity_search_with_score",
    "similarity_search_with_relevance_scores",
    "max_marginal_relevance_search",
]
CALLS = {
    "add_texts": (["new"],),
    "add_documents": ([Document("new")],),
    "add_images": ([Image.new("RGB", (8, 8))],),
    "delete": (["nile"],),
    **dict.fromkeys(SEARCHES, ("river",)),
}


@pytest.mark.parametrize("method", CALLS)
async def test_no_method_swallows_an_argument(filled, method):
    """Nor does its asynchronous twin, and nothing is written."""
    with pytest.raises(InvalidRequestError, match=rf"{method} has no argument 'namespace'.*Allowed: "):
        getattr(filled, method)(*CALLS[method], namespace="a")
    with pytest.raises(InvalidRequestError, match="namespace"):
        await getattr(filled, f"a{method}")(*CALLS[method], namespace="a")
    assert len(filled.index) == 4


@pytest.mark.parametrize("method", SEARCHES)
def test_where_is_named_filter(filled, method):
    given = {"where": {"kind": "city"}}
    with pytest.raises(InvalidRequestError, match=rf"{method} has no argument 'where': its name is filter=\."):
        getattr(filled, method)("river", **given)
    for search_type in ("similarity", "mmr"):
        with pytest.raises(InvalidRequestError, match=r"'where': its name is filter="):
            filled.as_retriever(search_type=search_type, search_kwargs=given)
    with pytest.raises(
        InvalidRequestError, match=r"as_retriever has .*'where'\. Pass search_kwargs=\{'filter': \{'kind'"
    ):
        filled.as_retriever(**given)


def test_all_that_is_allowed_is_listed(filled):
    with pytest.raises(InvalidRequestError, match=r"Did you mean 'lambda_mult'\? Allowed: fetch_k, .*lambda_mult"):
        filled.max_marginal_relevance_search("river", lambda_mul=0.1)
    with pytest.raises(InvalidRequestError, match=r"Did you mean 'fetch_k'\?"):
        filled.as_retriever(search_type="mmr", search_kwargs={"fetchk": 9})
    with pytest.raises(InvalidRequestError, match=r"Allowed: filter, ids, where\."):
        filled.delete(["nile"], namespace="a")
    with pytest.raises(InvalidRequestError, match=r"^m has no argument 'a'\. It takes no other arguments\.$"):
        check_known(["a"], (), "m")


def test_the_nearest_name_is_suggested(filled):
    with pytest.raises(InvalidRequestError, match="Did you mean 'filter'"):
        filled.similarity_search("river", filters={"kind": "city"})
    with pytest.raises(InvalidRequestError, match="Did you mean 'filter'"):
        filled.delete(filters={"kind": "city"})


async def test_from_texts_and_from_documents_refuse_before_anything_is_made(tmp_path, word_encoder, facts):
    store, path = LateInteractionVectorStore, tmp_path / "new"
    given = {"encoder": word_encoder, "index": path, "collection_name": "a"}
    for make in (
        lambda: store.from_texts(["new"], **given),
        lambda: store.from_documents(facts, **given),
    ):
        with pytest.raises(InvalidRequestError, match="collection_name"):
            make()
    for amake in (store.afrom_texts(["new"], None, **given), store.afrom_documents(facts, **given)):
        with pytest.raises(InvalidRequestError, match="collection_name"):
            await amake
    assert not path.exists()


async def test_what_langchain_itself_passes_is_accepted(store, tmp_path, word_encoder, facts):
    """`index` passes batch_size, which one commit in bounded memory does not need."""
    assert store.add_texts(["one"], ids=["1"], batch_size=3) == ["1"]
    assert store.add_documents(facts, batch_size=3) == [document.id for document in facts]
    assert await store.aadd_documents(facts, batch_size=3, ids=list("abcd")) == list("abcd")
    for name, make in (("t", LateInteractionVectorStore.from_texts), ("d", LateInteractionVectorStore.from_documents)):
        given = ["one"] if name == "t" else facts
        make(given, word_encoder, index=tmp_path / name, batch_size=3).index.close()


def test_arguments_of_another_search_are_refused_by_name(filled):
    for search_type in ("similarity", "similarity_score_threshold"):
        with pytest.raises(InvalidRequestError, match=r"fetch_k.*max_marginal_relevance_search"):
            filled.as_retriever(search_type=search_type, search_kwargs={"fetch_k": 9, "score_threshold": 0.5})
    found = filled.as_retriever(search_type="mmr", search_kwargs={"k": 2, "fetch_k": 9, "lambda_mult": 0.1})
    assert len(found.invoke("river")) == 2


def test_arguments_of_the_search_given_to_as_retriever(filled):
    with pytest.raises(InvalidRequestError, match=r"as_retriever has no argument 'k'.*search_kwargs=\{'k': 3\}"):
        filled.as_retriever(k=3)
    with pytest.raises(InvalidRequestError, match="Did you mean 'search_kwargs'"):
        filled.as_retriever(search_kwarg={"k": 3})


@pytest.mark.parametrize("given", [{"filters": {"kind": "city"}}, {"top_k": 3}])
async def test_one_call_of_a_retriever(filled, given):
    for retriever in (LateInteractionRetriever(index=filled.index), filled.as_retriever()):
        name = next(iter(given))
        for call in (retriever.invoke, retriever.batch):
            with pytest.raises(InvalidRequestError, match=name):
                call("river" if call == retriever.invoke else ["river"], **given)
        with pytest.raises(InvalidRequestError, match=name):
            await retriever.ainvoke("river", **given)
        with pytest.raises(InvalidRequestError, match=name):
            await retriever.abatch(["river"], **given)


def test_strings_where_documents_are_expected(store):
    for wrong in (["a string"], [StoredDocument("one of ours")], [None]):
        with pytest.raises(InvalidDocumentError, match=r"Document of langchain_core .*add_texts"):
            store.add_documents(wrong)
        with pytest.raises(InvalidDocumentError, match=r"documents\[1\]: A Document of langchain_core"):
            store.add_documents([Document("right"), *wrong])
        with pytest.raises(InvalidDocumentError, match="langchain_core"):
            LateInteractionReranker(index=store.index).compress_documents(wrong, "query")
    with pytest.raises(InvalidRequestError, match=r"pass `\["):
        store.add_documents("a string")
    assert len(store.index) == 0


@pytest.mark.parametrize("name", ["embedding", "encoder"])
async def test_single_vector_embeddings(tmp_path, facts, name):
    path, given = tmp_path / "new", {name: DeterministicFakeEmbedding(size=8), "index": tmp_path / "new"}
    for make in (LateInteractionVectorStore.from_texts, LateInteractionVectorStore.from_documents):
        with pytest.raises(InvalidRequestError, match=r"one vector for each text.*encoder="):
            make(facts, **given)
    if name == "encoder":
        with pytest.raises(InvalidRequestError, match="one vector for each text"):
            LateInteractionVectorStore(**given)
    assert not path.exists()


@pytest.mark.parametrize("method", ["similarity_search_by_vector", "max_marginal_relevance_search_by_vector"])
async def test_searches_by_one_vector(filled, method):
    with pytest.raises(UnsupportedError, match=r"one vector for each token.*index\.search\(vectors\)"):
        getattr(filled, method)([0.1, 0.2], k=3, filter={"kind": "city"})
    with pytest.raises(UnsupportedError, match="one vector for each token"):
        await getattr(filled, f"a{method}")([0.1, 0.2])


def test_one_where_many_are_expected(store, facts):
    with pytest.raises(InvalidRequestError, match=r"pass `\["):
        store.add_texts("hello")
    with pytest.raises(InvalidRequestError, match=r"pass `\["):
        store.add_documents(facts[0])
    assert len(store.index) == 0


def test_two_encoders(tmp_path, word_encoder, facts):
    path, given = tmp_path / "new", {"encoder": word_encoder, "index": tmp_path / "new"}
    for make in (LateInteractionVectorStore.from_texts, LateInteractionVectorStore.from_documents):
        with pytest.raises(InvalidRequestError, match=r"embedding= and encoder= are two names of one argument"):
            make(facts, WordEncoder(name="other"), **given)
        with pytest.raises(InvalidRequestError, match="one vector for each text"):
            make(facts, DeterministicFakeEmbedding(size=8), **given)
    assert not path.exists()


def test_encoder_of_from_texts_by_either_name(tmp_path, word_encoder):
    for name, given in (("a", {"embedding": word_encoder}), ("b", {"embedding": None, "encoder": word_encoder})):
        store = LateInteractionVectorStore.from_texts(["the nile"], index=tmp_path / name, **given)
        assert store.similarity_search("nile")[0].page_content == "the nile"
        store.index.close()
