"""Token vectors around topics, of which a document has a few and a query one or two."""

from __future__ import annotations

import numpy as np


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def topics(count, dim=32, seed=0):
    return unit(np.random.default_rng(seed).normal(size=(count, dim)))


def documents(count, around, *, tokens=20, spread=0.5, seed=1):
    """Documents whose tokens are near some of these topics: a list of (tokens, dim)."""
    rng = np.random.default_rng(seed)
    dim = around.shape[1]
    found = []
    for _ in range(count):
        chosen = rng.choice(len(around), 6)
        noise = spread / np.sqrt(dim) * rng.normal(size=(tokens, dim))
        found.append(unit(around[rng.choice(chosen, tokens)] + noise))
    return found


def queries(of_documents, count, *, tokens=6, spread=0.5, seed=2):
    """Queries near tokens of these documents: a list of (tokens, dim)."""
    rng = np.random.default_rng(seed)
    found = []
    for at in rng.choice(len(of_documents), count):
        vectors = of_documents[at]
        noise = spread / np.sqrt(vectors.shape[1]) * rng.normal(size=(tokens, vectors.shape[1]))
        found.append(unit(vectors[rng.choice(len(vectors), tokens)] + noise))
    return found


def maxsim(query, of_documents):
    """Exact scores of documents, (documents,), in double precision."""
    return np.array([(query.astype(np.float64) @ one.T).max(axis=1).sum() for one in of_documents])
