"""Our retriever inside LlamaIndex's retrievers of retrievers, beside a single-vector one."""

from __future__ import annotations

import json

import numpy as np
import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.types import CompletionResponse
from llama_index.core.llms import MockLLM
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.core.retrievers import QueryFusionRetriever, RouterRetriever
from llama_index.core.selectors import LLMMultiSelector, LLMSingleSelector
from llama_index.core.tools import RetrieverTool

from tests.fakes import WordEncoder

QUERY = "a river in america"
FUSIONS = ["reciprocal_rerank", "relative_score", "dist_based_score", "simple"]


class Pooled(BaseEmbedding):
    """One vector for a text: the mean of its words'."""

    def _get_text_embedding(self, text):
        return WordEncoder().encode_documents([text])[0].mean(axis=0).tolist()

    _get_query_embedding = _get_text_embedding

    async def _aget_query_embedding(self, query):
        return self._get_query_embedding(query)


def says(words):
    """An LLM that says the same whatever it is asked."""

    class Says(MockLLM):
        @llm_completion_callback()
        def complete(self, prompt, formatted=False, **kwargs):
            return CompletionResponse(text=words)

    return Says()


@pytest.fixture
def pair(filled, facts):
    """A single-vector retriever of the same nodes, and ours."""
    pooled = VectorStoreIndex(facts, embed_model=Pooled())
    return [pooled.as_retriever(similarity_top_k=3), filled.as_retriever(similarity_top_k=3)]


def fused(rankings, mode, weights, queries=1):
    """Node ids and scores by the formulas of the four modes; a ranking is a dict from id to score."""
    total = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        scores = np.array(list(ranking.values()))
        if mode == "reciprocal_rerank":
            added = 1 / (60 + np.arange(len(scores)))
        elif mode == "relative_score":
            added = weight / queries * (scores - scores.min()) / np.ptp(scores)
        elif mode == "dist_based_score":
            added = weight / queries * (scores - scores.mean() + 3 * scores.std()) / (6 * scores.std())
        else:
            added = scores
        for name, score in zip(ranking, added, strict=True):
            total[name] = max(total.get(name, 0), score) if mode == "simple" else total.get(name, 0) + score
    return total


def ranking(retriever, query):
    return {node.node.node_id: node.score for node in retriever.retrieve(query)}


class TestFusion:
    @pytest.mark.parametrize("use_async", [True, False])
    @pytest.mark.parametrize("mode", FUSIONS)
    def test_modes(self, pair, facts, mode, use_async):
        expected = fused([ranking(one, QUERY) for one in pair], mode, [0.25, 0.75])
        fusion = QueryFusionRetriever(
            pair,
            llm=MockLLM(),
            mode=mode,
            num_queries=1,
            similarity_top_k=4,
            retriever_weights=[1, 3],
            use_async=use_async,
        )
        found = fusion.retrieve(QUERY)
        scores = [node.score for node in found]
        assert scores == sorted(scores, reverse=True)
        assert {node.node.node_id: node.score for node in found} == pytest.approx(expected)
        assert len(found) == len(expected)  # a node both have found is one
        assert {node.node.node_id: node.node for node in found} == {
            fact.node_id: fact for fact in facts if fact.node_id in expected
        }

    @pytest.mark.parametrize("mode", FUSIONS)
    async def test_async(self, pair, mode):
        expected = fused([ranking(one, QUERY) for one in pair], mode, [0.5, 0.5])
        fusion = QueryFusionRetriever(pair, llm=MockLLM(), mode=mode, num_queries=1, similarity_top_k=4)
        found = await fusion.aretrieve(QUERY)
        assert {node.node.node_id: node.score for node in found} == pytest.approx(expected)

    async def test_queries_of_an_llm(self, filled):
        queries = [QUERY, "capital of germany", "paris is the capital of france"]
        late = filled.as_retriever(similarity_top_k=2)
        expected = fused([ranking(late, query) for query in queries], "reciprocal_rerank", [1, 1, 1])
        for use_async in (True, False):
            fusion = QueryFusionRetriever(
                [late],
                llm=says("\n".join(queries[1:])),
                mode="reciprocal_rerank",
                num_queries=3,
                similarity_top_k=4,
                use_async=use_async,
            )
            for found in (fusion.retrieve(QUERY), await fusion.aretrieve(QUERY)):
                assert {node.node.node_id: node.score for node in found} == pytest.approx(expected)

    async def test_late_with_lexical(self, filled):
        """The index's own hybrid mode, by way of LlamaIndex; its reciprocal ranks begin with 60, ours with 61."""
        both = [filled.as_retriever(similarity_top_k=4, mode=mode) for mode in ("late", "lexical")]
        fusion = QueryFusionRetriever(both, llm=MockLLM(), mode="reciprocal_rerank", num_queries=1, similarity_top_k=4)
        expected = [hit.id for hit in filled.index.search(QUERY, 4, mode="hybrid")]
        assert [node.node.node_id for node in fusion.retrieve(QUERY)] == expected
        assert [node.node.node_id for node in await fusion.aretrieve(QUERY)] == expected

    async def test_fusing_changes_no_later_result(self, pair):
        before = [ranking(one, QUERY) for one in pair]
        fusion = QueryFusionRetriever(pair, llm=MockLLM(), mode="relative_score", num_queries=1)
        assert fusion.retrieve(QUERY) == fusion.retrieve(QUERY) == await fusion.aretrieve(QUERY)
        assert [ranking(one, QUERY) for one in pair] == before


def chosen(*numbers):
    """What an LLM says to choose these."""
    return json.dumps([{"choice": number, "reason": "it fits"} for number in numbers])


class TestRouter:
    @pytest.fixture
    def tools(self, filled):
        kinds = {"rivers": "river", "cities": "city"}
        return [
            RetrieverTool.from_defaults(filled.as_retriever(where={"kind": kind}), name=name, description=name)
            for name, kind in kinds.items()
        ]

    @pytest.mark.parametrize(("number", "expected"), [(1, {"nile", "amazon"}), (2, {"paris", "berlin"})])
    async def test_one_is_chosen(self, tools, filled, number, expected):
        llm = says(chosen(number))
        router = RouterRetriever(LLMSingleSelector.from_defaults(llm=llm), tools, llm=llm)
        scores = {hit.id: hit.relevance for hit in filled.index.search(QUERY, 4)}
        for found in (router.retrieve(QUERY), await router.aretrieve(QUERY)):
            assert {node.node.node_id for node in found} == expected
            assert [node.score for node in found] == [scores[node.node.node_id] for node in found]

    async def test_all_are_chosen(self, tools, facts):
        llm = says(chosen(1, 2))
        router = RouterRetriever.from_defaults(tools, llm=llm, selector=LLMMultiSelector.from_defaults(llm=llm))
        for found in (router.retrieve(QUERY), await router.aretrieve(QUERY)):
            assert sorted(node.node.node_id for node in found) == sorted(fact.node_id for fact in facts)
