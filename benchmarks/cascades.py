"""Cascades against their parts: quality and milliseconds per query, the encoding of the query included.

    python -m benchmarks.cascades DOCUMENTS.jsonl.gz QUERIES.jsonl.gz --index DIR --single DIR

Documents are objects with ``id`` and ``text``, queries with ``query`` and ``relevant``, the id of one document. Indexes
that do not exist are made: of the offline encoder's token vectors, and of its single vectors.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from benchmarks.quality import read
from late_interaction import Cascade, Document, Index
from late_interaction.encoders import SingleVectorEncoder
from late_interaction.evaluation import mean_over_queries, ndcg, recall, reciprocal_rank

K = 10


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path, help="gzipped JSON lines: id, text")
    parser.add_argument("queries", type=Path, help="gzipped JSON lines: query, relevant")
    parser.add_argument("--index", type=Path, required=True, help="index of token vectors")
    parser.add_argument("--single", type=Path, required=True, help="index of single vectors")
    arguments = parser.parse_args()
    asked = read(arguments.queries)
    queries, relevant = [row["query"] for row in asked], [{row["relevant"]} for row in asked]
    documents = [Document(**row) for row in read(arguments.documents)]
    with (
        Index.open(arguments.index, encoder="minilm") as index,
        Index.open(arguments.single, encoder=SingleVectorEncoder("minilm")) as single,
    ):
        for each in (index, single):
            if not len(each):
                each.add(documents)
        print(f"{'':30}  nDCG@10  recall@10  MRR@10  median ms")
        for name, stages in {
            "lexical": [("lexical", K)],
            "single vector": [(single, K)],
            "late": [("late", K)],
            "hybrid": [("hybrid", K)],
            "lexical:200, late:10": [("lexical", 200), ("late", K)],
            "single vector:200, late:10": [(single, 200), ("late", K)],
            "hybrid:200, late:10": [("hybrid", 200), ("late", K)],
        }.items():
            cascade = Cascade(index, stages)
            cascade.search(queries[0])  # imports, compiled kernels and page faults
            rankings, seconds = [], []
            for query in queries:  # more than the vectors of recent queries that are kept, so each is encoded
                start = time.perf_counter()
                hits = cascade.search(query)
                seconds.append(time.perf_counter() - start)
                rankings.append([hit.id for hit in hits])
            row = [mean_over_queries(measure, rankings, relevant, K) for measure in (ndcg, recall, reciprocal_rank)]
            print(f"{name:30}  {row[0]:.4f}   {row[1]:.4f}     {row[2]:.4f}  {1000 * statistics.median(seconds):.1f}")


if __name__ == "__main__":
    main()
