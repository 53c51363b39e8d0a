"""Compare the local engine with exact MaxSim without an index, on one thread.

    python -m benchmarks.latency FOLDER [--dim 128] [--bits 4] [--documents N] [--tokens 32] [--anisotropy .95]

FOLDER is the output of `python -m benchmarks.data`. The index is built on all cores. Then a process with one thread per
library answers the queries in both ways, alternating after ten queries. So other load on the machine affects both, and
each one's data stays in the CPU caches. Queries are used as they are, and joined to a fixed number of tokens, as in
models that pad queries.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.anisotropy import mixed
from benchmarks.data import load
from benchmarks.measure import build, in_fresh_process, milliseconds, save, table
from benchmarks.peers.measure import NATURAL, exact_scores, joined, recall
from benchmarks.peers.protocol import Columns, K
from late_interaction.engines import LocalEngine
from late_interaction.profiling import profile

IN_TURN = 10  # queries answered in one way before switching


def main() -> None:
    """Build the index, search, and report."""
    options = _options()
    vectors = load(options.folder)
    vectors = (vectors.first(options.documents) if options.documents else vectors).reduced(options.dim)
    vectors = mixed(vectors, options.anisotropy)
    asked = vectors.queries[: options.queries]
    kinds = {NATURAL: asked} | {f"{tokens}-token": joined(asked, tokens) for tokens in options.tokens}
    columns = Columns(vectors.tokens, vectors.offsets, [query for queries in kinds.values() for query in queries])
    with tempfile.TemporaryDirectory() as folder:
        _tell("building")
        built = build(Path(folder, "index"), vectors, options.bits)
        columns.write(Path(folder, "columns"))
        _tell("asking")
        answers = in_fresh_process(_ask, Path(folder), options.rounds, threads=1)
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


def _ask(folder: Path, rounds: int) -> list[dict]:
    """Return for every query its ids and its milliseconds in both ways and by stage. The first round is a warm-up."""
    import torch

    from benchmarks.peers.torch_exact import PEER as EXACT

    torch.set_num_threads(1)
    columns = Columns.load(folder / "columns")
    EXACT.open(columns, folder)
    answers = [{"exact": [], "engine": [], "stages": []} for _ in columns.queries]
    with LocalEngine.open(folder / "index", read_only=True) as engine:
        for turn in range(rounds + 1):
            for first in range(0, len(answers), IN_TURN):
                pairs = list(zip(columns.queries, answers, strict=True))[first : first + IN_TURN]
                exact = [milliseconds(EXACT.search, query)[0] for query, _ in pairs]
                for (query, answer), exact_ms in zip(pairs, exact, strict=True):
                    with profile() as stages:
                        engine_ms, found = milliseconds(engine.search, query, K)
                    answer["ids"] = [int(match.id) for match in found]
                    if turn:
                        answer["exact"].append(exact_ms)
                        answer["engine"].append(engine_ms)
                        answer["stages"].append(stages)
    return answers


def _row(kind: str, queries: list[np.ndarray], answers: list[dict], right: list[float]) -> dict:
    exact, engine = (np.array([np.median(answer[way]) for answer in answers]) for way in ("exact", "engine"))
    return {
        "queries": kind,
        "tokens": int(np.median([len(query) for query in queries])),
        "exact ms": float(np.median(exact)),
        "p90": float(np.percentile(exact, 90)),
        "engine ms": float(np.median(engine)),
        "p90 ": float(np.percentile(engine, 90)),
        "ratio": float(np.median(exact) / np.median(engine)),
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
