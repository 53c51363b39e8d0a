"""Compare engines on the same token vectors in one run: recall and latency.

    python -m benchmarks.peers FOLDER --environments DIR [--dim 128] [--queries 100] [--lanes 32] [--json OUT.json]

FOLDER is the output of `python -m benchmarks.data`. Each engine runs in its own virtual environment, created in DIR if
it is missing. Indexes are built one after the other on all cores. Then all engines are open at the same time, and one
query at a time is answered on one core, in shuffled order, so that other load on the machine affects all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.data import load
from benchmarks.peers.environments import REQUIREMENTS, python_of
from benchmarks.peers.measure import NATURAL, ask_all, exact_scores, joined, recall
from benchmarks.peers.protocol import Columns, K
from benchmarks.peers.report import plot, table
from benchmarks.peers.workers import PeerError, Worker


def main() -> None:
    """Build the indexes, search, and report."""
    options = _options()
    vectors = load(options.folder)
    vectors = (vectors.first(options.documents) if options.documents else vectors).reduced(options.dim)
    asked = vectors.queries[: options.queries]
    kinds = {NATURAL: asked} | {f"{lanes}-token": joined(asked, lanes) for lanes in options.lanes}
    columns = Columns(vectors.tokens, vectors.offsets, [query for queries in kinds.values() for query in queries])
    result = {
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version()},
        "collection": {
            "documents": vectors.documents,
            "real": vectors.real,
            "tokens": len(vectors.tokens),
            "dim": options.dim,
        },
        "k": K,
        "queries": {kind: [len(query) for query in queries] for kind, queries in kinds.items()},
        "engines": [],
        "runs": [],
        "failed": {},
    }
    with tempfile.TemporaryDirectory() as scratch:
        columns.write(Path(scratch, "columns"))
        workers = _ready(options, Path(scratch), result)
        _measure(workers, columns, kinds, options.rounds, result)
        for worker, _ in workers.values():
            worker.stop()
    for kind, queries in kinds.items():
        print(f"\n{kind} queries, {int(np.median([len(query) for query in queries]))} tokens (median)\n")
        print(table(result, kind))
    for name, reason in result["failed"].items():
        print(f"\n{name} failed: {reason}")
    if options.json:
        options.json.write_text(json.dumps(result))
    if options.plot:
        plot(result, options.plot)


def _ready(options: argparse.Namespace, scratch: Path, result: dict) -> dict[str, tuple[Worker, list[str]]]:
    """Build and open the index of each engine."""
    workers = {}
    for name in options.engines:
        _tell(f"{name}: building")
        try:
            python = python_of(name, options.environments)
            isolated = REQUIREMENTS[name] is not None
            worker = Worker(name, python, scratch / "columns", scratch, isolated)
            built = worker.build()
            opened = worker.start()
        except (PeerError, subprocess.CalledProcessError) as error:
            result["failed"][name] = _one_line(error)
            continue
        workers[name] = worker, opened["settings"]
        result["engines"].append(
            {"engine": name, "build_seconds": built["seconds"], "bytes": built["bytes"], "versions": opened["versions"]}
        )
    return workers


def _measure(workers: dict, columns: Columns, kinds: dict, rounds: int, result: dict) -> None:
    """Add the runs of every kind of query to the result."""
    _tell("exact scores")
    scores = exact_scores(columns)
    first = 0
    for kind, queries in kinds.items():
        _tell(f"{kind} queries")
        numbers = range(first, first := first + len(queries))
        answers, failed = ask_all(workers, numbers, rounds)
        result["failed"] |= failed
        for name in failed:
            del workers[name]
        result["runs"] += [
            {
                "engine": name,
                "setting": setting,
                "queries": kind,
                "ids": [answer[at]["ids"] for at in numbers],
                "ms": [answer[at]["ms"] for at in numbers],
                "recall": [recall(answer[at]["ids"], scores[at]) for at in numbers],
            }
            for (name, setting), answer in answers.items()
        ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--environments", type=Path, required=True, metavar="DIR", help="folder for the environments of the engines"
    )
    parser.add_argument("--engines", nargs="+", choices=list(REQUIREMENTS), default=list(REQUIREMENTS), metavar="NAME")
    parser.add_argument("--documents", type=int, metavar="N", help="only the first N documents")
    parser.add_argument("--dim", type=int, default=128, help="reduce the vectors to this dimension")
    parser.add_argument("--queries", type=int, default=100, metavar="N", help="number of queries")
    parser.add_argument(
        "--lanes", type=int, nargs="*", default=[], metavar="N", help="also use queries joined to exactly N tokens"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how many times each query is timed")
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="also write all results and times here")
    parser.add_argument(
        "--plot", type=Path, metavar="OUT.png", help="also plot latency against recall (needs matplotlib)"
    )
    options = parser.parse_args()
    options.environments = options.environments.absolute()  # workers have another current folder
    return options


def _processor() -> str:
    """Return the name of the processor and its relevant instruction sets."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    about = dict(map(str.strip, line.split(":", 1)) for line in lines if ":" in line)
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8")
    return " ".join(
        [
            about.get("model name", platform.machine()),
            *(flag for flag in wanted if flag in about.get("flags", "").split()),
        ]
    )


def _one_line(error: Exception) -> str:
    lines = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
    return next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1])


def _tell(doing: str) -> None:
    print(f"… {doing}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
