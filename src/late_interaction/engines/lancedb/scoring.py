"""Exact MaxSim of stored documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from late_interaction.engines.lancedb.snapshot import Snapshot

__all__ = ["best_positions", "exact_scores", "maxsim"]

_BLOCK_PRODUCTS, _MIN_BLOCK_TOKENS = 2**18, 64
"""Multiplications at a time, at most: OpenBLAS starts threads for more, and waiting for them takes longer."""


def exact_scores(snapshot: Snapshot, query: NDArray[np.float32], positions: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the MaxSim of documents, (positions,); 0 for documents without tokens.

    Args:
        snapshot: The documents.
        query: (query tokens, dim).
        positions: The positions of the documents.
    """
    scores = np.zeros(len(positions), np.float32)
    if not len(query):
        return scores
    rows = snapshot.rows
    for places, vectors, offsets in snapshot.vectors(rows.keys[positions], rows.tokens[positions]):
        scores[places] = maxsim(query, vectors, offsets)
    return scores


def maxsim(query: NDArray[np.float32], vectors: NDArray[np.float16], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the MaxSim of documents, (documents,), each of at least one token.

    Args:
        query: (query tokens, dim).
        vectors: Token vectors of the documents, one after the other, (tokens, dim).
        offsets: Where each document begins, and where the last ends, (documents + 1,).
    """
    similarities = np.empty((len(vectors), len(query)), np.float32)
    block = max(_MIN_BLOCK_TOKENS, _BLOCK_PRODUCTS // query.size)
    transposed = np.ascontiguousarray(query.T)
    for start in range(0, len(vectors), block):
        end = start + block
        np.matmul(vectors[start:end].astype(np.float32), transposed, out=similarities[start:end])
    best: NDArray[np.float32] = np.maximum.reduceat(similarities, offsets[:-1], axis=0).sum(axis=1)
    return best


def best_positions(scores: NDArray[np.float32], positions: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Return places of the k highest scores, best first; of equal ones, the lower position first."""
    return np.lexsort((positions, -scores))[:k]
