"""Compare the local engine with exact MaxSim without an index, on one thread.

    python -m benchmarks.latency FOLDER [--dim 128] [--bits 4] [--documents N] [--tokens 32 128 256 512]
        [--anisotropy .95]

FOLDER is the output of `python -m benchmarks.data`. The index is built on all cores. Then a process with one thread per
library answers the queries in both ways, alternating after ten queries. So other load on the machine affects both, and
each one's data stays in the CPU caches. Queries are used as they are, and joined to a fixed number of tokens: 32, as in
models that pad queries, and hundreds, as agents send. Times are of the processor, of each query the least of the
rounds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.anisotropy import mixed
from benchmarks.data import load
from benchmarks.measure import LONG, beside_exact, build, in_fresh_process, save, spread, table
from benchmarks.peers.measure import NATURAL, exact_scores, joined, recall
from benchmarks.peers.protocol import Columns, K
from late_interaction.engines import LocalEngine

FEWEST = 10  # queries of a kind


def main() -> None:
    """Build the index, search, and report."""
    options = _options()
    vectors = load(options.folder)
    vectors = (vectors.first(options.documents) if options.documents else vectors).reduced(options.dim)
    vectors = mixed(vectors, options.anisotropy)
    asked = vectors.queries[: options.queries]
    kinds = {NATURAL: asked}
    for tokens in options.tokens:
        kinds[f"{tokens}-token"] = joined(asked, tokens)[: max(FEWEST, LONG * len(asked) // max(LONG, tokens))]
    columns = Columns(vectors.tokens, vectors.offsets, [query for queries in kinds.values() for query in queries])
    with tempfile.TemporaryDirectory() as folder:
        if options.index:
            Path(folder, "index").symlink_to(options.index.absolute())
        else:
            _tell("building")
            build(Path(folder, "index"), vectors, options.bits)
        with LocalEngine.open(Path(folder, "index"), read_only=True) as engine:
            built = engine.info()
        columns.write(Path(folder, "columns"))
        _tell("asking")
        answers = in_fresh_process(beside_exact, Path(folder), options.rounds, threads=1)
    _tell("exact scores")
    right = [recall(answer["ids"], scores) for answer, scores in zip(answers, exact_scores(columns), strict=True)]
    rows, stages, first = [], [], 0
    for kind, queries in kinds.items():
        of_kind = slice(first, first := first + len(queries))
        rows.append(_row(kind, queries, answers[of_kind], right[of_kind]))
        stages.append({"ms by stage": kind} | _median_stages(answers[of_kind]))
    print(f"{vectors.documents:,} documents, {len(vectors.tokens):,} tokens of {options.dim}, {options.bits} bits")
    print(f"{built['centroids']:,} centroids; one thread, k = {K}\n\n{table(rows)}\n\n{table(stages)}")
    save(options.json, {"index": built, "searches": rows, "stages": stages, "answers": answers})


def _row(kind: str, queries: list[np.ndarray], answers: list[dict], right: list[float]) -> dict:
    exact, engine = (spread([answer[way] for answer in answers]) for way in ("exact", "engine"))
    return {
        "queries": kind,
        "number": len(queries),
        "tokens": int(np.median([len(query) for query in queries])),
        "exact ms": exact["p50"],
        "engine ms": engine["p50"],
        "p90": engine["p90"],
        "slowest": engine["slowest"],
        "ratio": exact["p50"] / engine["p50"],
        "recall@10": float(np.mean(right)),
    }


def _median_stages(answers: list[dict]) -> dict[str, float]:
    runs = [stages for answer in answers for stages in answer["stages"]]
    names = dict.fromkeys(name for stages in runs for name in stages)
    return {name: float(np.median([stages.get(name, 0.0) for stages in runs])) for name in names}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.latency", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dim", type=int, default=128, help="reduce the vectors to this dimension")
    parser.add_argument("--bits", type=int, default=4, help="bits per dimension")
    parser.add_argument("--index", type=Path, metavar="DIR", help="an index of the documents, else one is built")
    parser.add_argument("--documents", type=int, metavar="N", help="only the first N documents")
    parser.add_argument("--queries", type=int, default=100, metavar="N", help="number of queries")
    parser.add_argument(
        "--tokens", type=int, nargs="*", default=[32], metavar="N", help="also use queries joined to exactly N tokens"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how many times each query is timed")
    parser.add_argument(
        "--anisotropy", type=float, metavar="COSINE", help="mix a common direction in, up to this mean pairwise cosine"
    )
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="also write the figures and all answers here")
    return parser.parse_args()


def _tell(doing: str) -> None:
    print(f"… {doing}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
