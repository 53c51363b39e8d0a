"""Recall lost by compression and by the search plan, and bytes per token.

    python -m benchmarks.recall FOLDER [--dims 384 128] [--bits 4 3 2 1 0 8] [--documents 10000] [--anisotropy .95]

FOLDER is the output of `python -m benchmarks.data`. Each index is built in one call with default settings. Recall@10 is
relative to exact MaxSim in float32 of the original vectors. For the first few queries it is also measured with

- "exhaustive": the engine's scores with all documents ranked. The search loses the difference from this recall.
- "codes": MaxSim of the stored vectors. Compression loses the difference from 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.anisotropy import mixed
from benchmarks.data import load
from benchmarks.measure import build, save, table
from benchmarks.peers.measure import exact_scores, recall
from benchmarks.peers.protocol import Columns, K
from late_interaction.engines import LocalEngine

if TYPE_CHECKING:
    from benchmarks.data import Vectors


def main() -> None:
    """Measure every combination of dimension and bits."""
    options = _options()
    given = load(options.folder).first(options.documents)
    result = []
    for dim in options.dims:
        vectors = mixed(given.reduced(dim), options.anisotropy)
        columns = Columns(vectors.tokens, vectors.offsets, vectors.queries[: options.queries])
        exact = exact_scores(columns)
        for bits in options.bits:
            print(f"… {dim} dimensions, {bits} bits", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory() as folder:
                built = build(Path(folder), vectors, bits)
                result.append(_sizes(vectors, built, bits) | _recalls(Path(folder), columns, exact, options.sample))
            save(options.json, result)
    print(f"\n{given.documents:,} documents, {len(given.tokens):,} tokens, {len(columns.queries)} queries")
    print(f"columns after recall@{K}: of the first {min(options.sample, len(columns.queries))} queries\n")
    print(table(result))


def _sizes(vectors: Vectors, built: dict, bits: int) -> dict:
    dim = vectors.tokens.shape[1]
    return {
        "dim": dim,
        "bits": bits,
        "centroids": built["centroids"],
        "bytes/token": built["vector_bytes"] / built["tokens"],
        "bound": (5 if bits else 3) + dim * bits / 8 + 2,
        "build, CPU s": built["seconds"]["all"],
    }


def _recalls(folder: Path, columns: Columns, exact: np.ndarray, sample: int) -> dict:
    sampled = columns.queries[:sample]
    with LocalEngine.open(folder, read_only=True) as engine:
        found = [recall(_ids(engine, query, K), scores) for query, scores in zip(columns.queries, exact, strict=True)]
        ranked = [_ids(engine, query, columns.documents) for query in sampled]
        stored = engine.vectors([str(at) for at in range(columns.documents)])
    as_stored = exact_scores(Columns(np.concatenate([*stored.values()]), columns.offsets, sampled))
    best = np.argsort(-as_stored, axis=1, kind="stable")[:, :K]
    return {
        "recall@10": float(np.mean(found)),
        "searched": float(np.mean(found[:sample])),
        "exhaustive": float(np.mean([recall(ids[:K], scores) for ids, scores in zip(ranked, exact, strict=False)])),
        "codes": float(np.mean([recall(ids.tolist(), scores) for ids, scores in zip(best, exact, strict=False)])),
    }


def _ids(engine: LocalEngine, query: np.ndarray, k: int) -> list[int]:
    return [int(match.id) for match in engine.search(query, k)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recall", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dims", type=int, nargs="+", default=[384, 128], help="dimensions to reduce the vectors to")
    parser.add_argument(
        "--bits", type=int, nargs="+", default=[4, 3, 2, 1, 0, 8], help="bits per dimension; 0 for codes alone"
    )
    parser.add_argument("--documents", type=int, default=10_000, metavar="N", help="only the first N documents")
    parser.add_argument("--queries", type=int, default=400, metavar="N", help="number of queries")
    parser.add_argument("--sample", type=int, default=20, metavar="N", help="queries that are also ranked exhaustively")
    parser.add_argument(
        "--anisotropy", type=float, metavar="COSINE", help="mix a common direction in, up to this mean pairwise cosine"
    )
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="also write the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
