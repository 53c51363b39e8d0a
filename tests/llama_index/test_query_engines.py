"""Query engines over the index, with an LLM that repeats its prompt."""

from __future__ import annotations

import pytest
from llama_index.core import Settings
from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen.types import BaseQuestionGenerator, SubQuestion
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.schema import QueryBundle
from llama_index.core.tools import QueryEngineTool

from late_interaction.llama_index import LateInteractionRerank, LateInteractionRetriever

QUERY = "capital of germany"
MODES = ["compact", "refine", "tree_summarize", "accumulate", "compact_accumulate", "simple_summarize"]


def scored(found):
    return [(node.node.node_id, node.score) for node in found]


def told(response, facts):
    """Which of the facts are in the answer."""
    return {fact.node_id for fact in facts if fact.text in str(response)}


@pytest.fixture
def expected(filled):
    """What the index itself ranks highest."""
    return [(hit.id, hit.relevance) for hit in filled.index.search(QUERY, 2)]


class TestRetrieverQueryEngine:
    @pytest.fixture
    def parts(self, filled):
        """A lexical retriever, the hits of which the reranker puts into another order."""
        return {
            "retriever": LateInteractionRetriever(index=filled.index, similarity_top_k=4, mode="lexical"),
            "node_postprocessors": [LateInteractionRerank(index=filled.index, top_n=2)],
            "llm": MockLLM(),
        }

    @pytest.mark.parametrize("mode", MODES)
    async def test_response_modes(self, parts, facts, expected, word_encoder, mode):
        engine = RetrieverQueryEngine.from_args(**parts, response_mode=mode)
        encoded = word_encoder.documents_encoded
        for response in (engine.query(QUERY), await engine.aquery(QUERY)):
            assert scored(response.source_nodes) == expected
            assert told(response, facts) == {"berlin", "paris"}
            assert set(response.metadata) == {"berlin", "paris"}
        assert word_encoder.documents_encoded == encoded  # the reranker used what is stored

    @pytest.mark.parametrize("mode", ["no_text", "context_only"])
    async def test_without_an_answer(self, parts, facts, expected, mode, monkeypatch):
        monkeypatch.setattr(Settings, "_llm", parts["llm"])  # LlamaIndex hands these modes no other
        engine = RetrieverQueryEngine.from_args(**parts, response_mode=mode)
        for response in (engine.query(QUERY), await engine.aquery(QUERY)):
            assert scored(response.source_nodes) == expected
            assert told(response, facts) == (set() if mode == "no_text" else {"berlin", "paris"})

    async def test_retrieve(self, parts, expected):
        engine = RetrieverQueryEngine.from_args(**parts)
        assert scored(engine.retrieve(QueryBundle(QUERY))) == expected
        assert scored(await engine.aretrieve(QueryBundle(QUERY))) == expected

    async def test_another_retriever_in_its_place(self, parts, filled):
        engine = RetrieverQueryEngine.from_args(**parts)
        engine = engine.with_retriever(filled.as_retriever(where={"kind": "river"}))
        for response in (engine.query(QUERY), await engine.aquery(QUERY)):
            assert {node.node.node_id for node in response.source_nodes} == {"nile", "amazon"}


class TestStreaming:
    async def test_the_stream_is_the_answer(self, filled, facts, expected):
        settings = {"llm": MockLLM(), "similarity_top_k": 2}
        whole = str(filled.as_query_engine(**settings).query(QUERY))
        engine = filled.as_query_engine(**settings, streaming=True)
        response = engine.query(QUERY)
        assert isinstance(response, StreamingResponse)
        assert "".join(response.response_gen) == whole
        assert scored(response.source_nodes) == expected
        response = await engine.aquery(QUERY)
        assert isinstance(response, AsyncStreamingResponse)
        assert "".join([token async for token in response.response_gen]) == whole
        assert scored(response.source_nodes) == expected
        assert told(whole, facts) == {"berlin", "paris"}

    async def test_reranked(self, filled, facts):
        rerank = LateInteractionRerank(index=filled.index, top_n=1)
        engine = filled.as_query_engine(llm=MockLLM(), similarity_top_k=4, node_postprocessors=[rerank], streaming=True)
        assert told("".join(engine.query(QUERY).response_gen), facts) == {"berlin"}
        response = await engine.aquery(QUERY)
        assert told("".join([token async for token in response.response_gen]), facts) == {"berlin"}

    def test_nothing_found(self, filled):
        """LlamaIndex has its own words for it, streamed or not."""
        nothing = {"llm": MockLLM(), "where": {"kind": "sea"}}
        for streaming in (False, True):
            response = filled.as_query_engine(**nothing, streaming=streaming).query(QUERY)
            assert response.source_nodes == []
            assert ("".join(response.response_gen) if streaming else str(response)) == "Empty Response"


class Fixed(BaseQuestionGenerator):
    """Always the same two questions."""

    def generate(self, tools, query):
        self.seen = ([tool.name for tool in tools], query.query_str)
        return [
            SubQuestion(sub_question="a river in africa", tool_name="rivers"),
            SubQuestion(sub_question="capital of france", tool_name="cities"),
        ]

    async def agenerate(self, tools, query):
        return self.generate(tools, query)

    def _get_prompts(self):
        return {}

    def _update_prompts(self, prompts): ...


@pytest.fixture
def sub_questions(filled):
    """An engine that asks about rivers and about cities."""

    def engine(kind):
        rerank = LateInteractionRerank(index=filled.index, top_n=1)
        return filled.as_query_engine(
            llm=MockLLM(), where={"kind": kind}, similarity_top_k=4, node_postprocessors=[rerank]
        )

    def made(use_async):
        tools = [
            QueryEngineTool.from_defaults(engine(kind), name=name, description=name)
            for name, kind in (("rivers", "river"), ("cities", "city"))
        ]
        return SubQuestionQueryEngine.from_defaults(
            tools,
            llm=MockLLM(),
            question_gen=Fixed(),
            response_synthesizer=get_response_synthesizer(llm=MockLLM(), use_async=use_async),
            use_async=use_async,
            verbose=False,
        )

    return made


def sources(response):
    """Ids and scores of what the sub-questions found; the engine adds a node for each answer."""
    return [(node.node.node_id, node.score) for node in response.source_nodes if node.score is not None]


class TestSubQuestions:
    @pytest.fixture
    def best(self, filled):
        asked = [("a river in africa", "river"), ("capital of france", "city")]
        hits = [filled.index.search(query, 1, where={"kind": kind})[0] for query, kind in asked]
        return [(hit.id, hit.relevance) for hit in hits]

    @pytest.mark.parametrize("use_async", [True, False])
    def test_each_question_has_its_own_sources(self, sub_questions, facts, best, use_async):
        engine = sub_questions(use_async)
        response = engine.query("of rivers and cities")
        assert engine._question_gen.seen == (["rivers", "cities"], "of rivers and cities")
        assert sources(response) == best
        assert told(response, facts) == {"nile", "paris"}

    async def test_async(self, sub_questions, facts, best):
        response = await sub_questions(use_async=True).aquery("of rivers and cities")
        assert sources(response) == best
        assert told(response, facts) == {"nile", "paris"}
