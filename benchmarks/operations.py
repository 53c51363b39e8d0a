"""Median milliseconds of single calls of the local engine: add, delete, search, get, open. The vectors are random.

``python -m benchmarks.operations``. To compare two versions, run it alternately with each of them on ``PYTHONPATH``.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from late_interaction import Document
from late_interaction.engines import LocalEngine, Record

DIM, TOKENS = 128, 70


def records(rng, count, first):
    made = []
    for number in range(first, first + count):
        vectors = rng.normal(size=(TOKENS, DIM)).astype(np.float32)
        text = " ".join(f"w{word}" for word in rng.integers(0, 3000, 60))
        metadata = {"year": int(rng.integers(1990, 2025)), "lang": "en", "tags": ["a", "b"]}
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        made.append(Record(Document(text, id=f"d{number}", metadata=metadata), vectors))
    return made


def milliseconds(call, times):
    seconds = []
    for number in range(times):
        start = time.perf_counter()
        call(number)
        seconds.append(time.perf_counter() - start)
    return round(1000 * median(seconds), 3)


def measure(root):
    rng = np.random.default_rng(0)
    bulk, batches = records(rng, 3000, 0), [records(rng, 300, 10_000 + 300 * number) for number in range(5)]
    singles, queries = records(rng, 60, 50_000), [record.vectors[:12] for record in records(rng, 100, 0)]
    engine = LocalEngine.open(root, dim=DIM)
    found = {
        "add 3,000": milliseconds(lambda _: engine.upsert(bulk), 1),
        "add 300": milliseconds(lambda at: engine.upsert(batches[at]), len(batches)),
        "add 1": milliseconds(lambda at: engine.upsert([singles[at]]), len(singles)),
    }
    engine.compact()

    def find(matches):
        # An earlier release's matches carry their documents.
        return engine.fetch(matches) if hasattr(engine, "fetch") else matches

    find(engine.search(queries[0]))
    found["search"] = milliseconds(lambda at: find(engine.search(queries[at])), len(queries))
    found["search words"] = milliseconds(lambda at: find(engine.search_lexical(f"w{at} w{at + 5} w{at + 9}")), 100)
    found["get 1"] = milliseconds(lambda at: engine.get([f"d{at}"]), 100)
    found["delete 1"] = milliseconds(lambda at: engine.delete(ids=[f"d{at}"]), 30)
    engine.close()
    found["open to read"] = milliseconds(lambda _: LocalEngine.open(root, read_only=True).close(), 100)
    found["open to write"] = milliseconds(lambda _: LocalEngine.open(root).close(), 100)
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        print(json.dumps(measure(Path(folder) / "index"), indent=1))
