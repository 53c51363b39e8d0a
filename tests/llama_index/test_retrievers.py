"""The retriever."""

from __future__ import annotations

import asyncio
import time

import pytest
from llama_index.core.schema import QueryBundle, TextNode

from late_interaction import Index
from late_interaction.errors import LateInteractionError, ReadOnlyIndexError
from late_interaction.llama_index import LateInteractionIndex, LateInteractionRetriever
from tests.fakes import WordEncoder


def ids(found):
    return [node.node.node_id for node in found]


@pytest.mark.parametrize("mode", ["late", "lexical", "hybrid"])
@pytest.mark.parametrize("where", [None, {"kind": "river"}])
def test_finds_what_the_index_finds(filled, mode, where):
    hits = filled.index.search("a river in america", 3, where=where, mode=mode)
    retriever = LateInteractionRetriever(index=filled.index, similarity_top_k=3, where=where, mode=mode)
    found = retriever.retrieve("a river in america")
    assert [(node.node.node_id, node.score) for node in found] == [(hit.id, hit.relevance) for hit in hits]
    assert found
    assert all(0 <= node.score <= 1 for node in found)


def test_nodes_come_back_as_they_were(filled, facts):
    assert LateInteractionRetriever(index=filled.index).retrieve("germany capital")[0].node == facts[3]


def test_query_bundle(filled):
    retriever = LateInteractionRetriever(index=filled.index, similarity_top_k=1)
    assert ids(retriever.retrieve(QueryBundle("capital of germany", embedding=[1.0]))) == ["berlin"]
    assert retriever.retrieve(" ") == []


async def test_async_finds_the_same(filled):
    retriever = LateInteractionRetriever(index=filled.index, similarity_top_k=4)
    assert await retriever.aretrieve("a river") == retriever.retrieve("a river")


async def test_async_does_not_block_the_loop(index):
    class Slow(WordEncoder):
        def encode_queries(self, texts):
            time.sleep(0.2)
            return super().encode_queries(texts)

    index.add(["the nile"])
    retriever = LateInteractionRetriever(index=Index(engine=index.engine, encoder=Slow()), similarity_top_k=1)
    retriever.retrieve("the first search loads torch")
    start = time.perf_counter()
    found = await asyncio.gather(*(retriever.aretrieve(query) for query in ("one", "two", "three")))
    assert time.perf_counter() - start < 0.5
    assert [len(nodes) for nodes in found] == [1, 1, 1]


def test_path_is_opened_for_reading(filled, tmp_path):
    for path in (tmp_path / "index", str(tmp_path / "index")):
        retriever = LateInteractionRetriever(index=path, mode="lexical")
        assert ids(retriever.retrieve("germany")) == ["berlin"]
        with pytest.raises(ReadOnlyIndexError):
            retriever.index.delete(["berlin"])
        retriever.index.close()


def test_documents_that_came_another_way(index):
    index.add(["plain words"])
    node = LateInteractionRetriever(index=index).retrieve("words")[0].node
    assert type(node) is TextNode
    assert node.text == "plain words"


@pytest.mark.parametrize("bad", [{"mode": "dense"}, {"similarity_top_k": 0}, {"where": {"kind": {"$like": "c"}}}])
def test_bad_settings(filled, bad):
    with pytest.raises(LateInteractionError):
        LateInteractionRetriever(index=filled.index, **bad).retrieve("x")


def test_callbacks_see_the_retrieval(filled):
    from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler

    handler = LlamaDebugHandler(print_trace_on_end=False)
    llama = LateInteractionIndex(index=filled.index, callback_manager=CallbackManager([handler]))
    llama.as_retriever(similarity_top_k=1).retrieve("capital of germany")
    _, end = handler.get_event_pairs(CBEventType.RETRIEVE)[0]
    assert ids(end.payload["nodes"]) == ["berlin"]
