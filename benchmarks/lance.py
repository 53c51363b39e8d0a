"""An index in LanceDB: seconds to add, bytes on disk, and search over candidates against exact search.

    python -m benchmarks.lance FOLDER [--documents 10000] [--queries 60] [--dim 128] [--candidates 100 200 500]
        [--temporary DIR] [--json OUT.json]

FOLDER is the output of `python -m benchmarks.data`. Candidates are half by mean vectors and half by centroids. The ten
best documents are those by exact MaxSim of the stored float16 vectors, as the engine itself finds them.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.data import load
from benchmarks.measure import milliseconds, records, save, table
from benchmarks.peers.protocol import K
from late_interaction.engines import LanceDBEngine
from late_interaction.profiling import profile

_TIES = 1e-4  # documents within it of the tenth score count as found


def main() -> None:
    """Add the documents, then search alternating query by query."""
    options = _options()
    vectors = load(options.folder).reduced(options.dim).first(options.documents)
    with tempfile.TemporaryDirectory(dir=options.temporary) as folder:
        uri = Path(folder) / "index"
        with LanceDBEngine(uri, dim=options.dim) as engine:
            add, _ = milliseconds(engine.upsert, records(vectors))
            compact, _ = milliseconds(engine.compact)
            result = {"add s": add / 1000, "compact s": compact / 1000, **engine.info()}
        result["disk bytes"] = sum(path.stat().st_size for path in uri.rglob("*") if path.is_file())
        result["searches"] = _searches(uri, vectors.queries[: options.queries], vectors.documents, options.candidates)
    save(options.json, result)
    print("".join(f"{name}: {result[name]:,}\n" for name in ("documents", "tokens", "centroids", "disk bytes")), end="")
    print(f"add: {result['add s']:.1f} s, compact: {result['compact s']:.1f} s\n\n{table(result['searches'])}")


def _searches(uri: Path, queries: list[np.ndarray], documents: int, candidates: list[int]) -> list[dict]:
    engines = {count: LanceDBEngine(uri, candidates=count, read_only=True) for count in (documents, *candidates)}
    found: dict[int, list[tuple[float, float, dict[str, float]]]] = {count: [] for count in engines}
    for query in queries:
        exact: dict[str, float] = {}
        for count, engine in engines.items():
            times = []
            for _ in range(1 if count == documents else 2):
                with profile() as stages:
                    times.append(milliseconds(engine.search, query, K))
            scores = {match.id: match.score for match in min(times)[1]}
            exact = exact or scores
            found_of_best = sum(score >= min(exact.values()) - _TIES for score in scores.values())
            found[count].append((min(time for time, _ in times), min(found_of_best, K) / K, stages))
    for engine in engines.values():
        engine.close()
    exact_ms = float(np.median([time for time, _, _ in found[documents]]))
    return [
        {
            "candidates": "all (exact)" if count == documents else f"{count:,}",
            "recall@10": float(np.mean([recall for _, recall, _ in rows])),
            "median ms": float(np.median([time for time, _, _ in rows])),
            "times faster": exact_ms / float(np.median([time for time, _, _ in rows])),
            **{
                f"{name}, ms": float(np.median([stages.get(name, 0.0) for _, _, stages in rows]))
                for name in ("first stage", "scores", "matches")
            },
        }
        for count, rows in found.items()
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.lance", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--candidates", type=int, nargs="+", default=[100, 200, 500])
    parser.add_argument("--temporary", type=Path, metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="also write the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
