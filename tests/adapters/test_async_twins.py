"""Asynchronous methods that call their synchronous twins."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading

from late_interaction.adapters.event_loop import async_search, async_write
from late_interaction.langchain import LateInteractionVectorStore
from late_interaction.llama_index import LateInteractionIndex, LateInteractionRetriever

CALLER = contextvars.ContextVar("CALLER", default="nobody")


class Searches:
    def __init__(self, index):
        self.index = index

    def find(self, query, k=1, *, shout=False):
        """Find."""
        return query * k, shout, CALLER.get(), threading.current_thread()

    def _save(self, text):
        return text, CALLER.get(), threading.current_thread()

    afind = async_search(find)
    _asave = async_write(_save)


class Louder(Searches):
    def find(self, query, k=1, *, shout=True):
        return super().find(query.upper(), k, shout=shout)


async def test_a_twin_calls_what_a_subclass_overrides(index):
    CALLER.set("me")
    assert (await Searches(index).afind("a", k=2))[:3] == ("aa", False, "me")
    assert (await Louder(index).afind("a", 3))[:3] == ("AAA", True, "me")
    assert (await Searches(index)._asave("x"))[:2] == ("x", "me")


async def test_searches_and_writes_do_not_share_threads(index):
    searching = (await Searches(index).afind("a"))[-1]
    writing = (await Searches(index)._asave("a"))[-1]
    assert searching.name.startswith("late-interaction")
    assert not writing.name.startswith("late-interaction")
    assert threading.main_thread() not in (searching, writing)


def test_names_and_signatures():
    assert Searches.afind.__name__ == "afind"
    assert Searches._asave.__name__ == "_asave"
    assert "`find`" in Searches.afind.__doc__
    assert inspect.signature(Searches.afind) == inspect.signature(Searches.find)
    for method in (
        LateInteractionVectorStore.asimilarity_search,
        LateInteractionVectorStore.amax_marginal_relevance_search,
        LateInteractionRetriever._aretrieve,
        LateInteractionIndex.ainsert_nodes,
        LateInteractionIndex.arefresh_ref_docs,
    ):
        assert asyncio.iscoroutinefunction(method)


async def test_a_subclass_of_a_store_overrides_one_method(index):
    class Store(LateInteractionVectorStore):
        def similarity_search(self, query, k=4, **kwargs):
            return super().similarity_search(query, 1, **kwargs)

    assert len(await Store(index=index).asimilarity_search("a river", 3)) == 1
