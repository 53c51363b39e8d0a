"""Milliseconds of single calls: add, delete, search, get, open. With --against, of two versions in turns.

    python -m benchmarks.operations [--against SRC] [--kept DIR] [--only single beside] [--rounds 3] [--json OUT.json]

- single: medians of calls of the local engine, with 3,000 documents of random vectors.
- beside: 1,000 calls that add one document each, while another thread searches, with the indexes that
  `python -m benchmarks.versions FOLDER --keep DIR` has left, copied.

Each measurement runs in a new process. Of several rounds the least counts, so that other load does not.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import numpy as np

import late_interaction
from late_interaction import Document
from late_interaction.engines import LocalEngine, Record

DIM, TOKENS = 128, 70
ADDED = 1_000  # documents added beside a searching thread


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
    """Return the milliseconds of each call."""
    taken = []
    for number in range(times):
        start = time.perf_counter()
        call(number)
        taken.append(1000 * (time.perf_counter() - start))
    return taken


def single(_kept):
    """Return the median milliseconds of each operation."""
    rng = np.random.default_rng(0)
    bulk, batches = records(rng, 3000, 0), [records(rng, 300, 10_000 + 300 * number) for number in range(5)]
    singles, queries = records(rng, 60, 50_000), [record.vectors[:12] for record in records(rng, 100, 0)]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "index")
        engine = LocalEngine.open(root, dim=DIM)
        found = {
            "add 3,000": milliseconds(lambda _: engine.upsert(bulk), 1),
            "add 300": milliseconds(lambda at: engine.upsert(batches[at]), len(batches)),
            "add 1": milliseconds(lambda at: engine.upsert([singles[at]]), len(singles)),
        }
        engine.compact()
        engine.search(queries[0])
        found["search"] = milliseconds(lambda at: engine.fetch(engine.search(queries[at])), len(queries))
        found["search words"] = milliseconds(
            lambda at: engine.fetch(engine.search_lexical(f"w{at} w{at + 5} w{at + 9}")), 100
        )
        found["get 1"] = milliseconds(lambda at: engine.get([f"d{at}"]), 100)
        found["delete 1"] = milliseconds(lambda at: engine.delete(ids=[f"d{at}"]), 30)
        engine.close()
        found["open to read"] = milliseconds(lambda _: LocalEngine.open(root, read_only=True).close(), 100)
        found["open to write"] = milliseconds(lambda _: LocalEngine.open(root).close(), 100)
    return {name: median(taken) for name, taken in found.items()}


def beside(kept):
    """Return milliseconds of adding one document while another thread searches, and of its searches."""
    from benchmarks.peers.protocol import Columns

    columns = Columns.load(kept.parent / "columns")
    stop, searches = threading.Event(), []
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(kept / "index", Path(folder, "index"))
        with LocalEngine.open(Path(folder, "index")) as engine:

            def search():
                for at in range(10**9):
                    query = columns.queries[at % len(columns.queries)]
                    searches.extend(milliseconds(lambda _, query=query: engine.search(query), 1))
                    if stop.is_set():
                        return

            def add(number):
                engine.upsert([Record(Document(f"added {number}", id=f"added {number}"), columns.document(number))])

            engine.search(columns.queries[0])
            searcher = threading.Thread(target=search)
            searcher.start()
            adds = milliseconds(add, ADDED)
            stop.set()
            searcher.join()
    return {
        f"{what} {name}": float(figure)
        for name, taken in (("of an add", adds), ("of a search beside", searches))
        for what, figure in (
            ("p50", np.median(taken)),
            ("p90", np.percentile(taken, 90)),
            ("slowest", max(taken)),
        )
    }


PARTS = {"single": single, "beside": beside}


def compared(part, options):
    """Return a row for each operation: its milliseconds in each version, the least of the rounds."""
    sources = {"old": options.against.absolute()} if options.against else {}
    sources |= {"new": Path(late_interaction.__file__).parents[1]}
    runs = {version: [] for version in sources}
    for _ in range(options.rounds):
        for version, source in sources.items():
            kept = [str(options.kept.absolute() / version)] if options.kept else []
            command = [sys.executable, "-m", "benchmarks.operations", "--worker", part, *kept]
            told = subprocess.run(
                command, check=True, text=True, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(source)}
            )
            runs[version].append(json.loads(told.stdout))
    rows = []
    for name in runs["new"][0]:
        least = {version: min(run[name] for run in found) for version, found in runs.items()}
        ratio = {"new / old": least["new"] / least["old"]} if "old" in least else {}
        rows.append({"ms": name} | least | ratio)
    return rows


def main():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.operations",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--against", type=Path, metavar="SRC", help="sources of another version")
    parser.add_argument("--kept", type=Path, metavar="DIR", help="the folder `--keep` of `benchmarks.versions`")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=["single"], metavar="PART")
    parser.add_argument("--rounds", type=int, default=3, help="how many processes measure each version")
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="also write the figures here")
    options = parser.parse_args()
    from benchmarks.measure import save, table

    result = {part: compared(part, options) for part in options.only}
    for part, rows in result.items():
        print(f"{part}\n{table(rows)}\n")
    save(options.json, result)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        print(json.dumps(PARTS[sys.argv[2]](Path(sys.argv[3]) if sys.argv[3:] else None)))
    else:
        main()
