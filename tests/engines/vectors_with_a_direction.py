"""Small collections of token vectors that share a direction, as those of recent ColBERT models do."""

from __future__ import annotations

import numpy as np

DIM, DOCUMENTS, TOKENS = 32, 100, 8


def collection(lengths="unit", *, dim=DIM, documents=DOCUMENTS, tokens=TOKENS, seed=0):
    """By id, token vectors that share a direction (a mean cosine of .9), (tokens, dim).

    Args:
        lengths: "unit", or "any" for vectors from half to twice as long.
        dim: Dimension.
        documents: Their number.
        tokens: Of each document.
        seed: Of the vectors. The direction and the words are the same for all.
    """
    rng, shared = np.random.default_rng(seed), np.random.default_rng(99)
    direction, words = shared.normal(size=dim), shared.normal(size=(60, dim))
    direction, words = direction / np.linalg.norm(direction), words / np.linalg.norm(words, axis=1, keepdims=True)
    chosen = words[rng.integers(0, 60, (documents, tokens))] + 0.6 * words[rng.integers(0, 60, (documents, 1))]
    vectors = chosen + 0.8 / np.sqrt(dim) * rng.normal(size=(documents, tokens, dim))
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    vectors = 3 * (1 + 0.1 * rng.normal(size=(documents, tokens, 1))) * direction + vectors
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    if lengths == "any":
        vectors *= 2 ** rng.uniform(-1, 1, size=(documents, tokens, 1))
    return {f"d{seed}-{number}": own.astype(np.float32) for number, own in enumerate(vectors)}


def queries(vectors, count=40, seed=5):
    """Four tokens of some document, and noise, of length one, (4, dim)."""
    rng = np.random.default_rng(seed)
    documents = list(vectors.values())
    for _ in range(count):
        own = documents[rng.integers(len(documents))]
        query = own[rng.choice(len(own), 4, replace=False)]
        query = query / np.linalg.norm(query, axis=1, keepdims=True)
        query = query + 0.1 / np.sqrt(query.shape[1]) * rng.normal(size=query.shape)
        yield (query / np.linalg.norm(query, axis=1, keepdims=True)).astype(np.float32)
