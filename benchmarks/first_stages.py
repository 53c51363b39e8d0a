"""Candidate generation for MaxSim: recall@10 within the first candidates, and its time in Qdrant's own engine.

    python -m benchmarks.first_stages FOLDER DOCUMENTS.jsonl.gz QUERIES.jsonl.gz
        [--documents 30000 100000] [--joined 1 4] [--queries 400] [--timed 60] [--temporary DIR] [--json OUT.json]

FOLDER is the output of `python -m benchmarks.data`, made of the same documents and queries; further documents recombine
their sentences (`benchmarks.recombination`). Vectors are reduced to 128 dimensions. Three tables:

- recall@10 of MaxSim over the first 100, 200 and 500 candidates of each first stage. The sparse vectors have as many
  centroids as an engine would train for the collection.
- how many candidates have a recall@10 of .98 and of .99, by the number of documents. A half or a quarter of them is
  found by mean vectors, the others by sparse vectors.
- Qdrant's own engine (`qdrant-edge-py`): milliseconds of exact search and of search over candidates, with the sparse
  vector of the query computed within that time, and recall@10 of both.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.candidates import (
    best,
    fused,
    mean_scores,
    mixed,
    ranks,
    ranks_of_words,
    sparse_documents,
    sparse_scores,
)
from benchmarks.data import load, read_lines
from benchmarks.edge import EdgeCollection
from benchmarks.fixed_dimensional import fde_scores
from benchmarks.measure import milliseconds, save, table
from benchmarks.peers.measure import exact_scores
from benchmarks.peers.protocol import Columns, K
from benchmarks.recombination import collect
from late_interaction.engines.first_stage import MEAN_SHARE

if TYPE_CHECKING:
    from benchmarks.candidates import Ranks
    from benchmarks.recombination import Collection
    from late_interaction.engines.first_stage import Centroids

_DIM = 128
_WITHIN = (100, 200, 500)
_SHARES = {"a half": 0.5, "a quarter": MEAN_SHARE}
_MIN_DOCUMENTS = 2_500  # of the table by the number of documents


def main() -> None:
    """Measure every number and length of documents, one after the other."""
    options = _options()
    vectors = load(options.folder).reduced(_DIM)
    texts = [row["text"] for row in read_lines(options.documents_file)]
    words = [row["query"] for row in read_lines(options.queries_file)][: options.queries]
    result = []
    for documents in options.documents:
        for joined in options.joined:
            with tempfile.TemporaryDirectory(dir=options.temporary) as folder:
                given = {"documents": documents, "joined": joined, "queries": options.queries}
                _say(f"{documents:,} documents of {joined}")
                collection = collect(vectors, texts, **given, folder=Path(folder))
                found = _measured(collection, words, Path(folder), options)
            result.append(given | found)
            save(options.json, result)
            _show(result[-1])


def _measured(collection: Collection, words: list[str], folder: Path, options: argparse.Namespace) -> dict:
    columns = collection.columns
    _say("exact scores")
    exact = exact_scores(columns)
    wanted = best(exact)
    _say("mean vectors")
    by_mean = mean_scores(columns)
    _say("centroids")
    centroids, sparse = sparse_documents(columns)
    by_ids = sparse_scores(centroids, sparse, columns.queries)
    mean, ids = ranks(by_mean, wanted), ranks(by_ids, wanted)
    _say("encodings and words")
    stages = {
        "mean-pooled dense": mean,
        "MUVERA FDE, 5,120 dimensions": ranks(fde_scores(columns), wanted),
        "BM25": ranks_of_words(collection.texts, words, wanted),
        f"sparse centroids ({len(centroids):,})": ids,
        **{f"{name} mean, the others sparse": mixed(mean, ids, share) for name, share in _SHARES.items()},
        "mean and sparse, fused by rank": fused(by_mean, by_ids, wanted),
    }
    found = {
        "encoded": collection.encoded,
        "tokens": len(columns.tokens),
        "centroids": len(centroids),
        "ids of a document": float(np.mean([len(one) for one in sparse])),
        "ids of a query": float(np.mean([len(centroids.query(query).indices) for query in columns.queries])),
        "recall": [_recalls(name, stage) for name, stage in stages.items()],
        "depths": _depths(exact, by_mean, by_ids),
    }
    if options.timed:
        _say("Qdrant's engine")
        found |= _timed(columns, wanted, centroids, sparse, folder, options)
    return found


def _recalls(name: str, stage: Ranks) -> dict:
    return {"first stage": name, **{f"within {count}": stage.recall(count) for count in _WITHIN}}


def _depths(exact: np.ndarray, by_mean: np.ndarray, by_ids: np.ndarray) -> list[dict]:
    """Return the candidates needed among the first documents, for numbers of them that double, with these centroids."""
    documents = exact.shape[1]
    counts = [documents]
    while counts[-1] // 2 >= _MIN_DOCUMENTS:
        counts.append(counts[-1] // 2)
    rows = []
    for count in reversed(counts):
        wanted = best(exact[:, :count])
        mean, ids = ranks(by_mean[:, :count], wanted), ranks(by_ids[:, :count], wanted)
        row: dict = {"documents": count}
        for name, share in _SHARES.items():
            both = mixed(mean, ids, share)
            row |= {f"{name}, for {recall}": both.depth(recall) for recall in (0.98, 0.99)}
        rows.append(row | {"mean alone, for 0.98": mean.depth(0.98), "sparse alone, for 0.98": ids.depth(0.98)})
    return rows


def _timed(
    columns: Columns,
    wanted: list[np.ndarray],
    centroids: Centroids,
    sparse: list[np.ndarray],
    folder: Path,
    options: argparse.Namespace,
) -> dict:
    """Return milliseconds and recall of exact search and of search over candidates, alternating query by query."""
    shard = folder / "shard"
    shard.mkdir()
    collection = EdgeCollection.create(shard, columns.tokens.shape[1], centroids)
    start = time.perf_counter()
    collection.add(columns, sparse)
    seconds = time.perf_counter() - start
    queries = columns.queries[: options.timed]
    settings = [None, *((name, count) for count in options.candidates for name in _SHARES)]
    times: dict[Any, list[float]] = {setting: [] for setting in settings}
    recalls: dict[Any, list[float]] = {setting: [] for setting in settings}
    collection.exact(queries[0], K)  # reads the files
    for query, documents in zip(queries, wanted, strict=False):
        for setting in settings:
            if setting is None:
                shortest, ids = milliseconds(collection.exact, query, K)
            else:
                search = collection.over_candidates, query, K, setting[1], _SHARES[setting[0]]
                once, ids = milliseconds(*search)
                shortest = min(once, milliseconds(*search)[0])
            times[setting].append(shortest)
            recalls[setting].append(len(set(ids) & set(documents.tolist())) / K)
    collection.close()
    sparse_ms = [milliseconds(centroids.query, query)[0] for query in queries]
    exact_ms = float(np.median(times[None]))
    rows = [
        {
            "candidates": "all (exact)" if setting is None else f"{setting[1]:,}, {setting[0]} mean",
            "recall@10": float(np.mean(recalls[setting])),
            "median ms": float(np.median(times[setting])),
            "times faster": exact_ms / float(np.median(times[setting])),
        }
        for setting in settings
    ]
    return {"engine": rows, "add s": seconds, "sparse vector of a query, ms": float(np.median(sparse_ms))}


def _show(found: dict) -> None:
    print(
        f"\n{found['documents']:,} documents ({found['encoded']:,} encoded, the others recombined) of "
        f"{found['tokens'] / found['documents']:.0f} tokens, {_DIM} dimensions, {found['queries']} queries; "
        f"{found['centroids']:,} centroids, {found['ids of a document']:.0f} of them in a document and "
        f"{found['ids of a query']:.0f} in a query\n"
    )
    print(table(found["recall"]), "\n")
    print(f"Candidates needed for a recall@{K}, by the share of mean vectors\n\n{table(found['depths'])}\n")
    if "engine" in found:
        milliseconds_text = f"{found['sparse vector of a query, ms']:.2f} ms of it the sparse vector of the query"
        print(f"Qdrant's engine, {milliseconds_text}\n\n{table(found['engine'])}\n")


def _say(text: str) -> None:
    print(f"… {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.first_stages",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("documents_file", type=Path, metavar="documents")
    parser.add_argument("queries_file", type=Path, metavar="queries")
    parser.add_argument("--documents", type=int, nargs="+", default=[30_000, 100_000], help="numbers of documents")
    parser.add_argument("--joined", type=int, nargs="+", default=[1, 4], help="texts that a document is joined of")
    parser.add_argument("--queries", type=int, default=400, metavar="N", help="number of queries")
    parser.add_argument("--timed", type=int, default=60, metavar="N", help="queries to Qdrant's engine; 0 for none")
    parser.add_argument("--candidates", type=int, nargs="+", default=[200, 500, 1_000, 2_000], help="numbers of them")
    parser.add_argument("--temporary", type=Path, metavar="DIR", help="for the vectors of one collection at a time")
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="also write the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
