"""Queries per second: several in one call, from several threads, and with the threads that libraries start by default.

    python -m benchmarks.throughput FOLDER [--index DIR] [--queries 200] [--json OUT.json]

FOLDER is the output of `python -m benchmarks.data`. All searches go through `Index.search` or `Index.search_many`, in
new processes. Three tables:

- many: the queries one by one, and in one `search_many`, with the cores that the process has.
- threads: the same queries from 1, 2, 4 and 8 Python threads.
- defaults: milliseconds by the clock of a process with one thread per library on one core, and of one as it starts, in
  turns of ten queries. Libraries that start threads of their own must not slow a search down.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.data import load
from benchmarks.measure import build, in_fresh_process, save, spread, table
from benchmarks.peers.measure import NATURAL, ask_all, joined
from benchmarks.peers.protocol import Columns, K
from benchmarks.peers.workers import Worker
from late_interaction import Index

LANES = 32
THREADS = (1, 2, 4, 8)


def main() -> None:
    """Run all parts."""
    options = _options()
    vectors = load(options.folder)
    vectors = (vectors.first(options.documents) if options.documents else vectors).reduced(options.dim)
    asked = vectors.queries[: options.queries]
    with tempfile.TemporaryDirectory() as scratch:
        index = options.index
        if index is None:
            _tell("building")
            index = Path(scratch, "index")
            build(index, vectors, bits=4)
        _tell("many")
        result = {"many": in_fresh_process(many, index, asked, options.rounds)}
        _tell("threads")
        result["threads"] = in_fresh_process(threads, index, asked, options.rounds)
        _tell("defaults")
        Columns(np.empty((0, options.dim), np.float16), np.zeros(1, np.int64), asked + joined(asked, LANES)).write(
            Path(scratch, "columns")
        )
        result["defaults"] = defaults(index.absolute(), Path(scratch), len(asked), options.rounds)
    for name, rows in result.items():
        print(f"\n{name}\n{table(rows)}")
    save(options.json, result)


def many(index: Path, queries: list[np.ndarray], rounds: int) -> list[dict]:
    """Return a row for the queries one by one, and one for all in one call."""
    with Index.open(index, read_only=True) as opened:
        ways = {
            "one by one": lambda: [opened.search(query, K) for query in queries],
            "one search_many": lambda: opened.search_many(queries, K),
        }
        rows = _rates(ways, len(queries), rounds)
    return [row | {"x": row["queries/s"] / rows[0]["queries/s"]} for row in rows]


def threads(index: Path, queries: list[np.ndarray], rounds: int) -> list[dict]:
    """Return a row for each number of threads that search at the same time."""
    with Index.open(index, read_only=True) as opened:

        def searching(number: int) -> None:
            with ThreadPoolExecutor(number) as pool:
                list(pool.map(lambda query: opened.search(query, K), queries))

        ways = {f"{number} threads": lambda number=number: searching(number) for number in THREADS}
        return _rates(ways, len(queries), rounds)


def _rates(ways: dict, queries: int, rounds: int) -> list[dict]:
    """Return a row for each way to search: the queries per second of its fastest round, after one that warms up."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, search in ways.items():
            start, used = time.perf_counter(), time.process_time()
            search()
            seconds[name].append((time.perf_counter() - start, time.process_time() - used))
    rows = []
    for name, runs in seconds.items():
        clock, cpu = min(runs[1:])
        rows.append({"searches": name, "queries/s": queries / clock, "CPU ms/query": 1000 * cpu / queries})
    return rows


def defaults(index: Path, scratch: Path, queries: int, rounds: int) -> list[dict]:
    """Return a row for each kind of query: a process with one thread per library against one as it starts."""
    workers = {}
    for name, all_cores in (("one thread", False), ("default threads", True)):
        folder = scratch / name
        folder.mkdir()
        (folder / "engine").symlink_to(index)
        module = "benchmarks.peers.late_interaction_local"
        worker = Worker("engine", Path(sys.executable), scratch / "columns", folder, module=module, all_cores=all_cores)
        workers[name] = worker, worker.start()["settings"]
    rows = []
    for first, kind in ((0, NATURAL), (queries, f"{LANES}-token")):
        numbers = range(first, first + queries)
        answers, failed = ask_all(workers, numbers, rounds, seconds=20)
        if failed:
            raise SystemExit(str(failed))
        row: dict = {"queries": kind}
        for name in workers:
            told = [answers[name, "default"][at] for at in numbers]
            found = spread([answer["ms"] for answer in told])
            row |= {f"{name}, {what}": found[what] for what in ("p50", "p90")}
            row[f"{name}, CPU"] = spread([answer["cpu_ms"] for answer in told])["p50"]
        rows.append(row)
    for worker, _ in workers.values():
        worker.stop()
    return rows


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--index", type=Path, metavar="DIR", help="an index of the documents, else one is built")
    parser.add_argument("--documents", type=int, metavar="N", help="only the first N documents")
    parser.add_argument("--dim", type=int, default=128, help="reduce the vectors to this dimension")
    parser.add_argument("--queries", type=int, default=200, metavar="N", help="number of queries")
    parser.add_argument("--rounds", type=int, default=3, help="how many times each query is timed")
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="also write the figures here")
    return parser.parse_args()


def _tell(doing: str) -> None:
    print(f"… {doing}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
