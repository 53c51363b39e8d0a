"""A random sample, of bounded size, of the token vectors of documents that are read one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Sample"]

_SEED = 1


class Sample:
    """A uniform random sample of all token vectors that were added.

    Every token gets a random key, and those with the least keys are kept: as float16, at most twice ``limit`` of them.

    Args:
        limit: Token vectors in the sample, at most.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.seen = 0
        """Token vectors that were added."""
        self._rng = np.random.default_rng(_SEED)
        self._bound = 1.0  # the keys of the sample are below it
        self._kept: list[tuple[NDArray[np.float64], NDArray[np.float16]]] = []
        self._count = 0

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Add the token vectors of one or more documents, (tokens, dim)."""
        self.seen += len(vectors)
        keys = self._rng.random(len(vectors))
        if len(chosen := np.flatnonzero(keys < self._bound)):
            self._kept.append((keys[chosen], _rounded(vectors[chosen])))
            self._count += len(chosen)
        if self._count > 2 * self.limit:
            self._drop()

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The sample, (tokens, dim), in the order of addition; (0, 0) if nothing was added."""
        self._drop()
        if not self._kept:
            return np.empty((0, 0), np.float32)
        return np.concatenate([vectors for _, vectors in self._kept]).astype(np.float32)

    def _drop(self) -> None:
        """Keep only the least keys."""
        if self._count <= self.limit:
            return
        keys = np.concatenate([keys for keys, _ in self._kept])
        chosen = np.sort(np.argpartition(keys, self.limit)[: self.limit])
        vectors = np.concatenate([vectors for _, vectors in self._kept])[chosen]
        self._kept, self._count = [(keys[chosen], vectors)], self.limit
        self._bound = float(keys[chosen].max())


def _rounded(vectors: NDArray[np.float32]) -> NDArray[np.float16]:
    greatest = np.finfo(np.float16).max
    return np.clip(vectors, -greatest, greatest).astype(np.float16)
