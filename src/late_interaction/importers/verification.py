"""Measure what an import loses: vectors by compression, and documents among the ten best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.importers.sampling import QUERY_TOKENS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from late_interaction.engines import Engine

__all__ = ["ExactScores", "Loss", "measured_loss", "recall"]

_K = 10
_KEPT = 64
"""Best documents that are remembered for each query, so that those as good as the tenth are known."""

_BLOCK_TOKENS = 2_048
"""Token vectors that are compared with all queries together."""

_TIE = 1e-4
"""Difference of scores, as a share, below which two documents are equally good."""


class ExactScores:
    """The best documents by exact MaxSim, of documents that come one after the other.

    Memory is bounded by a block of token vectors times the token vectors of all queries.

    Args:
        queries: Token vectors, (tokens, dim) each, of which the first ones are used.
    """

    def __init__(self, queries: list[NDArray[np.float32]]) -> None:
        dim = queries[0].shape[1] if queries else 0
        padded = np.zeros((len(queries), QUERY_TOKENS, dim), np.float32)  # a zero vector adds nothing to a score
        for row, query in zip(padded, queries, strict=True):
            row[: len(query)] = query[:QUERY_TOKENS]
        self._queries = padded.reshape(len(queries) * QUERY_TOKENS, dim).T
        self._best = np.empty((len(queries), 0), np.float32)
        self._ids = np.empty((len(queries), 0), object)

    def add(self, ids: list[str], vectors: list[NDArray[np.float32]]) -> None:
        """Score documents with their token vectors, (tokens, dim) each."""
        if not len(self._best) or not ids:
            return
        scores = self._scores(vectors)
        best = np.concatenate([self._best, scores], axis=1)
        names = np.concatenate([self._ids, np.broadcast_to(np.array(ids, object), scores.shape)], axis=1)
        if best.shape[1] > _KEPT:
            kept = np.argpartition(-best, _KEPT - 1, axis=1)[:, :_KEPT]
            best, names = np.take_along_axis(best, kept, 1), np.take_along_axis(names, kept, 1)
        self._best, self._ids = best, names

    def best(self) -> list[dict[str, float]]:
        """Return, for each query, the scores of its best documents, best first."""
        order = np.argsort(-self._best, axis=1, kind="stable")
        return [
            dict(zip(names[row].tolist(), scores[row].tolist(), strict=True))
            for names, scores, row in zip(self._ids, self._best, order, strict=True)
        ]

    def _scores(self, vectors: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the MaxSim of each query with each document, (queries, documents); 0 without tokens."""
        maxima = np.full((len(vectors), self._queries.shape[1]), -np.inf, np.float32)
        tokens = np.concatenate(vectors)
        owners = np.repeat(np.arange(len(vectors)), [len(one) for one in vectors])
        for start in range(0, len(tokens), _BLOCK_TOKENS):
            products = tokens[start : start + _BLOCK_TOKENS] @ self._queries
            documents, firsts = np.unique(owners[start : start + _BLOCK_TOKENS], return_index=True)
            maxima[documents] = np.maximum(maxima[documents], np.maximum.reduceat(products, firsts, axis=0))
        scores: NDArray[np.float32] = maxima.reshape(len(vectors), len(self._best), QUERY_TOKENS).sum(axis=2).T
        return np.where([len(one) > 0 for one in vectors], scores, np.float32(0))


@dataclass(frozen=True)
class Loss:
    """How stored vectors differ from those of the source.

    Attributes:
        cosine: The mean cosine similarity of a token vector and the stored one.
        error: The mean length of their difference, as a share of the length of the token vector.
    """

    cosine: float
    error: float


def measured_loss(engine: Engine, sample: Mapping[str, NDArray[np.float32]]) -> Loss | None:
    """Compare token vectors of documents with the stored ones; None if there are none, or the engine returns none.

    Args:
        engine: The engine.
        sample: By id, the first token vectors of each document, (tokens, dim).
    """
    cosines: list[float] = []
    errors: list[float] = []
    for key, vectors in sample.items() if engine.capabilities.vectors else ():
        stored = engine.vectors([key]).get(key)
        if stored is None or len(stored) < len(vectors):  # others have deleted or replaced it
            continue
        given, found = vectors.astype(np.float64), stored[: len(vectors)].astype(np.float64)
        lengths = np.linalg.norm(given, axis=1)
        products = lengths * np.linalg.norm(found, axis=1)
        is_usable = products > 0
        dots = np.einsum("ij,ij->i", given, found)
        cosines += (dots[is_usable] / products[is_usable]).tolist()
        errors += (np.linalg.norm(given - found, axis=1)[is_usable] / lengths[is_usable]).tolist()
    return Loss(float(np.mean(cosines)), float(np.mean(errors))) if cosines else None


def recall(engine: Engine, queries: list[NDArray[np.float32]], exact: list[dict[str, float]]) -> float:
    """Return the share of the ten best documents by exact MaxSim that are among the ten best of the index.

    A document as good as the tenth counts as found.

    Args:
        engine: The engine, which holds the documents of the source and no others.
        queries: Token vectors, of which the first ones are used.
        exact: For each query, what `ExactScores.best` returns.
    """
    found = wanted = 0
    for query, scores in zip(queries, exact, strict=True):
        best = list(scores.values())[:_K]
        least = best[-1] - _TIE * max(1.0, abs(best[-1]))
        matches = engine.search(query[:QUERY_TOKENS], len(best))
        wanted += len(best)
        found += sum(scores.get(match.id, -np.inf) >= least for match in matches)
    return found / wanted
