"""Eight searches at once on ten thousand documents: the event loop gets its turn, and finds what plain calls find."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from late_interaction import Document, Index
from tests.fakes import WordEncoder

DOCUMENTS, AT_ONCE, ROUNDS = 10_000, 8, 6


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    rng = random.Random(0)
    words = [f"word{number}" for number in range(5000)]
    texts = (" ".join(rng.choices(words, k=12)) for _ in range(DOCUMENTS))
    with Index.open(tmp_path_factory.mktemp("loop") / "index", encoder=WordEncoder(dim=64)) as index:
        index.add(Document(text, id=str(number)) for number, text in enumerate(texts))
        index.warm_up()
        yield index


def langchain(index):
    from late_interaction.langchain import LateInteractionRetriever

    retriever = LateInteractionRetriever(index=index, k=10)
    return retriever.invoke, retriever.ainvoke


def llama_index(index):
    from late_interaction.llama_index import LateInteractionRetriever

    retriever = LateInteractionRetriever(index=index, similarity_top_k=10)
    return retriever.retrieve, retriever.aretrieve


async def longest_stall(call, queries):
    """The longest, in milliseconds, that a task which only sleeps waited for the loop, and the answers."""
    longest, done = 0.0, False

    async def watch():
        nonlocal longest
        while not done:
            start = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, (time.perf_counter() - start) * 1000 - 1)

    watcher = asyncio.create_task(watch())
    await asyncio.sleep(0.01)
    answers = await asyncio.gather(*map(call, queries))
    done = True
    await watcher
    return longest, answers


@pytest.mark.parametrize("framework", [langchain, llama_index])
async def test_the_loop_gets_its_turn(index, framework):
    plain, call = framework(index)
    queries = [f"word{7 * number} word{number} word{3 * number} of" for number in range(AT_ONCE)]
    stalls = []
    for _ in range(ROUNDS):
        stall, answers = await longest_stall(call, queries)
        assert answers == [plain(query) for query in queries]
        stalls.append(stall)
    assert min(stalls) < 20  # the best round: a busy machine holds any loop up now and then
