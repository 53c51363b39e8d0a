"""Rankings of first stages, and how many candidates hold the documents that exact MaxSim finds."""

from __future__ import annotations

import re
import sqlite3
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.peers.measure import NEAR
from benchmarks.peers.protocol import K
from late_interaction.engines.first_stage import (
    Centroids,
    Sample,
    mean_vector,
    query_mean,
    size_for,
    train,
    training_tokens,
)

if TYPE_CHECKING:
    from benchmarks.peers.protocol import Columns

__all__ = [
    "Ranks",
    "best",
    "fused",
    "mean_scores",
    "mixed",
    "ranks",
    "ranks_of_words",
    "sparse_documents",
    "sparse_scores",
]

_MOST_WORD_HITS = 5_000
_RRF = 2
_BLOCK_DOCUMENTS = 1_000


class Ranks:
    """At which rank, from 0, a first stage has each of the documents that exact MaxSim finds, for each query."""

    def __init__(self, of_queries: list[np.ndarray]) -> None:
        self.of_queries = of_queries

    def recall(self, candidates: int) -> float:
        """Return the recall@10 of exact MaxSim over this many candidates."""
        found = [min(K, int((one < candidates).sum())) / min(K, len(one)) for one in self.of_queries]
        return float(np.mean(found))

    def depth(self, recall: float) -> int:
        """Return the least number of candidates with this recall@10."""
        low, high = 1, 1 + int(max(one[np.isfinite(one)].max(initial=0) for one in self.of_queries))
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self.recall(middle) >= recall else (middle + 1, high)
        return low


def best(exact: np.ndarray) -> list[np.ndarray]:
    """Return for each query the documents with the ten greatest scores, and those that tie with the last."""
    k = min(K, exact.shape[1])
    return [np.flatnonzero(row >= np.partition(row, -k)[-k] - NEAR) for row in exact]


def ranks(scores: np.ndarray, wanted: list[np.ndarray]) -> Ranks:
    """Return the ranks of the wanted documents of each query by scores, (queries, documents)."""
    return Ranks([_places(row)[documents] for row, documents in zip(scores, wanted, strict=True)])


def fused(one: np.ndarray, other: np.ndarray, wanted: list[np.ndarray]) -> Ranks:
    """Return the ranks of the wanted documents by two scores, (queries, documents) each, with Qdrant's rank fusion."""
    fusions = (1 / (_RRF + _places(a)) + 1 / (_RRF + _places(b)) for a, b in zip(one, other, strict=True))
    return Ranks([_places(row)[documents] for row, documents in zip(fusions, wanted, strict=True)])


def mixed(mean: Ranks, sparse: Ranks, share: float) -> Ranks:
    """Return the ranks in candidates of which this share, above 0 and below 1, comes from the first ranking."""
    pairs = zip(mean.of_queries, sparse.of_queries, strict=True)
    return Ranks([np.minimum(first / share, second / (1 - share)) for first, second in pairs])


def ranks_of_words(texts: list[str], queries: list[str], wanted: list[np.ndarray]) -> Ranks:
    """Return the ranks of the wanted documents by BM25 with English stems (SQLite FTS5)."""
    found = []
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE VIRTUAL TABLE words USING fts5(text, content='', tokenize='porter unicode61')")
        database.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", enumerate(texts))
        for query, documents in zip(queries, wanted, strict=True):
            any_word = " OR ".join(f'"{word}"' for word in re.findall(r"\w+", query)) or '""'
            rows = database.execute(
                "SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?", [any_word, _MOST_WORD_HITS]
            )
            places = {document: rank for rank, (document,) in enumerate(rows)}
            found.append(np.array([places.get(document, np.inf) for document in documents.tolist()]))
    return Ranks(found)


def mean_scores(columns: Columns) -> np.ndarray:
    """Return the dot products of mean vectors, (queries, documents)."""
    means = np.stack([mean_vector(columns.document(at)) for at in range(columns.documents)])
    return np.stack([query_mean(query) for query in columns.queries]) @ means.T


def sparse_documents(columns: Columns) -> tuple[Centroids, list[np.ndarray]]:
    """Return centroids trained as an engine trains them, and the sparse vector of each document."""
    size = size_for(len(columns.tokens))
    sample = Sample(training_tokens(size))
    blocks = range(0, columns.documents, _BLOCK_DOCUMENTS)
    ends = [min(start + _BLOCK_DOCUMENTS, columns.documents) for start in blocks]
    for start, end in zip(blocks, ends, strict=True):
        sample.add(columns.tokens[columns.offsets[start] : columns.offsets[end]])
    centroids = train(sample.vectors, size)
    documents = (
        centroids.documents([columns.document(at) for at in range(start, end)])
        for start, end in zip(blocks, ends, strict=True)
    )
    return centroids, list(chain.from_iterable(documents))


def sparse_scores(centroids: Centroids, documents: list[np.ndarray], queries: list[np.ndarray]) -> np.ndarray:
    """Return the dot products of sparse vectors, (queries, documents)."""
    ids = np.concatenate(documents)
    order = np.argsort(ids, kind="stable")
    owners = np.repeat(np.arange(len(documents)), [len(one) for one in documents])[order]
    starts = np.searchsorted(ids[order], np.arange(len(centroids) + 1))
    postings = [owners[start:end] for start, end in pairwise(starts)]
    scores = np.zeros((len(queries), len(documents)), np.float32)
    for row, query in zip(scores, queries, strict=True):
        for centroid, weight in zip(*centroids.query(query), strict=True):
            row[postings[centroid]] += weight
    return scores


def _places(scores: np.ndarray) -> np.ndarray:
    """Return the rank of each of some scores, from 0, the greatest first."""
    places = np.empty(len(scores))
    places[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    return places
