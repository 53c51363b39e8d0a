"""Settings are checked when a retriever is made, not at its first use."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from late_interaction import Index
from late_interaction.errors import InvalidFilterError, InvalidRequestError, LateInteractionError, UnsupportedError
from late_interaction.langchain import LateInteractionReranker, LateInteractionRetriever, LateInteractionVectorStore
from tests.conformance.weak_engines import WeakEngine

BAD = [
    ({"k": 0}, InvalidRequestError),
    ({"k": -1}, InvalidRequestError),
    ({"filter": {"kind": {"$like": "c"}}}, InvalidFilterError),
    ({"filter": {"kind": {"$in": "city"}}}, InvalidFilterError),
    ({"filter": {"_private": 1}}, InvalidFilterError),
]


@pytest.mark.parametrize(("bad", "error"), BAD)
def test_retriever(shared, bad, error):
    with pytest.raises(error):
        LateInteractionRetriever(index=shared.index, **bad)


@pytest.mark.parametrize("bad", [{"score_threshold": 1.5}, {"score_threshold": -1}, {"mode": "dense"}, {"k": "many"}])
def test_values_of_the_wrong_kind(shared, bad):
    with pytest.raises(ValidationError, match=next(iter(bad))):
        LateInteractionRetriever(index=shared.index, **bad)


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        *BAD,
        ({"mode": "dense"}, InvalidRequestError),
        ({"score_threshold": 1.5}, InvalidRequestError),
        ({"offset": -1}, InvalidRequestError),
        ({"offset": 1.5}, InvalidRequestError),
        ({"where": {}}, InvalidRequestError),
    ],
)
@pytest.mark.parametrize("search_type", ["similarity", "similarity_score_threshold", "mmr"])
def test_retriever_of_a_store(shared, search_type, bad, error):
    search = {"score_threshold": 0.5, **bad} if search_type == "similarity_score_threshold" else bad
    with pytest.raises(error):
        shared.as_retriever(search_type=search_type, search_kwargs=search)


@pytest.mark.parametrize("bad", [{"lambda_mult": 2}, {"lambda_mult": "half"}, {"fetch_k": 0}])
def test_mmr(shared, bad):
    name = next(iter(bad))
    with pytest.raises(InvalidRequestError, match=name):
        shared.as_retriever(search_type="mmr", search_kwargs=bad)
    with pytest.raises(InvalidRequestError, match=name):
        shared.max_marginal_relevance_search("river", **bad)


def test_search_kwargs_are_left_as_they_are(shared):
    search = {"k": 3, "fetch_k": 9, "lambda_mult": 0.5, "filter": {"kind": "city"}}
    assert shared.as_retriever(search_type="mmr", search_kwargs=search).search_kwargs == search


@pytest.mark.parametrize("settings", [{"mode": "lexical"}, {"mode": "hybrid"}, {"explain": True}])
def test_what_the_engine_cannot(tmp_path, word_encoder, settings):
    with Index(engine=WeakEngine.open(tmp_path, dim=word_encoder.dim), encoder=word_encoder) as index:
        with pytest.raises(UnsupportedError, match="WeakEngine"):
            LateInteractionRetriever(index=index, **settings)
        if "mode" in settings:
            with pytest.raises(UnsupportedError, match="WeakEngine"):
                LateInteractionVectorStore(index=index).as_retriever(search_kwargs=settings)


def test_reranker(index):
    with pytest.raises(ValidationError, match="top_n"):
        LateInteractionReranker(index=index, top_n=0)


def test_read_only_store(filled, tmp_path, facts, word_encoder):
    store = LateInteractionVectorStore(index=tmp_path / "index", encoder=word_encoder, read_only=True)
    assert store.get_by_ids(["nile"]) == [facts[0]]
    for write in (lambda: store.add_texts(["new"]), lambda: store.delete(["nile"])):
        with pytest.raises(LateInteractionError, match="read"):
            write()
    store.index.close()
    with pytest.raises(InvalidRequestError, match="read_only"):
        LateInteractionVectorStore(index=filled.index, read_only=True)
