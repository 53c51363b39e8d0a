"""Mix a common direction into token vectors, to imitate encoders whose vectors lie in a narrow cone.

The token vectors of recent ColBERT models have a mean pairwise cosine of up to .95, those of the offline encoder .07.
No weights of such models were available, so the benchmarks mix a random direction, the same for documents and queries,
into real vectors. Its coefficient varies from vector to vector.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from benchmarks.data import Vectors

__all__ = ["mean_cosine", "mix", "mixed"]

_JITTER = 0.1  # standard deviation of the coefficient, relative to the coefficient
_BLOCK_TOKENS = 65_536
_PAIRS = 10_000  # from which a mean cosine is estimated


def mix(vectors: np.ndarray, strength: float, *, seed: int = 0, jitter: float = _JITTER) -> np.ndarray:
    """Return vectors with a random common direction mixed in, (n, dim) float32 of unit length.

    Args:
        vectors: (n, dim), of unit length.
        strength: Share of the common direction in the squared length, from 0 (the vectors as they are) to 1.
        seed: Of the variation of the coefficient. The direction depends only on the dimension.
        jitter: Standard deviation of the coefficient, relative to it.
    """
    vectors = np.asarray(vectors, np.float32)
    if not strength:
        return vectors
    direction = np.random.default_rng(0).normal(size=vectors.shape[1]).astype(np.float32)
    direction /= np.linalg.norm(direction)
    coefficients = 1 + jitter * np.random.default_rng(seed).normal(size=(len(vectors), 1)).astype(np.float32)
    both = np.sqrt(strength) * coefficients * direction + np.sqrt(1 - strength) * vectors
    return np.asarray(both / np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-12), np.float32)


def mixed(vectors: Vectors, cosine: float | None) -> Vectors:
    """Return a collection whose token vectors have about this mean pairwise cosine; None for the collection as it is.

    Raises:
        ValueError: The token vectors have a greater mean cosine already, or it is not below 1.
    """
    if cosine is None:
        return vectors
    given = mean_cosine(vectors.tokens)
    if not given <= cosine < 1:
        raise ValueError(
            f"The mean cosine must be at least {given:.3f}, that of the vectors, and below 1, not {cosine}."
        )
    strength = (cosine - given) / (1 - given)
    tokens = np.empty(vectors.tokens.shape, np.float16)
    for start in range(0, len(tokens), _BLOCK_TOKENS):
        tokens[start : start + _BLOCK_TOKENS] = mix(
            vectors.tokens[start : start + _BLOCK_TOKENS], strength, seed=start + 1
        )
    queries = [mix(query, strength, seed=-at % 2**31) for at, query in enumerate(vectors.queries, 1)]
    return replace(vectors, tokens=tokens, queries=queries)


def mean_cosine(tokens: np.ndarray) -> float:
    """Return the mean cosine of two random token vectors, estimated, for vectors of unit length, (n, dim)."""
    one, other = np.random.default_rng(1).integers(len(tokens), size=(2, _PAIRS))
    return float((tokens[one].astype(np.float32) * tokens[other].astype(np.float32)).sum(axis=1).mean())
