"""Recall and size for different bits and pooling factors, if a document is a page of a thousand vectors.

    python -m benchmarks.pages FOLDER [--pages 1000] [--bits 4 2 1] [--pooling 1 2 3] [--anisotropy .95]

FOLDER is the output of `python -m benchmarks.data`. Each page consists of the token vectors of consecutive documents,
cut at VECTORS and projected to 128 dimensions, because no weights of page models were available. Adjacent text tokens
are similar, as adjacent patches are, but fewer of them. So compare the rows with each other; they are not the figures
of a page model. Recall@10 is relative to exact MaxSim in float32 with all vectors of each page. Beside each row is
exact torch with the same vectors, pooled if they are, on one thread like the engine, in milliseconds of the processor.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.anisotropy import mixed
from benchmarks.data import Vectors, load
from benchmarks.measure import beside_exact, build, in_fresh_process, save, spread, table
from benchmarks.peers.measure import exact_scores, recall
from benchmarks.peers.protocol import Columns, K
from late_interaction.encoders.reduced import pool

DIM, VECTORS = 128, 1000


def main() -> None:
    """Measure every combination of bits and pooling factor."""
    options = _options()
    given = mixed(load(options.folder).reduced(DIM), options.anisotropy)
    count = min(options.pages, len(given.tokens) // VECTORS)
    asked = given.queries[: options.queries]
    pages = Vectors(given.tokens[: count * VECTORS], np.arange(count + 1) * VECTORS, asked, count)
    exact = exact_scores(Columns(pages.tokens, pages.offsets, pages.queries))
    result = []
    for factor in options.pooling:
        start = time.perf_counter()
        pooled = _pooled(pages, factor)
        milliseconds = (time.perf_counter() - start) * 1000 / count
        for bits in options.bits:
            print(f"… {bits} bits, pooling {factor}", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory() as folder:
                row = _measured(Path(folder), pooled, bits, exact)
            result.append({"bits": bits, "pooling": factor, **row, "pooling ms/page": milliseconds})
            save(options.json, result)
    print(f"\n{count:,} pages of {VECTORS:,} vectors of {DIM} dimensions, {len(pages.queries)} queries\n")
    print(table(result))


def _pooled(pages: Vectors, factor: int) -> Vectors:
    if factor == 1:
        return pages
    vectors = [pool(pages.document(at).astype(np.float32), factor) for at in range(pages.documents)]
    offsets = np.concatenate([[0], np.cumsum([len(page) for page in vectors])])
    return Vectors(np.concatenate(vectors).astype(np.float16), offsets, pages.queries, pages.real)


def _measured(folder: Path, pages: Vectors, bits: int, exact: np.ndarray) -> dict:
    built = build(folder / "index", pages, bits)
    Columns(pages.tokens, pages.offsets, pages.queries).write(folder / "columns")
    answers = in_fresh_process(beside_exact, folder, 1, threads=1)
    right = [recall(answer["ids"], scores) for answer, scores in zip(answers, exact, strict=True)]
    engine = spread([answer["engine"] for answer in answers])
    exact_ms = spread([answer["exact"] for answer in answers])["p50"]
    return {
        "vectors/page": built["tokens"] / pages.documents,
        "kB/page": built["vector_bytes"] / pages.documents / 1000,
        f"recall@{K}": float(np.mean(right)),
        "ms/query": engine["p50"],
        "p90": engine["p90"],
        "exact ms": exact_ms,
        "ratio": exact_ms / engine["p50"],
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pages", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pages", type=int, default=1000, metavar="N", help="number of pages")
    parser.add_argument("--queries", type=int, default=400, metavar="N", help="number of queries")
    parser.add_argument("--bits", type=int, nargs="+", default=[4, 2, 1], help="bits per dimension")
    parser.add_argument("--pooling", type=int, nargs="+", default=[1, 2, 3], help="vectors pooled into one")
    parser.add_argument(
        "--anisotropy", type=float, metavar="COSINE", help="mix a common direction in, up to this mean pairwise cosine"
    )
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="also write the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
