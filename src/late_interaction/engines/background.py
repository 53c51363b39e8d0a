"""What is usual in an index: the token vectors of a sample of its documents."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice
from statistics import NormalDist, median_low
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from late_interaction.engines.base import Engine

__all__ = [
    "MAX_DOCUMENT_TOKENS",
    "MAX_TOKENS",
    "MIN_DOCUMENTS",
    "Background",
    "null_score_without_vectors",
    "read_background",
    "sampling_step",
]

MIN_DOCUMENTS = 16
"""Documents of a sample, at least, if there are that many."""

_MAX_DOCUMENTS = 2 * MIN_DOCUMENTS
"""Documents of a sample, at most. More of them hardly change relevance: by .007 for 32, by .005 for 64."""

MAX_TOKENS = 4096
"""Tokens of a sample of more than `MIN_DOCUMENTS`, at most."""

MAX_DOCUMENT_TOKENS = 2048
"""Tokens of one document in a sample, at most: its first ones."""

_BLOCK_PRODUCTS, _MIN_BLOCK_TOKENS = 2**18, 64
"""Multiplications at a time, at most: OpenBLAS starts threads for more, and waiting for them takes longer."""

_KEPT_SECONDS = 60  # how long a background that was read from another machine is used


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
        # In column-major order, in which products with queries take half the time.
        return cls(np.asarray(np.concatenate([empty, *documents]), np.float32, order="F"), offsets)

    def null_score(self, query_vectors: NDArray[np.float32]) -> float | None:
        """Return the MaxSim that an unrelated document gets; None if there are no documents.

        It is the score of the median document of the sample, the lower one of two. In a small collection this may be
        the document that answers the query, so there is an upper bound, for each query token the lower of two values:
        what the best of a document's tokens reaches by chance, if its dot products with all tokens of the sample are
        normal; and the midpoint between their mean and its best dot product with the query itself.

        Never negative, because a document without tokens scores 0.

        Args:
            query_vectors: (query tokens, dim).
        """
        if not self._documents:
            return None
        if not len(query_vectors):
            return 0.0
        greatest, bounds = self._greatest(query_vectors)
        median: float = median_low(greatest.sum(axis=0).tolist())
        return max(0.0, min(median, float(bounds.sum())))

    def null_similarities(self, query_vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the greatest dot product that each query token has in an unrelated document, (query tokens,).

        It is that of the median document of the sample, with the upper bounds of `null_score`; 0 if there are no
        documents.

        Args:
            query_vectors: (query tokens, dim).
        """
        if not self._documents or not len(query_vectors):
            return np.zeros(len(query_vectors), np.float32)
        greatest, bounds = self._greatest(query_vectors)
        median = np.sort(greatest, axis=1)[:, (self._documents - 1) // 2]
        return np.asarray(np.minimum(median, bounds), np.float32)

    @property
    def _documents(self) -> int:
        return len(self.offsets) - 1

    def _greatest(self, query_vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the greatest dot product of each query token with each document, and upper bounds of unrelated ones.

        Returns:
            (query tokens, documents) and (query tokens,).
        """
        dots = self._dots(query_vectors)
        mean = dots.mean(axis=1)
        by_chance = mean + _greatest_of(len(self.vectors) / self._documents) * dots.std(axis=1)
        midpoint = (mean + (query_vectors @ query_vectors.T).max(axis=1)) / 2
        return np.maximum.reduceat(dots, self.offsets[:-1], axis=1), np.minimum(by_chance, midpoint)

    def _dots(self, query_vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the dot products of query tokens with the tokens of the sample, (query tokens, tokens)."""
        dots = np.empty((len(query_vectors), len(self.vectors)), np.float32)
        block = max(_MIN_BLOCK_TOKENS, _BLOCK_PRODUCTS // query_vectors.size)
        for start in range(0, len(self.vectors), block):
            np.matmul(query_vectors, self.vectors.T[:, start : start + block], out=dots[:, start : start + block])
        return dots


def _greatest_of(count: float) -> float:
    """Return the expected greatest of this many standard normal numbers.

    Blom, "Statistical Estimates and Transformed Beta-Variables", 1958.
    """
    return NormalDist().inv_cdf((count - 0.375) / (count + 0.25))


def sampling_step(documents: int) -> int:
    """Return the step, a power of two, at which documents are taken into a sample.

    An added document then changes a sample by one document at most, but for the few times that the step doubles.
    """
    step = 1
    while documents > _MAX_DOCUMENTS * step:
        step *= 2
    return step


def read_background(engine: Engine) -> tuple[Background, float]:
    """Return the background of the first documents of an engine, and until when it may be kept, in monotonic seconds.

    A small collection changes much with every document, so its background may not be kept.
    """
    ids = [document.id for document in islice(engine.scan(fields=()), _MAX_DOCUMENTS)]
    background = Background.of(list(engine.vectors(ids).values()), engine.dim)
    return background, time.monotonic() + (_KEPT_SECONDS if len(ids) == _MAX_DOCUMENTS else 0)


def null_score_without_vectors(engine: Engine, query_vectors: NDArray[np.float32]) -> float | None:
    """Return the score of the median of the first documents of an engine; None if they are too few to tell."""
    ids = [document.id for document in islice(engine.scan(fields=()), _MAX_DOCUMENTS)]
    scores = [score for score in engine.score(query_vectors, ids).values() if score]  # 0: it has no tokens
    return max(0.0, median_low(scores)) if len(scores) >= MIN_DOCUMENTS else None
