"""LangChain's own suites, whole, and what users do most, over Qdrant's own engine and LanceDB.

All tests of this folder run over them by ``make test-engines``.
"""

from __future__ import annotations

import pytest

from late_interaction.langchain import LateInteractionReranker
from tests.engine_option import OTHER_ENGINES
from tests.langchain.test_standard import TestRetriever, TestRetrieverOfAStore, TestStore  # noqa: F401


@pytest.fixture(params=OTHER_ENGINES)
def index(request, word_encoder):
    """In place of the local index."""
    pytest.importorskip({"qdrant": "qdrant_edge", "lancedb": "lancedb"}[request.param])
    from tests.other_engines import opened_in_memory

    with opened_in_memory(request.param, word_encoder) as index:
        yield index


def ids(documents):
    return [document.id for document in documents]


@pytest.mark.parametrize("mode", ["late", "lexical", "hybrid"])
async def test_a_filter_in_every_mode(filled, mode):
    retriever = filled.as_retriever(search_kwargs={"k": 2, "filter": {"length": {"$gt": 6400}}, "mode": mode})
    for found in (retriever.invoke("river in africa"), await retriever.ainvoke("river in africa")):
        assert ids(found) == ["nile"]


def test_diversity_reranking_and_deletion(filled, facts):
    assert ids(filled.max_marginal_relevance_search("capital of germany", k=1)) == ["berlin"]
    reranker = LateInteractionReranker(index=filled.index, top_n=1)
    assert ids(reranker.compress_documents(facts, "capital of france")) == ["paris"]
    filled.delete(["paris"])
    assert filled.get_by_ids(["paris", "nile"]) == [facts[0]]
    assert "paris" not in ids(filled.similarity_search("capital of france", k=4))


def test_documents_come_back_as_they_were(filled, facts):
    assert filled.get_by_ids([document.id for document in facts]) == facts
