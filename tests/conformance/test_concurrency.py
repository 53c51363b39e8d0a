"""Any thread may call, also while others write; an engine that waits for another machine gets many calls at once."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from late_interaction import Document, Index
from tests.conformance.helpers import DIM, ids_of, needs
from tests.conformance.interference import READS, Interrupted
from tests.fakes import WordEncoder
from tests.index.helpers import true_maxsim

AT_ONCE = 32
SECONDS = 0.05  # that the engine takes for a call
QUERY = "old river"


def test_searches_beside_writes(index):
    """Every hit is a document that was there, with the score of its text."""
    texts = ["river old stone", "old river", "a river in the sea", "deep sea", "!!!"]
    truth = {text: true_maxsim(QUERY, text) for text in texts}
    index.add([Document(texts[number % 5], id=f"d{number}") for number in range(10)])
    end = time.monotonic() + 0.5

    def write():
        for step in itertools.count():
            if time.monotonic() > end:
                return
            key = f"d{step % 10}"
            if step % 3:
                index.add([Document(texts[step % 5], id=key)])
            else:
                index.delete([key])

    def search():
        while time.monotonic() < end:
            hits = index.search(QUERY, 10)
            assert len(set(ids_of(hits))) == len(hits)
            reranked = index.rerank(QUERY, documents=[Document(texts[0], id="d1"), Document("deep sea", id="d2")])
            assert sorted(hit.text for hit in reranked) == ["deep sea", texts[0]]
            for hit in [*hits, *reranked]:
                assert hit.score == pytest.approx(truth[hit.text], abs=0.1)
            assert {document.text for document in index.scan()} <= set(texts)

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(write), *(pool.submit(search) for _ in range(3))]:
            future.result()


class Slow:
    """Makes every call take a while, and notes how many wait at once."""

    def __init__(self):
        self.waiting = self.most = 0
        self.mutex = threading.Lock()

    def __call__(self, name):
        if name not in READS:
            return
        with self.mutex:
            self.waiting += 1
            self.most = max(self.most, self.waiting)
        time.sleep(SECONDS)
        with self.mutex:
            self.waiting -= 1


@pytest.fixture
def slow():
    return Slow()


@pytest.fixture
def remote(index, slow):
    """An index over an engine that waits for another machine, and waits longer."""
    needs(index.engine, "remote")
    index.add([Document(f"river number{number}", id=f"d{number}") for number in range(8)])
    return Index(engine=Interrupted(index.engine, slow), encoder=WordEncoder(DIM))


QUERIES = [f"river number{number}" for number in range(AT_ONCE)]


def seconds(call):
    """How long a call takes, at best: a busy machine holds some of them up now and then."""
    times = []
    while len(times) < 3 and min(times, default=1) >= 0.5:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


class TestRemote:
    def test_search_many(self, remote):
        assert seconds(lambda: remote.search_many(QUERIES, 3)) < 0.5

    def test_hybrid_and_diverse(self, index, remote):
        needs(index.engine, "lexical", "vectors")
        assert seconds(lambda: remote.search_many(QUERIES, 3, mode="hybrid", diversity=0.5)) < 0.5

    def test_plain_threads(self, remote):
        with ThreadPoolExecutor(AT_ONCE) as pool:
            assert seconds(lambda: list(pool.map(lambda query: remote.search(query, 3), QUERIES))) < 0.5

    def test_asyncio(self, remote):
        async def searches():
            loop = asyncio.get_running_loop()
            with ThreadPoolExecutor(AT_ONCE) as pool:
                await asyncio.gather(*(loop.run_in_executor(pool, remote.search, query, 3) for query in QUERIES))

        assert seconds(lambda: asyncio.run(searches())) < 0.5

    def test_no_more_than_so_many_at_once(self, remote, slow):
        found = remote.search_many([f"river number{number}" for number in range(80)], 3)
        assert len(found) == 80
        assert AT_ONCE / 2 <= slow.most <= AT_ONCE

    def test_the_hits_are_those_of_one_after_the_other(self, index, remote):
        assert remote.search_many(QUERIES, 3) == [index.search(query, 3) for query in QUERIES]

    def test_langchain_ainvoke(self, remote):
        from late_interaction.langchain import LateInteractionRetriever

        retriever = LateInteractionRetriever(index=remote, k=3)

        async def searches():
            await asyncio.gather(*map(retriever.ainvoke, QUERIES))

        assert seconds(lambda: asyncio.run(searches())) < 0.5

    def test_llama_index_aretrieve(self, remote):
        from late_interaction.llama_index import LateInteractionRetriever

        retriever = LateInteractionRetriever(index=remote, similarity_top_k=3)

        async def searches():
            await asyncio.gather(*map(retriever.aretrieve, QUERIES))

        assert seconds(lambda: asyncio.run(searches())) < 0.5
