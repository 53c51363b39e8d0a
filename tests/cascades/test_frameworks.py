"""The retrievers of both frameworks over a cascade: sync, async, in a chain, in a query engine."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from llama_index.core.base.response.schema import Response
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

from late_interaction import Cascade
from late_interaction.errors import InvalidRequestError
from late_interaction.langchain import LateInteractionRetriever as LangChainRetriever
from late_interaction.llama_index import LateInteractionRetriever as LlamaIndexRetriever

QUERY = "w1 w2 w3"


def by_length(query, documents):
    return [len(document.text) / 100 for document in documents]


@pytest.fixture
def cascade(index):
    return Cascade(index, [("late", 30), (by_length, 10)])


def test_langchain(cascade):
    retriever = LangChainRetriever(index=cascade, k=5, include_scores=True)
    hits = cascade.search(QUERY, 5)
    expected = [(hit.id, hit.text, {**hit.metadata, "relevance_score": hit.relevance}) for hit in hits]

    def found(documents):
        return [(document.id, document.page_content, document.metadata) for document in documents]

    assert found(retriever.invoke(QUERY)) == expected
    assert found(asyncio.run(retriever.ainvoke(QUERY))) == expected
    assert list(map(found, retriever.batch([QUERY, QUERY]))) == [expected, expected]
    assert list(map(found, asyncio.run(retriever.abatch([QUERY, QUERY])))) == [expected, expected]
    chain = retriever | (lambda documents: [document.id for document in documents])
    assert chain.invoke(QUERY) == [hit.id for hit in hits]
    filtered = retriever.invoke(QUERY, k=3, filter={"even": True})
    assert [one.id for one in filtered] == [hit.id for hit in cascade.search(QUERY, 3, where={"even": True})]
    chosen = retriever.invoke(QUERY, filter=lambda document: document.metadata["n"] < 20)
    assert {one.metadata["n"] for one in chosen} <= set(range(20))
    assert len(chosen) == 5
    limit = hits[2].relevance
    assert len(retriever.invoke(QUERY, score_threshold=limit)) == sum(hit.relevance >= limit for hit in hits)
    assert retriever.invoke(" ") == []
    assert [one.id for one in retriever.invoke(" ", k=2, filter={"even": True})] == ["d0", "d2"]


def test_all_that_a_cascade_keeps_is_the_default(cascade, index):
    assert len(LangChainRetriever(index=cascade).invoke(QUERY)) == 10
    assert len(LlamaIndexRetriever(index=cascade).retrieve(QUERY)) == 10
    one = Cascade(index, [("late", 1)])  # fewer than the defaults of both frameworks
    assert len(LangChainRetriever(index=one).invoke(QUERY)) == 1
    assert len(LlamaIndexRetriever(index=one).retrieve(QUERY)) == 1
    assert len(LangChainRetriever(index=index).invoke(QUERY)) == 4
    assert len(LlamaIndexRetriever(index=index).retrieve(QUERY)) == 2


def test_langchain_explains_by_the_index(cascade):
    [first] = LangChainRetriever(index=cascade, k=1, explain=True).invoke(QUERY)
    assert isinstance(first.metadata["match_spans"], list)


def test_langchain_events(cascade):
    class Events(BaseCallbackHandler):
        def __init__(self):
            self.found = []

        def on_retriever_end(self, documents, **kwargs):
            self.found.append([document.id for document in documents])

    events = Events()
    LangChainRetriever(index=cascade, k=2).invoke(QUERY, {"callbacks": [events]})
    assert events.found == [[hit.id for hit in cascade.search(QUERY, 2)]]


def test_llama_index(cascade):
    retriever = LlamaIndexRetriever(index=cascade, similarity_top_k=5)
    hits = cascade.search(QUERY, 5)
    expected = [(hit.id, hit.text, hit.metadata, hit.relevance) for hit in hits]

    def found(nodes):
        return [(one.node.node_id, one.node.text, one.node.metadata, one.score) for one in nodes]

    assert found(retriever.retrieve(QUERY)) == expected
    assert found(asyncio.run(retriever.aretrieve(QUERY))) == expected
    response = RetrieverQueryEngine.from_args(retriever, llm=MockLLM()).query(QUERY)
    assert isinstance(response, Response)
    assert found(response.source_nodes) == expected
    few = MetadataFilters(filters=[MetadataFilter(key="n", value=60, operator="<")])
    for options in ({"where": {"n": {"$lt": 60}}}, {"filters": few}):
        nodes = LlamaIndexRetriever(index=cascade, similarity_top_k=3, **options).retrieve(QUERY)
        assert [one.node.node_id for one in nodes] == [
            hit.id for hit in cascade.search(QUERY, 3, where={"n": {"$lt": 60}})
        ]
    nodes = LlamaIndexRetriever(index=cascade, node_ids=["d3", "d9"]).retrieve(QUERY)
    assert {one.node.node_id for one in nodes} == {"d3", "d9"}
    assert retriever.retrieve(" ") == []


@pytest.mark.parametrize(
    ("retriever", "k"),
    [(LangChainRetriever, "k"), (LlamaIndexRetriever, "similarity_top_k")],
    ids=["langchain", "llama"],
)
def test_what_a_cascade_cannot_do_is_refused(retriever, k, cascade):
    for mode in ("lexical", "hybrid"):
        with pytest.raises(InvalidRequestError, match=f"mode='{mode}' does not go with a Cascade"):
            retriever(index=cascade, mode=mode)
    with pytest.raises(InvalidRequestError, match="k must be at most 10"):
        retriever(index=cascade, **{k: 11})
    with pytest.raises(Exception, match="takes an Index"):
        retriever(index=3)
    with pytest.raises(InvalidRequestError, match="mode='lexical'"):
        LangChainRetriever(index=cascade).invoke(QUERY, mode="lexical")
