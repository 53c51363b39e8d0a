"""What is usual in an index: the token vectors of a sample of its documents."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["MAX_DOCUMENTS", "MAX_DOCUMENT_TOKENS", "MAX_TOKENS", "MIN_DOCUMENTS", "Background"]

MIN_DOCUMENTS = 16
"""Documents of a sample whose median score says what an unrelated document gets; a topic is a minority among them."""

MAX_DOCUMENTS = 64
"""Documents of a sample, at most."""

MAX_TOKENS = 4096
"""Tokens of a sample of more than `MIN_DOCUMENTS`, at most."""

MAX_DOCUMENT_TOKENS = 2048
"""Tokens of one document in a sample, at most: its first ones."""


@dataclass(frozen=True)
class Background:
    """Token vectors of a sample of an index's documents.

    Attributes:
        vectors: Token vectors of all documents of the sample, (tokens, dim) float32.
        offsets: Where the tokens of each document begin, and where the last end, (documents + 1,), strictly ascending:
            documents without tokens are not in a sample.
    """

    vectors: NDArray[np.float32]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, documents: Sequence[NDArray[np.float32]], dim: int) -> Background:
        """Return the background of some documents, given by their token vectors, (tokens, dim) each."""
        documents = [vectors[:MAX_DOCUMENT_TOKENS] for vectors in documents if len(vectors)]
        offsets = np.cumsum([0, *map(len, documents)], dtype=np.int64)
        empty = np.empty((0, dim), np.float32)
        return cls(np.ascontiguousarray(np.concatenate([empty, *documents]), np.float32), offsets)

    @cached_property
    def direction(self) -> NDArray[np.float32]:
        """The unit vector of the mean token vector, (dim,): the common direction. Zeros if the mean is zero."""
        mean = self.vectors.sum(axis=0, dtype=np.float64)
        norm = np.linalg.norm(mean)
        return np.asarray(mean / norm if norm else mean, np.float32)

    def centered(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return vectors, (n, dim), without their part along the common direction, each of length 1.

        A zero vector stays zero.
        """
        rest = vectors - np.outer(vectors @ self.direction, self.direction)
        norms = np.linalg.norm(rest, axis=1, keepdims=True)
        return np.asarray(np.divide(rest, norms, out=np.zeros_like(rest), where=norms > 0), np.float32)

    def null_score(self, query_vectors: NDArray[np.float32]) -> float:
        """Return the MaxSim that an unrelated document gets: the median over the sample.

        Args:
            query_vectors: (query tokens, dim).
        """
        if not len(self.vectors) or not len(query_vectors):
            return 0.0
        similarities = query_vectors @ self.vectors.T
        scores = np.maximum.reduceat(similarities, self.offsets[:-1], axis=1).sum(axis=0)
        return float(np.median(scores))
