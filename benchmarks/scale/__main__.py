"""Latency against the number of tokens, up to 100 million.

    python -m benchmarks.scale FOLDER --keep DIR [--against SRC] [--millions 10 30 100] [--into OUT]

FOLDER is the output of `python -m benchmarks.data`. The first row is an index of its documents. The others recombine
spans of their tokens (`benchmarks.scale.spans`): the compressed columns are copied and the codebook stays, and
recall@10 is that of exact MaxSim with the real tokens. Recombined documents share spans with many others, so many
documents have nearly the scores of the best.

With --against, all indexes are written by that version, and this one gets copies, which it brings up to date with
`compact()`. Both answer in turns of ten queries, each in a process of its own on one core. Times are milliseconds of
the processor, of each query the least of the rounds. Memory is that of the process after its queries: its own, and what
is resident of mapped files.

Indexes stay in DIR, with 72 bytes for each token, and are used again; so are the exact results.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

import late_interaction
from benchmarks.data import Vectors, load
from benchmarks.measure import milliseconds, save, spread, table
from benchmarks.peers.measure import NEAR, ask_all, exact_scores
from benchmarks.peers.protocol import Columns, K
from benchmarks.peers.workers import ROOT, Worker
from benchmarks.plots import line, logarithmic, panels
from benchmarks.scale.spans import Spans
from late_interaction.engines import LocalEngine

ENGINE = "late_interaction_local"
OLD, NEW = "old", "new"


def main() -> None:
    """Build what is missing, search, and report, one size after the other."""
    options = _options()
    given = load(options.folder).reduced(options.dim)
    asked = given.queries[: options.queries]
    Columns(given.tokens, given.offsets, asked).write(options.keep / "columns")
    sources = {OLD: options.against} if options.against else {}
    sources |= {NEW: Path(late_interaction.__file__).parents[1]}
    rows = []
    for name in ("real", *(f"{millions:g}M" for millions in options.millions)):
        _tell(f"{name}: indexes")
        scratch = {version: options.keep / name / version for version in sources}
        posting_ms = _build(name, given, scratch, sources, options)
        _tell(f"{name}: searches")
        wanted = _wanted(name, given, asked, options.keep / name / f"exact-{len(asked)}.json")
        rows += _measured(name, scratch, sources, wanted, options)
        rows[-1]["compact s"] = "" if posting_ms is None else posting_ms / 1000
        print(table(rows[-len(sources) :]), flush=True)
        if options.into:
            options.into.mkdir(parents=True, exist_ok=True)
            save(options.into / "scale.json", rows)
            _plot(rows, options.into / "scale")


def _build(name: str, given: Vectors, scratch: dict, sources: dict, options) -> float | None:
    """Build the index of one size if it is missing, and copy it; return the milliseconds of `compact()` in the copy."""
    first, *others = scratch
    index = scratch[first] / ENGINE
    if not index.exists():
        scratch[first].mkdir(parents=True, exist_ok=True)
        if name == "real":
            _worker(scratch[first], sources[first], options).build()
        else:
            command = [sys.executable, "-m", "benchmarks.scale.building"]
            command += [str(options.keep / "real" / first / ENGINE), str(index), str(_tokens_of(name))]
            subprocess.run(command, check=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(sources[first])})
    for other in others:
        copy = scratch[other] / ENGINE
        shutil.rmtree(copy, ignore_errors=True)  # of an earlier state of this version
        shutil.copytree(index, copy, copy_function=_link)
        with LocalEngine.open(copy) as engine:
            return milliseconds(engine.compact)[0]
    return None


def _link(source: str, target: str) -> None:
    """Copy a file, or link it if it is a column, which no version modifies."""
    (os.link if source.endswith(".npy") else shutil.copy2)(source, target)


def _wanted(name: str, given: Vectors, asked: list[np.ndarray], kept: Path) -> list[list[int]]:
    """Return the ids of the best documents of each query, and of those that tie with the last."""
    if not kept.exists():
        kept.write_text(json.dumps([_best(scores) for scores in _scores(name, given, asked)]))
    first = 0 if name == "real" else given.documents
    return [[at + first for at in best] for best in json.loads(kept.read_text())]


def _scores(name: str, given: Vectors, asked: list[np.ndarray]):
    """Yield the exact scores of all documents for each query."""
    if name == "real":
        yield from exact_scores(Columns(given.tokens, given.offsets, asked))
        return
    spans = Spans.drawn(_tokens_of(name), len(given.tokens))
    products = np.empty((len(given.tokens), max(map(len, asked))), np.float32)
    for query in asked:
        for start in range(0, len(products), 65_536):
            block = given.tokens[start : start + 65_536].astype(np.float32)
            products[start : start + 65_536, : len(query)] = block @ query.T
        yield spans.scores(products[:, : len(query)])


def _best(scores: np.ndarray) -> list[int]:
    return np.flatnonzero(scores >= np.partition(scores, -K)[-K] - NEAR).tolist()


def _measured(name: str, scratch: dict, sources: dict, wanted: list, options) -> list[dict]:
    """Return a row for each version."""
    workers = {version: _worker(folder, sources[version], options) for version, folder in scratch.items()}
    opened = {version: (worker, worker.start()["settings"]) for version, worker in workers.items()}
    answers, failed = ask_all(opened, range(len(wanted)), options.rounds, options.seconds)
    if failed:
        raise SystemExit(f"{name}: {failed}")
    rows = []
    for version, worker in workers.items():
        told = [answers[version, "default"][at] for at in range(len(wanted))]
        right = [len({*answer["ids"]} & {*best}) / K for answer, best in zip(told, wanted, strict=True)]
        memory = worker.memory()
        worker.stop()
        with LocalEngine.open(scratch[version] / ENGINE, read_only=True) as engine:
            info = engine.info()
        row = {"size": name, "version": version, "tokens": info["tokens"], "documents": info["documents"]}
        row |= spread([answer["cpu_ms"] for answer in told])
        row["p50 by the clock"] = spread([answer["ms"] for answer in told])["p50"]
        row["recall@10"] = float(np.mean(right))
        row |= {"bytes/token": info["vector_bytes"] / info["tokens"]}
        rows.append(row | {f"{what} MiB": size / 2**20 for what, size in memory.items()} | {"compact s": ""})
    return rows


def _worker(scratch: Path, source: Path, options) -> Worker:
    return Worker(ENGINE, Path(sys.executable), options.keep / "columns", scratch, source=source)


def _tokens_of(name: str) -> int:
    return round(float(name[:-1]) * 1e6)


def _plot(rows: list[dict], path: Path) -> None:
    """Plot the median and the 90th percentile against the number of tokens."""
    title = f"One query on one core; recall@10 {rows[-1]['recall@10']:.3f} at the last size"
    with panels(path, ["p50", "p90"], title) as drawn:
        for panel, what in zip(drawn, ("p50", "p90"), strict=True):
            panel.set(xlabel="million tokens", title={"p50": "median", "p90": "90th percentile"}[what])
            logarithmic(panel, "xy")
            for version, label in ((NEW, "this version"), (OLD, "before")):
                own = sorted((row["tokens"] / 1e6, row[what]) for row in rows if row["version"] == version)
                line(panel, own, label, is_ours=version == NEW)
        drawn[0].set_ylabel("milliseconds")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keep", type=Path, required=True, metavar="DIR", help="folder for the indexes")
    parser.add_argument("--against", type=Path, metavar="SRC", help="sources of another version")
    parser.add_argument("--millions", type=float, nargs="*", default=[10, 30, 100], metavar="N", help="tokens")
    parser.add_argument("--dim", type=int, default=128, help="reduce the vectors to this dimension")
    parser.add_argument("--queries", type=int, default=40, metavar="N", help="number of queries")
    parser.add_argument("--rounds", type=int, default=3, help="how many times each query is timed")
    parser.add_argument(
        "--seconds", type=float, default=10, help="a version that has taken this long is not timed in another round"
    )
    parser.add_argument("--into", type=Path, metavar="OUT", help="write JSON and plots (matplotlib) to this folder")
    options = parser.parse_args()
    options.keep = options.keep.absolute()
    options.against = options.against and options.against.absolute()
    return options


def _tell(doing: str) -> None:
    print(f"… {doing}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
