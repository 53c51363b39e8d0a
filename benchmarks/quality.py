"""Ranking quality of the offline encoder on real text in each mode, compared with its mean-pooled cosine.

    python benchmarks/quality.py DOCUMENTS.jsonl.gz QUERIES.jsonl.gz [--bits 4] [--json OUT.json]

Each line of DOCUMENTS is {"id", "text", "metadata"}, each line of QUERIES {"query", "relevant"}. Prints nDCG@10,
recall@10 and MRR@10 of every mode with the median latency of a query (including encoding), and the gain of ``late``
over the mean-pooled cosine with a 95% bootstrap confidence interval over queries. If bm25s is installed (``pip install
bm25s``), it is measured too.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from late_interaction import Document, Index
from late_interaction.encoders.minilm_package import minilm_folder
from late_interaction.evaluation import mean_over_queries, ndcg, recall, reciprocal_rank

K = 10
BITS = {"none": None, "codes": 0, "1": 1, "2": 2, "3": 3, "4": 4, "8": 8}


def read(path: Path) -> list[dict]:
    """Return the JSON lines of a gzipped file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def pooled_rankings(texts: list[str], ids: list[str], queries: list[str]) -> tuple[list[list[str]], list[float]]:
    """Return rankings and seconds for the cosine of mean-pooled vectors, the intended use of all-MiniLM-L6-v2."""
    model = SentenceTransformer(str(minilm_folder()), device="cpu")
    vectors = model.encode(texts, normalize_embeddings=True, batch_size=64)
    rankings, seconds = [], []
    for query in queries:
        start = time.perf_counter()
        scores = vectors @ model.encode(query, normalize_embeddings=True)
        rankings.append([ids[at] for at in np.argsort(-scores, kind="stable")[:K]])
        seconds.append(time.perf_counter() - start)
    return rankings, seconds


def bm25s_rankings(texts: list[str], ids: list[str], queries: list[str]) -> tuple[list[list[str]], list[float]]:
    """Return rankings and seconds of the bm25s package with its defaults and English stopwords."""
    import bm25s

    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, stopwords="en", show_progress=False), show_progress=False)
    rankings, seconds = [], []
    for query in queries:
        start = time.perf_counter()
        tokens = bm25s.tokenize(query, stopwords="en", show_progress=False)
        found, _ = index.retrieve(tokens, k=K, show_progress=False)
        rankings.append([ids[at] for at in found[0].tolist()])
        seconds.append(time.perf_counter() - start)
    return rankings, seconds


def bootstrap(gains: np.ndarray, rounds: int = 10_000) -> tuple[float, float]:
    """Return the 95% confidence interval of the mean, by resampling queries."""
    rng = np.random.default_rng(0)
    means = gains[rng.integers(0, len(gains), (rounds, len(gains)))].mean(axis=1)
    return float(np.percentile(means, 2.5)), float(np.percentile(means, 97.5))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path)
    parser.add_argument("queries", type=Path)
    parser.add_argument(
        "--bits", choices=BITS, default="4", help="bits per dimension; none for float16, codes for codes alone"
    )
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    documents, asked = read(arguments.documents), read(arguments.queries)
    queries = [row["query"] for row in asked]
    relevant = [{row["relevant"]} for row in asked]
    runs: dict[str, tuple[list[list[str]], list[float]]] = {}

    texts, ids = [row["text"] for row in documents], [row["id"] for row in documents]
    runs["pooled cosine"] = pooled_rankings(texts, ids, queries)
    if find_spec("bm25s"):
        runs["bm25s"] = bm25s_rankings(texts, ids, queries)
    with (
        tempfile.TemporaryDirectory() as folder,
        Index.open(Path(folder) / "index", encoder="minilm", bits=BITS[arguments.bits]) as index,
    ):
        start = time.perf_counter()
        index.add([Document(**row) for row in documents])
        built = time.perf_counter() - start
        info = index.info()
        print(
            f"{info['documents']:,} documents, {info['tokens']:,} token vectors, {info['vector_bytes'] / 1e6:,.0f} MB; "
            f"encoded and indexed in {built:.0f} s ({info['documents'] / built:.0f} documents/s)"
        )
        for mode in ("late", "lexical", "hybrid"):
            index.search(queries[0], K, mode=mode)  # warm-up: the first query includes imports and page faults
            rankings, seconds = [], []
            for query in queries:
                start = time.perf_counter()
                rankings.append([hit.id for hit in index.search(query, K, mode=mode)])
                seconds.append(time.perf_counter() - start)
            runs[mode] = rankings, seconds

    figures = {}
    print(f"\n{'':14}  nDCG@10  recall@10  MRR@10  median ms/query")
    for name, (rankings, seconds) in runs.items():
        row = [mean_over_queries(measure, rankings, relevant, K) for measure in (ndcg, recall, reciprocal_rank)]
        figures[name] = dict(zip(("ndcg@10", "recall@10", "mrr@10"), row, strict=True))
        figures[name]["median_ms"] = statistics.median(seconds) * 1000
        print(f"{name:14}  {row[0]:.4f}   {row[1]:.4f}     {row[2]:.4f}  {figures[name]['median_ms']:.1f}")
    per_query = {name: [ndcg(*pair) for pair in zip(runs[name][0], relevant, strict=True)] for name in runs}
    gains = np.array(per_query["late"]) - np.array(per_query["pooled cosine"])
    low, high = bootstrap(gains)
    print(f"\nnDCG@10 of late minus pooled cosine: {gains.mean():+.4f} (95% interval {low:+.4f} to {high:+.4f})")
    if arguments.json:
        figures["gain"] = {"mean": float(gains.mean()), "low": low, "high": high}
        arguments.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
