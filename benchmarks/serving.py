"""Benchmarks for servers: reranking with stored vectors, and retrieval in an event loop.

    python -m benchmarks.serving DOCUMENTS.jsonl.gz QUERIES.jsonl.gz [--json OUT.json]

- rerank: 100 documents of about 150 tokens, ranked with their stored vectors and by encoding them again.
- loop: repeated rounds of eight concurrent LangChain retrievals, and of eight LlamaIndex retrievals, on the whole
  collection. Measures the longest delay of a task that sleeps for one millisecond at a time, and checks that the hits
  equal those of synchronous calls.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import in_fresh_process, milliseconds, save, table
from benchmarks.quality import read
from late_interaction import Document, Index
from late_interaction.langchain import LateInteractionRetriever
from late_interaction.llama_index import LateInteractionRetriever as NodeRetriever
from late_interaction.retrieval.reranking import rerank

CANDIDATES, TOKENS = 100, 150
AT_ONCE, ROUNDS = 8, 20


def rerank_stored(index: Index, texts: list[str], queries: list[str]) -> list[dict]:
    """Measure both ways on the same candidates, alternately."""
    words = " ".join(texts).split()
    long = [Document(" ".join(words[at * 110 : at * 110 + 110]), id=f"long-{at}") for at in range(CANDIDATES)]
    index.add(long)
    tokens = [len(vectors) for vectors in index.engine.vectors([document.id for document in long]).values()]
    encoder = index.encoder
    stored_ms, encoded_ms, same = [], [], 0
    index.rerank(queries[0], documents=long)
    for query in queries[:3]:
        fast, stored = milliseconds(index.rerank, query, documents=long)
        slow, encoded = milliseconds(rerank, query, long, encoder=encoder)
        stored_ms.append(fast)
        encoded_ms.append(slow)
        same += [hit.id for hit in stored[:10]] == [hit.id for hit in encoded[:10]]
    fast, slow = statistics.median(stored_ms), statistics.median(encoded_ms)
    row = {"documents": CANDIDATES, "median tokens": int(statistics.median(tokens)), "stored ms": fast}
    return [row | {"encoded ms": slow, "ratio": slow / fast, "same ten best": f"{same} of 3"}]


async def stall(call, queries: list[str]) -> tuple[float, list]:
    """Return the longest time that the event loop was blocked during concurrent queries, in milliseconds."""
    longest, done = 0.0, False

    async def watch() -> None:
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


def loop(index: Index, queries: list[str]) -> list[dict]:
    """Measure the retrievers of both frameworks."""
    chains, nodes = LateInteractionRetriever(index=index, k=10), NodeRetriever(index=index, similarity_top_k=10)
    rows = []
    for name, plain, call in (
        ("LangChain", chains.invoke, chains.ainvoke),
        ("LlamaIndex", nodes.retrieve, nodes.aretrieve),
    ):
        stalls, equal = [], True
        for at in range(ROUNDS):
            asked = queries[at * AT_ONCE : (at + 1) * AT_ONCE]
            longest, answers = asyncio.run(stall(call, asked))
            stalls.append(longest)
            equal &= answers == [plain(query) for query in asked]
        row = {"retriever": name, "at once": AT_ONCE, "median stall ms": statistics.median(stalls)}
        rows.append(row | {"longest stall ms": max(stalls), "as plain calls": equal})
    return rows


def _served(folder: str, queries: list[str]) -> list[dict]:
    """Measure the event loop in a process that opens an index built by another process."""
    with Index.open(folder, read_only=True) as index:
        index.warm_up()
        return loop(index, queries)


def main() -> None:
    """Build the index and run both parts."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("documents", type=Path)
    parser.add_argument("queries", type=Path)
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="also write the figures here")
    options = parser.parse_args()
    documents, queries = read(options.documents), [row["query"] for row in read(options.queries)]
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        with Index.open(folder, encoder="minilm") as index:
            index.add([Document(**row) for row in documents], progress=sys.stderr.isatty())
            result["rerank"] = rerank_stored(index, [row["text"] for row in documents], queries)
            print(f"rerank\n{table(result['rerank'])}", flush=True)
        result["loop"] = in_fresh_process(_served, folder, queries)
        print(f"\nloop\n{table(result['loop'])}")
    save(options.json, result)


if __name__ == "__main__":
    main()
