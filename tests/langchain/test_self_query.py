"""`LateInteractionTranslator`, and LangChain's `SelfQueryRetriever` with it."""

from __future__ import annotations

import asyncio
import datetime
import json

import pytest
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda
from langchain_core.structured_query import Comparator, Comparison, Operation, Operator, StructuredQuery

from late_interaction.errors import InvalidFilterError
from late_interaction.filters import matches, parse
from late_interaction.langchain import LateInteractionTranslator

CITY = Comparison(Comparator.EQ, "kind", "city")
NOON = datetime.datetime(2026, 1, 31, 12)
LONG = Comparison(Comparator.GT, "length", 6500)


def translated(directive, **settings):
    return LateInteractionTranslator(**settings).visit_structured_query(StructuredQuery("words", directive))


class TestTranslator:
    @pytest.mark.parametrize(
        ("comparator", "value", "condition"),
        [
            (Comparator.EQ, "city", {"$eq": "city"}),
            (Comparator.NE, "city", {"$ne": "city"}),
            (Comparator.GT, 5, {"$gt": 5}),
            (Comparator.GTE, 5.5, {"$gte": 5.5}),
            (Comparator.LT, 5, {"$lt": 5}),
            (Comparator.LTE, 5, {"$lte": 5}),
            (Comparator.CONTAIN, "cit", {"$contains": "cit"}),
            (Comparator.IN, ["city", "town"], {"$in": ["city", "town"]}),
            (Comparator.NIN, ["city"], {"$nin": ["city"]}),
            (Comparator.GT, {"type": "date", "date": "2026-1-31"}, {"$gt": datetime.date(2026, 1, 31)}),
            (Comparator.IN, [{"type": "date", "date": "2026-01-31"}], {"$in": [datetime.date(2026, 1, 31)]}),
            (Comparator.EQ, {"type": "datetime", "datetime": "2026-01-31T12:00:00"}, {"$eq": NOON}),
            (
                Comparator.EQ,
                {"type": "datetime", "datetime": "2026-01-31T14:00:00+0200"},
                {"$eq": NOON.replace(tzinfo=datetime.timezone.utc)},
            ),
        ],
    )
    def test_comparisons(self, comparator, value, condition):
        query, arguments = translated(Comparison(comparator, "field", value))
        assert (query, arguments) == ("words", {"filter": {"field": condition}})
        parse(arguments["filter"])

    def test_operations(self):
        both = Operation(Operator.AND, [CITY, Operation(Operator.NOT, [LONG])])
        city, long = {"kind": {"$eq": "city"}}, {"length": {"$gt": 6500}}
        assert translated(both)[1] == {"filter": {"$and": [city, {"$not": long}]}}
        assert translated(Operation(Operator.OR, [CITY, LONG]))[1] == {"filter": {"$or": [city, long]}}
        assert translated(None) == ("words", {})

    def test_what_it_cannot_say(self):
        with pytest.raises(ValueError, match=r"LIKE|like"):
            translated(Comparison(Comparator.LIKE, "kind", "c%"))
        with pytest.raises(InvalidFilterError, match="one condition"):
            translated(Operation(Operator.NOT, [CITY, LONG]))
        assert set(Comparator) - set(LateInteractionTranslator.allowed_comparators) == {Comparator.LIKE}
        assert set(Operator) == set(LateInteractionTranslator.allowed_operators)

    def test_a_filter_that_always_holds(self):
        own = {"tenant": "a"}
        where = translated(Operation(Operator.OR, [CITY, LONG]), filter=own)[1]["filter"]
        assert matches(where, {"tenant": "a", "kind": "city"})
        assert not matches(where, {"tenant": "b", "kind": "city"})
        assert not matches(where, {"tenant": "a", "kind": "river"})
        assert matches(translated(None, filter=own)[1]["filter"], {"tenant": "a"})
        with pytest.raises(InvalidFilterError):
            LateInteractionTranslator(filter={"tenant": {"$like": "a"}})


