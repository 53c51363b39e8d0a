"""Recall of an index that starts with documents of one domain and grows with another.

A part of `benchmarks.updates`. The other domain is the language reference that CPython includes for ``help()``. It is
encoded once and stored next to the vectors. The oracle is exact MaxSim. The cost of growth is the difference in recall
from an index of the same documents that was built at once.
"""

from __future__ import annotations

from pydoc_data.topics import topics
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.data import Vectors, encode_into, load
from benchmarks.measure import record
from benchmarks.peers.measure import exact_scores, recall
from benchmarks.peers.protocol import K
from late_interaction.engines import LocalEngine
from late_interaction.readers import split_document

if TYPE_CHECKING:
    from pathlib import Path

BATCH_TOKENS = 70_000  # in one batch
QUESTION_WORDS = 12


def growth(folder: Path, descriptions: Vectors, dim: int, scratch: Path) -> list[dict]:
    """Return recall of an index grown from the reference to the descriptions, and in the opposite order."""
    reference = _reference(folder / "python-reference")
    both = _joined(reference, descriptions).reduced(dim)
    exact = exact_scores(both)
    kinds = {"reference": slice(len(reference.queries)), "descriptions": slice(len(reference.queries), None)}
    split = np.split(np.arange(both.documents), [reference.documents])
    rows = []
    for name, first, then in (("reference", *split), ("descriptions", *split[::-1])):
        for way, batches in (("grown", _batches(both, first, then)), ("fresh", [np.concatenate([first, then])])):
            with LocalEngine.open(scratch / f"{name}-{way}", dim=dim) as engine:
                for batch in batches:
                    engine.upsert(record(at, both.document(at)) for at in batch.tolist())
                found = [[int(match.id) for match in engine.search(query, K)] for query in both.queries]
                info = engine.info()
            right = [recall(ids, scores) for ids, scores in zip(found, exact, strict=True)]
            row = {"first": name, "index": way, "batches": len(batches), "tokens": info["tokens"]}
            row |= {"segments": info["segments"], "centroids": info["centroids"], "exact tokens": info["exact_tokens"]}
            rows.append(row | {f"recall@10, {kind}": float(np.mean(right[of])) for kind, of in kinds.items()})
    return rows


def _reference(kept: Path) -> Vectors:
    """Return the passages of the reference. The queries are the first words of every third passage."""
    if not (kept / "about.json").exists():
        passages = [
            document.text
            for topic, body in sorted(topics.items())
            for document in split_document(body, source=topic, suffix=".rst")
        ]
        encode_into(kept, passages, [" ".join(text.split()[:QUESTION_WORDS]) for text in passages[::3]], grow_to=0)
    return load(kept)


def _joined(one: Vectors, other: Vectors) -> Vectors:
    """Return the documents of both, and equally many queries of each."""
    offsets = np.concatenate([one.offsets, other.offsets[1:] + one.offsets[-1]])
    tokens, queries = np.concatenate([one.tokens, other.tokens]), one.queries + other.queries[: len(one.queries)]
    return Vectors(tokens, offsets, queries, one.documents + other.documents)


def _batches(vectors: Vectors, first: np.ndarray, then: np.ndarray) -> list[np.ndarray]:
    """Return all first documents as one batch, and the others in batches of about `BATCH_TOKENS` tokens."""
    before = np.cumsum(np.diff(vectors.offsets)[then])
    return [first, *np.split(then, np.flatnonzero(np.diff(before // BATCH_TOKENS)) + 1)]
