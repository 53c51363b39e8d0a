"""Compare engines on the same token vectors in one run: recall, latency, size and building.

    python -m benchmarks.peers FOLDER --environments DIR [--keep DIR] [--documents 10000 30000] [--lanes 32]
        [--anisotropy .91] [--into OUT]

FOLDER is the output of `python -m benchmarks.data`. Each engine runs in its own virtual environment, created in DIR if
it is missing. What does not install or fails is named with the reason. Each number of documents is a collection, and
with --anisotropy the smallest is also measured with a common direction mixed in.

Indexes are built one after the other on all cores. With --keep, those of other engines are kept in that folder and used
again by the next run; that of this package is built anew each time, because the package changes. Then all engines of a
collection are open at the same time, and each answers ten queries in turn on one core, so that other load affects all
of them. Times are of the processor; by the clock they are in the JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

from benchmarks.anisotropy import mixed
from benchmarks.data import Vectors, load
from benchmarks.peers.environments import REQUIREMENTS, python_of
from benchmarks.peers.measure import NATURAL, ask_all, exact_scores, joined, recall
from benchmarks.peers.protocol import Columns, K
from benchmarks.peers.report import OURS, plot, table
from benchmarks.peers.workers import PeerError, Worker


def main() -> None:
    """Build the indexes, search, and report, one collection after the other."""
    options = _options()
    given = load(options.folder)
    documents = sorted(options.documents or [given.documents])
    collections = [(number, None) for number in documents]
    if options.anisotropy is not None:
        collections.insert(1, (documents[0], options.anisotropy))
    for number, cosine in collections:
        vectors = mixed(given.first(number).reduced(options.dim), cosine)
        name = f"{number}-documents" + (f"-cosine-{cosine:g}" if cosine is not None else "")
        result = _compared(vectors, name, options)
        _report(result, options.into and options.into / f"peers-{name}")


def _compared(vectors: Vectors, name: str, options: argparse.Namespace) -> dict:
    """Return what all engines did on one collection."""
    asked = vectors.queries[: options.queries]
    kinds = {NATURAL: asked} | {f"{lanes}-token": joined(asked, lanes) for lanes in options.lanes}
    columns = Columns(vectors.tokens, vectors.offsets, [query for queries in kinds.values() for query in queries])
    result = {
        "name": name,
        "documents": vectors.documents,
        "tokens": len(vectors.tokens),
        "dim": vectors.tokens.shape[1],
        "k": K,
        "engines": [],
        "runs": [],
        "failed": {},
    }
    _tell(name)
    with nullcontext(options.keep / name) if options.keep else tempfile.TemporaryDirectory() as scratch:
        columns.write(Path(scratch, "columns"))
        workers = _ready(options, Path(scratch), result)
        if workers:
            _measure(workers, columns, kinds, options, result)
        for worker, _ in workers.values():
            worker.stop()
    return result


def _ready(options: argparse.Namespace, scratch: Path, result: dict) -> dict[str, tuple[Worker, list[str]]]:
    """Build and open the index of each engine."""
    workers = {}
    for name in options.engines:
        try:
            python = python_of(name, options.environments)
            worker = Worker(name, python, scratch / "columns", scratch, isolated=REQUIREMENTS[name] is not None)
            built = None if name == OURS else worker.built()
            if built is None:
                _tell(f"{name}: building")
                built = worker.build()
            if options.only_build:
                continue
            opened = worker.start()
        except (PeerError, subprocess.CalledProcessError) as error:
            result["failed"][name] = _one_line(error)
            continue
        workers[name] = worker, opened["settings"]
        result["engines"].append({"engine": name, **built, "versions": opened["versions"]})
    return workers


def _measure(workers: dict, columns: Columns, kinds: dict, options: argparse.Namespace, result: dict) -> None:
    """Add the runs of every kind of query to the result."""
    _tell("exact scores")
    scores = exact_scores(columns)
    first = 0
    for kind, queries in kinds.items():
        _tell(f"{kind} queries")
        numbers = range(first, first := first + len(queries))
        answers, failed = ask_all(workers, numbers, options.rounds, options.seconds)
        result["failed"] |= failed
        for name in failed:
            del workers[name]
        for (name, setting), answer in answers.items():
            run = {"engine": name, "setting": setting, "queries": kind, "query tokens": [len(each) for each in queries]}
            run |= {what: [answer[at][what] for at in numbers] for what in ("ids", "ms", "cpu_ms")}
            run["recall"] = [recall(answer[at]["ids"], scores[at]) for at in numbers]
            result["runs"].append(run)


def _report(result: dict, path: Path | None) -> None:
    print(f"\n{result['documents']:,} documents, {result['tokens']:,} tokens of {result['dim']} ({result['name']})")
    for kind in dict.fromkeys(run["queries"] for run in result["runs"]):
        print(f"\n{kind} queries\n\n{table(result, kind)}", flush=True)
    for name, reason in result["failed"].items():
        print(f"\n{name} failed: {reason}")
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f"{path.name}.json").write_text(json.dumps(result))
        if result["runs"]:
            plot(result, path)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--environments", type=Path, required=True, metavar="DIR", help="folder for the environments of the engines"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the indexes here, and use those of earlier runs")
    parser.add_argument("--only-build", action="store_true", help="build the indexes, and ask no queries")
    parser.add_argument("--engines", nargs="+", choices=list(REQUIREMENTS), default=list(REQUIREMENTS), metavar="NAME")
    parser.add_argument("--documents", type=int, nargs="+", metavar="N", help="only the first N documents; default all")
    parser.add_argument(
        "--anisotropy", type=float, metavar="COSINE", help="also mix a common direction in, up to this mean cosine"
    )
    parser.add_argument("--dim", type=int, default=128, help="reduce the vectors to this dimension")
    parser.add_argument("--queries", type=int, default=40, metavar="N", help="number of queries")
    parser.add_argument(
        "--lanes", type=int, nargs="*", default=[32], metavar="N", help="also use queries joined to exactly N tokens"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how many times each query is timed")
    parser.add_argument(
        "--seconds", type=float, default=10, help="a setting that has taken this long is not timed in another round"
    )
    parser.add_argument("--into", type=Path, metavar="OUT", help="write JSON and plots (matplotlib) to this folder")
    options = parser.parse_args()
    options.environments = options.environments.absolute()  # workers have another current folder
    options.keep = options.keep and options.keep.absolute()
    return options


def _one_line(error: Exception) -> str:
    lines = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
    return next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1])


def _tell(doing: str) -> None:
    print(f"… {doing}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
