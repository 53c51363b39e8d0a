"""The arguments of every search of a store, and of one call of a retriever."""

from __future__ import annotations

import pytest

from late_interaction.errors import InvalidFilterError, InvalidRequestError
from late_interaction.langchain import LateInteractionRetriever

CITIES = {"kind": "city"}


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
def searches(request, shared):
    """A search, and its asynchronous twin, of which the ids of the documents found are returned."""
    plain, twin = getattr(shared, request.param), getattr(shared, f"a{request.param}")
    kept = {"lambda_mult": 1.0} if request.param.startswith("max") else {}

    async def search(query, **given):
        found = ids(plain(query, **kept, **given))
        assert ids(await twin(query, **kept, **given)) == found
        return found

    return search


class TestStore:
    async def test_filters(self, searches):
        assert set(await searches("river", k=4, filter=CITIES)) == {"paris", "berlin"}
        assert await searches("river", filter=lambda document: document.metadata.get("length", 0) > 6500) == ["nile"]

    async def test_conditions_on_the_text(self, searches):
        assert set(await searches("river", where_document={"$contains": "capital"})) == {"paris", "berlin"}
        assert set(await searches("river", filter={"$text": {"$contains": "capital"}})) == {"paris", "berlin"}
        both = {"$and": [{"$contains": "river"}, {"$not_contains": "africa"}]}
        assert await searches("river", where_document=both) == ["amazon"]
        either = {"$or": [{"$contains": "africa"}, {"$contains": "capital"}]}
        assert set(await searches("river", where_document=either)) == {"nile", "paris", "berlin"}
        assert set(await searches("river", where_document=either, filter=CITIES)) == {"paris", "berlin"}
        function = {"where_document": either, "filter": lambda document: document.id < "p"}
        assert set(await searches("river", **function)) == {"berlin", "nile"}
        for bad in ({"$regex": "r.*"}, {"$and": "river"}, "river", {}):
            with pytest.raises(InvalidFilterError):
                await searches("river", where_document=bad)

    async def test_offset(self, searches, shared):
        ranked = [hit.id for hit in shared.index.search("the nile is a river", 4)]
        assert await searches("the nile is a river", k=2, offset=1) == ranked[1:3]
        assert await searches("the nile is a river", k=2, offset=3) == ranked[3:]
        assert await searches("the nile is a river", k=2, offset=9) == []
        assert await searches("the nile is a river", k=2, offset=None) == ranked[:2]
        with pytest.raises(InvalidRequestError, match="offset"):
            await searches("river", offset=-1)

    @pytest.mark.parametrize("mode", ["late", "lexical", "hybrid"])
    async def test_score_threshold(self, searches, shared, mode):
        query, given = "the nile is a river", {"mode": mode}
        relevances = sorted((hit.relevance for hit in shared.index.search(query, 4, mode=mode)), reverse=True)
        for threshold in (0.0, relevances[1], 1.0):
            expected = [hit.id for hit in shared.index.search(query, 4, min_relevance=threshold, mode=mode)]
            assert await searches(query, score_threshold=threshold, **given) == expected
        with pytest.raises(InvalidRequestError, match=r"score_threshold must be a number between 0 and 1"):
            await searches(query, score_threshold=2)

    async def test_threshold_and_offset(self, searches, shared):
        passing = [hit.id for hit in shared.index.search("the nile is a river", 4, min_relevance=0.3)]
        assert await searches("the nile is a river", score_threshold=0.3, offset=1) == passing[1:]

    async def test_by_position_as_in_other_stores(self, shared):
        assert set(ids(shared.similarity_search("river", 4, CITIES))) == {"paris", "berlin"}
        assert set(ids(shared.max_marginal_relevance_search("river", 4, 9, 0.5, CITIES))) == {"paris", "berlin"}


class TestRetrieverOfAStore:
    async def test_every_argument_of_its_search(self, shared):
        given = {"k": 2, "filter": CITIES, "mode": "hybrid", "score_threshold": 0.0, "offset": 1}
        expected = ids(shared.similarity_search("capital of germany", **given))
        assert len(expected) == 1
        assert ids(shared.as_retriever(search_kwargs=given).invoke("capital of germany")) == expected
        assert ids(shared.as_retriever().invoke("capital of germany", **given)) == expected
        assert ids(await shared.as_retriever().ainvoke("capital of germany", **given)) == expected

    def test_a_threshold_of_mmr(self, shared):
        search = {"k": 4, "score_threshold": 0.999, "fetch_k": 9, "lambda_mult": 0.5}
        retriever = shared.as_retriever(search_type="mmr", search_kwargs=search)
        assert ids(retriever.invoke("the nile is a river in africa")) == ["nile"]


class TestRetriever:
    def test_filter_is_what_where_was(self, shared):
        for name in ("filter", "where"):
            retriever = LateInteractionRetriever(index=shared.index, **{name: CITIES})
            assert retriever.filter == CITIES
            assert set(ids(retriever.invoke("river"))) == {"paris", "berlin"}
        with pytest.raises(ValueError, match="two names of one argument"):
            LateInteractionRetriever(index=shared.index, where=CITIES, filter=CITIES)

    def test_a_function(self, shared):
        retriever = LateInteractionRetriever(
            index=shared.index, filter=lambda document: "nile" in document.page_content
        )
        assert ids(retriever.invoke("capital")) == ["nile"]
        assert [ids(found) for found in retriever.batch(["capital", "river"])] == [["nile"], ["nile"]]

    @pytest.mark.parametrize(
        "given",
        [
            {"mode": "lexical"},
            {"filter": CITIES},
            {"where": CITIES},
            {"k": 1, "filter": CITIES, "mode": "hybrid"},
            {"score_threshold": 0.999},
            {"filter": lambda document: document.id == "amazon"},
        ],
    )
    async def test_of_one_call(self, shared, given):
        """As if the retriever had been made with them; its own settings stay."""
        query = "berlin is the capital of germany"
        retriever = LateInteractionRetriever(index=shared.index)
        before, expected = retriever.invoke(query), LateInteractionRetriever(index=shared.index, **given).invoke(query)
        assert expected != before
        assert retriever.invoke(query, **given) == await retriever.ainvoke(query, **given) == expected
        assert retriever.batch([query], **given) == await retriever.abatch([query], **given) == [expected]
        assert retriever.bind(**given).invoke(query) == expected
        assert retriever.invoke(query) == before

    def test_what_is_added_to_the_metadata_by_one_call(self, shared):
        (found,) = LateInteractionRetriever(index=shared.index).invoke("nile", k=1, include_scores=True, explain=True)
        assert found.metadata["relevance_score"] == shared.index.search("nile", 1)[0].relevance
        assert [match["query_word"] for match in found.metadata["match_spans"]] == ["nile"]

    async def test_a_setting_of_one_call_that_is_wrong(self, shared):
        retriever = LateInteractionRetriever(index=shared.index)
        for given, error in (({"mode": "dense"}, InvalidRequestError), ({"filter": ["kind"]}, InvalidFilterError)):
            with pytest.raises(error):
                retriever.invoke("river", **given)
            with pytest.raises(error):
                await retriever.abatch(["river"], **given)
