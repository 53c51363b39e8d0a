"""A blank query with a filter asks for the documents that pass: a question such as "films after 2000"."""

from __future__ import annotations

import pytest

from late_interaction.documents import Document
from late_interaction.errors import InvalidFilterError, InvalidRequestError
from late_interaction.langchain import LateInteractionRetriever

CITIES = {"kind": "city"}
BLANK = ["", " ", "\u200b\n"]


def is_city(document):
    return document.metadata["kind"] == "city"


def ids(found):
    return [(one[0] if isinstance(one, tuple) else one).id for one in found]


@pytest.fixture(
    params=[
        "similarity_search",
        "similarity_search_with_score",
        "similarity_search_with_relevance_scores",
        "max_marginal_relevance_search",
    ]
)
def search(request, shared):
    """A search, and its asynchronous twin, of which the documents found are returned."""

    async def search(query, **given):
        found = getattr(shared, request.param)(query, **given)
        assert await getattr(shared, f"a{request.param}")(query, **given) == found
        return found

    return search


class TestStore:
    @pytest.mark.parametrize("query", BLANK)
    async def test_every_restriction(self, search, query):
        for given in ({"filter": CITIES}, {"filter": is_city}, {"where_document": {"$contains": "capital"}}):
            assert ids(await search(query, **given)) == ["paris", "berlin"]
        assert ids(await search(query, filter=CITIES, where_document={"$contains": "france"})) == ["paris"]

    @pytest.mark.parametrize("mode", ["late", "lexical", "hybrid"])
    async def test_the_first_in_order_of_addition(self, search, mode):
        nile_too = {"length": {"$exists": True}}
        assert ids(await search("", filter=nile_too, mode=mode)) == ["nile", "amazon"]
        assert ids(await search("", k=1, filter=nile_too, mode=mode)) == ["nile"]
        assert ids(await search("", k=1, offset=1, filter=nile_too, mode=mode)) == ["amazon"]
        assert await search("", offset=2, filter=nile_too, mode=mode) == []

    async def test_nothing_was_compared(self, search, shared):
        for found in await search("", filter=CITIES):
            assert not isinstance(found, tuple) or found[1] == 0
        assert ids(await search("", filter=CITIES, score_threshold=0)) == ["paris", "berlin"]
        assert await search("", filter=CITIES, score_threshold=0.01) == []
        assert ids(shared.as_retriever(search_kwargs={"filter": CITIES}).invoke(" ")) == ["paris", "berlin"]

    @pytest.mark.parametrize("given", [{}, {"filter": {}}, {"where_document": None}])
    async def test_without_a_restriction_there_is_nothing_to_find(self, search, given):
        for query in BLANK:
            assert await search(query, **given) == []

    async def test_arguments_are_checked_as_always(self, search):
        for given in ({"k": 0}, {"offset": -1}, {"mode": "dense"}):
            with pytest.raises(InvalidRequestError):
                await search("", **{"filter": CITIES, **given})
        with pytest.raises(InvalidFilterError):
            await search("", filter={"kind": {"$like": "c"}})

    def test_a_function_is_asked_no_longer_than_needed(self, shared):
        asked = []
        shared.similarity_search("", k=1, filter=lambda document: asked.append(document.id) or True)
        assert asked == ["nile"]

    def test_what_has_words_or_vectors_is_searched(self, shared, word_encoder):
        assert ids(shared.similarity_search("germany", filter=CITIES))[0] == "berlin"
        assert ids(shared.similarity_search(Document("germany"), filter=CITIES))[0] == "berlin"
        vectors = word_encoder.encode_queries(["germany"])[0]
        assert ids(shared.similarity_search(vectors, filter=CITIES))[0] == "berlin"


class TestRetriever:
    @pytest.mark.parametrize("given", [{"filter": CITIES}, {"where": CITIES}, {"filter": is_city}])
    async def test_of_the_retriever_and_of_one_call(self, shared, given):
        made, bare = LateInteractionRetriever(index=shared.index, **given), LateInteractionRetriever(index=shared.index)
        for query in BLANK:
            assert ids(made.invoke(query)) == ids(await made.ainvoke(query)) == ["paris", "berlin"]
            assert ids(bare.invoke(query, k=1, **given)) == ["paris"]
            assert bare.invoke(query) == []

    async def test_among_other_queries(self, shared):
        retriever = LateInteractionRetriever(index=shared.index, filter=CITIES)
        found = retriever.batch(["germany", "", "france", " "])
        assert await retriever.abatch(["germany", "", "france", " "]) == found
        expected = [["berlin", "paris"], ["paris", "berlin"], ["paris", "berlin"], ["paris", "berlin"]]
        assert [ids(documents) for documents in found] == expected

    def test_what_is_added_to_the_metadata(self, shared):
        retriever = LateInteractionRetriever(index=shared.index, filter=CITIES, include_scores=True, explain=True)
        for document in retriever.invoke(""):
            assert document.metadata == {"kind": "city", "relevance_score": 0, "match_spans": []}
        assert retriever.invoke("", score_threshold=0.5) == []
