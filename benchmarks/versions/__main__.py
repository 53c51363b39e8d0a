"""Compare this version of the package with another one, in one run: building, and searches of every kind.

    python -m benchmarks.versions FOLDER --against SRC [--texts DOCUMENTS.jsonl.gz QUERIES.jsonl.gz] [--keep DIR]
        [--only late lexical] [--anisotropy .91] [--json OUT.json]

FOLDER is the output of `python -m benchmarks.data`, SRC the folder `src` of the other version. Each version builds an
index of its own and answers through `Index.search` in a process of its own, on one core with one thread per library;
exact torch does beside them. They take turns after ten queries. Times are milliseconds of the processor, of each query
the least of the rounds; times by the clock are in the JSON. Recall@k is that of exact MaxSim among the documents that
pass the filter. With --texts the modes `lexical` and `hybrid` are compared too: beside their times are the fraction of
queries whose own document is among the ten best, and of the other version's hits that this one returns.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import late_interaction
from benchmarks.anisotropy import mixed
from benchmarks.data import load, read_lines, texts_of
from benchmarks.measure import save, spread, table
from benchmarks.peers.measure import ask_all, exact_scores, joined, recall
from benchmarks.peers.protocol import BUCKETS, Columns, K
from benchmarks.peers.workers import Worker

LANES = 32
EXACT, OLD, NEW = "torch_exact", "old", "new"


@dataclass(frozen=True)
class Case:
    """A kind of search.

    Attributes:
        name: Its name, by which `--only` selects it.
        setting: Its setting of `benchmarks.versions.peer`.
        share: The share of the queries that are asked.
        lanes: Queries are joined to this number of tokens; None for queries as they are.
        k: The number of hits.
        passing: The number of buckets that pass its filter.
        with_exact: Whether exact torch answers the same queries.
    """

    name: str
    setting: str
    share: float = 0.5
    lanes: int | None = None
    k: int = K
    passing: int = BUCKETS
    with_exact: bool = False

    @property
    def needs_texts(self) -> bool:
        """Whether it searches for words."""
        return self.name in ("lexical", "hybrid")


CASES = (
    Case("late", "late", share=1, with_exact=True),
    Case("late-32", "late", lanes=LANES, with_exact=True),
    Case("k-100", "late, k = 100", k=100),
    Case("k-1000", "late, k = 1,000", share=0.2, k=1_000),
    Case("lexical", "lexical"),
    Case("hybrid", "hybrid"),
    Case("filter-50%", "late, 50% pass", passing=50),
    Case("filter-10%", "late, 10% pass", passing=10),
    Case("filter-1%", "late, 1% pass", passing=1),
)


def main() -> None:
    """Build or open the indexes, search, and report."""
    options = _options()
    vectors = load(options.folder)
    vectors = (vectors.first(options.documents) if options.documents else vectors).reduced(options.dim)
    vectors = mixed(vectors, options.anisotropy)
    asked = vectors.queries[: options.queries]
    texts, words, relevant = _read(vectors, options)
    columns = Columns(vectors.tokens, vectors.offsets, asked + joined(asked, LANES), texts, words)
    cases = [case for case in CASES if case.name in options.only and (texts or not case.needs_texts)]
    with nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory() as scratch:
        columns.write(Path(scratch, "columns"))
        workers, built = _ready(Path(scratch).absolute(), options)
        _tell("exact scores")
        scores = exact_scores(columns)
        rows = []
        for case in cases:
            _tell(case.name)
            rows.append(_measured(case, workers, len(asked), scores, relevant, options))
        for worker, _ in workers.values():
            worker.stop()
    print(f"{vectors.documents:,} documents, {len(vectors.tokens):,} tokens of {options.dim}, 4 bits; one core\n")
    print(f"{table(built)}\n\n{table([{name: row[name] for name in row if 'clock' not in name} for row in rows])}")
    save(options.json, {"documents": vectors.documents, "tokens": len(vectors.tokens), "built": built, "cases": rows})


def _ready(scratch: Path, options: argparse.Namespace) -> tuple[dict[str, tuple[Worker, list[str]]], list[dict]]:
    """Build what is missing, and open everything."""
    sources = {OLD: options.against.absolute(), NEW: Path(late_interaction.__file__).parents[1]}
    workers, built = {}, []
    for name, source in sources.items():
        (scratch / name).mkdir(exist_ok=True)
        python, columns = Path(sys.executable), scratch / "columns"
        worker = Worker("index", python, columns, scratch / name, source=source, module="benchmarks.versions.peer")
        took = worker.built() if name == OLD else None
        if took is None:
            _tell(f"{name}: building")
            took = worker.build()
        built.append({"version": name, **took})
        workers[name] = worker, worker.start()["settings"]
    exact = Worker(EXACT, Path(sys.executable), scratch / "columns", scratch)
    return workers | {EXACT: (exact, exact.start()["settings"])}, built


def _measured(case: Case, workers: dict, queries: int, scores: np.ndarray, relevant: list, options) -> dict:
    """Return the row of one case."""
    first = 0 if case.lanes is None else queries
    numbers = range(first, first + max(1, round(case.share * queries)))
    chosen = {name: (workers[name][0], [case.setting]) for name in (OLD, NEW)}
    chosen |= {EXACT: workers[EXACT]} if case.with_exact else {}
    found, failed = ask_all(chosen, numbers, options.rounds, options.seconds)
    if failed:
        raise SystemExit(f"{case.name}: {failed}")
    answers = {name: found[name, setting] for name, (_, settings) in chosen.items() for setting in settings}
    row: dict = {"case": case.name, "queries": len(numbers)}
    for clock in ("cpu_ms", "ms"):
        spreads = {name: spread([answers[name][at][clock] for at in numbers]) for name in chosen}
        end = "" if clock == "cpu_ms" else ", by the clock"
        row |= {f"{name} {what}{end}": ms for name in (OLD, NEW) for what, ms in spreads[name].items()}
        row |= {f"{what} x{end}": spreads[OLD][what] / spreads[NEW][what] for what in ("p50", "p90")}
        row |= {f"exact x{end}": spreads[EXACT]["p50"] / spreads[NEW]["p50"] if case.with_exact else ""}
    passes = np.arange(scores.shape[1]) % BUCKETS < case.passing
    for name in (OLD, NEW):
        ids = [answers[name][at]["ids"] for at in numbers]
        exact = (np.where(passes, scores[at], -np.inf) for at in numbers)
        right = [recall(one, among, case.k) for one, among in zip(ids, exact, strict=True)]
        row[f"recall {name}"] = "" if case.needs_texts else float(np.mean(right))
        own = [wanted in one for one, wanted in zip(ids, relevant[: len(ids)], strict=True)] if relevant else []
        row[f"own {name}"] = float(np.mean(own)) if own and (case.needs_texts or case.name == "late") else ""
    row["same hits"] = float(
        np.mean([len({*answers[OLD][at]["ids"]} & {*answers[NEW][at]["ids"]}) / case.k for at in numbers])
    )
    return row


def _read(vectors, options: argparse.Namespace) -> tuple[list[str], list[str], list[int]]:
    """Return the texts of the documents and queries, and the number of each query's own document."""
    if options.texts is None:
        return [], [], []
    documents, queries = map(read_lines, options.texts)
    numbers = {row["id"]: at for at, row in enumerate(documents)}
    queries = queries[: options.queries]
    texts = texts_of(vectors, [row["text"] for row in documents])
    return texts, [row["query"] for row in queries], [numbers[row["relevant"]] for row in queries]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.versions", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--against", type=Path, required=True, metavar="SRC", help="sources of the other version")
    parser.add_argument("--texts", type=Path, nargs=2, metavar="FILE", help="the documents and queries of FOLDER")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the indexes here, and use the old one of earlier runs"
    )
    parser.add_argument("--only", nargs="+", choices=[case.name for case in CASES], metavar="CASE")
    parser.add_argument("--documents", type=int, metavar="N", help="only the first N documents")
    parser.add_argument("--dim", type=int, default=128, help="reduce the vectors to this dimension")
    parser.add_argument(
        "--anisotropy", type=float, metavar="COSINE", help="mix a common direction in, up to this mean pairwise cosine"
    )
    parser.add_argument("--queries", type=int, default=200, metavar="N", help="number of queries, of most cases half")
    parser.add_argument("--rounds", type=int, default=3, help="how many times each query is timed")
    parser.add_argument(
        "--seconds", type=float, default=20, help="a version that has taken this long is not timed in another round"
    )
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="also write the figures here")
    options = parser.parse_args()
    options.only = options.only or [case.name for case in CASES]
    return options


def _tell(doing: str) -> None:
    print(f"… {doing}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
