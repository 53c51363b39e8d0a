"""One query is encoded once, whatever is asked about it, and in whichever framework."""

from __future__ import annotations

from late_interaction import Index
from late_interaction.langchain import LateInteractionVectorStore

QUERY = "a river in africa"


def test_retrieved_explained_and_reranked(framework, index, word_encoder):
    chain = framework(index, explain=True)
    found = chain.retrieve(QUERY)
    ranked = chain.rerank(found, QUERY, index=index)
    assert chain.ids(ranked)[0] == "nile"
    assert word_encoder.queries_encoded == 1


async def test_two_retrievers_and_a_reranker_with_the_encoder_alone(framework, index, word_encoder):
    first = framework(index, explain=True)
    second = framework(Index(engine=index.engine, encoder=word_encoder), explain=True, mode="hybrid")
    found = first.retrieve(QUERY)
    assert len(await second.aretrieve(QUERY)) == 3
    assert second.ids(second.rerank(found, QUERY, encoder=word_encoder))[0] == "nile"
    assert word_encoder.queries_encoded == 1


def test_another_query_is_another(framework, index, word_encoder):
    chain = framework(index)
    for query in ("nile", "Nile", "nile"):
        chain.retrieve(query)
    assert word_encoder.queries_encoded == 2


async def test_every_search_of_a_store(index, word_encoder):
    store = LateInteractionVectorStore(index=index)
    store.similarity_search(QUERY)
    await store.asimilarity_search_with_score(QUERY)
    store.similarity_search_with_relevance_scores(QUERY, filter=lambda document: True)
    await store.amax_marginal_relevance_search(QUERY, k=2)
    assert word_encoder.queries_encoded == 1