class TestRetriever:
    """LangChain's own retriever, with a model that answers as given."""

    @pytest.fixture
    def ask(self, shared):
        """Return the ids of the documents found, when the model writes a query and a filter."""
        retrievers = pytest.importorskip("langchain_classic.retrievers")

        def found(query, directive=None, limit=None, translator=None, **settings):
            retriever = retrievers.SelfQueryRetriever(
                vectorstore=shared,
                query_constructor=RunnableLambda(lambda _: StructuredQuery(query, directive, limit)),
                structured_query_translator=translator or LateInteractionTranslator(),
                **settings,
            )
            plain, twin = retriever.invoke("a question"), asyncio.run(retriever.ainvoke("a question"))
            assert plain == twin
            return {document.id for document in plain}

        return found

    def test_the_filter_of_the_model_holds(self, ask):
        assert ask("capital", CITY) == {"paris", "berlin"}
        assert ask("water", Operation(Operator.NOT, [CITY])) == {"nile", "amazon"}
        assert ask("water", Operation(Operator.AND, [Operation(Operator.NOT, [CITY]), LONG])) == {"nile"}
        assert ask("capital of germany", limit=1) == {"berlin"}

    def test_the_filter_of_the_user_holds_too(self, ask):
        assert ask("capital", CITY, translator=LateInteractionTranslator(filter={"length": {"$exists": True}})) == set()

    @pytest.mark.parametrize("search_type", ["similarity", "mmr"])
    def test_a_question_that_is_a_filter_only(self, ask, search_type):
        """LangChain's parser makes a space of an empty query."""
        assert ask(" ", LONG, search_type=search_type) == {"nile"}

    def test_mmr_and_other_arguments(self, ask):
        search = {"k": 1, "fetch_k": 9, "mode": "late"}
        assert ask("capital of france", CITY, search_type="mmr", search_kwargs=search) == {"paris"}

    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            ({"query": "capital", "filter": 'eq("kind", "city")'}, {"paris", "berlin"}),
            ({"query": "water", "filter": 'and(eq("kind", "river"), gt("length", 6500))'}, {"nile"}),
            ({"query": "water", "filter": 'or(lt("length", 6500), eq("kind", "city"))'}, {"amazon", "paris", "berlin"}),
            ({"query": "water", "filter": 'not(in("kind", ["city"]))'}, {"nile", "amazon"}),
            ({"query": "capital of germany", "filter": "NO_FILTER", "limit": 1}, {"berlin"}),
            ({"query": "rivers", "filter": 'lt("measured", "2026-01-31")'}, {"nile"}),
            ({"query": "rivers", "filter": 'gte("measured", 2026-01-31)'}, {"amazon"}),
            ({"query": "", "filter": 'gt("length", 6000)'}, {"nile", "amazon"}),
            ({"query": "", "filter": 'gt("length", 6000)', "limit": 1}, {"nile"}),
            ({"query": "", "filter": "NO_FILTER"}, set()),
        ],
    )
    async def test_from_what_a_model_writes(self, filled, facts, answer, expected):
        pytest.importorskip("lark")
        retrievers = pytest.importorskip("langchain_classic.retrievers")
        for document, day in zip(facts, (30, 31), strict=False):
            metadata = {**document.metadata, "measured": datetime.date(2026, 1, day)}
            filled.update_document(document.id, Document(document.page_content, metadata=metadata))
        retriever = retrievers.SelfQueryRetriever.from_llm(
            FakeListChatModel(responses=[f"```json\n{json.dumps(answer)}\n```"]),
            filled,
            "Rivers and cities",
            [{"name": name, "description": "", "type": "string"} for name in ("kind", "length", "measured")],
            structured_query_translator=LateInteractionTranslator(),
            enable_limit=True,
        )
        assert {document.id for document in retriever.invoke("a question")} == expected
        assert {document.id for document in await retriever.ainvoke("a question")} == expected
