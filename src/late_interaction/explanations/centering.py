"""Remove what the token vectors of an index have in common, which says nothing about which of them match."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from late_interaction.engines.background import Background

__all__ = ["Centering"]

_MAX_SHARE = 0.99  # of the mean that is removed, so that in an index of equal vectors they stay equal, not zero
_MIN_REST = 0.5  # of the typical length of what remains: a shorter rest, as of blank parts of pages, stays short
_DEVIATIONS = 3  # by which the mean cosine must exceed what unrelated directions have by chance


class Centering:
    """Token vectors without the part that all documents have in common.

    Token vectors of recent encoders have a strong common direction: two unrelated ones have a cosine of up to .95. A
    token then matches the document token that lies closest to this direction, not the one with its meaning. Without
    the common part, similarities are the same at every strength of it.

    Args:
        background: Token vectors of a sample of the index's documents.
    """

    def __init__(self, background: Background) -> None:
        self._mean = _common_part(background)
        rests = np.linalg.norm(self._rest(_units(background.vectors)), axis=1)
        self._shortest = _MIN_REST * float(np.sqrt(np.square(rests).mean())) if len(rests) else 0.0

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return vectors, (n, dim) float32, without the common part, each as long as before.

        The common part of a vector is between the mean of all vectors and its own projection on that mean: the longer
        the mean, the more of the difference between both is noise.
        """
        if not self._mean.any():
            return vectors
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        rest = self._rest(_units(vectors))
        rests = np.linalg.norm(rest, axis=1, keepdims=True)
        return np.asarray(lengths * _divided(rest, np.maximum(rests, self._shortest)), np.float32)

    def _rest(self, units: NDArray[Any]) -> NDArray[Any]:
        strength = float(self._mean @ self._mean)
        if not strength:
            return units
        direction = self._mean / np.sqrt(strength)
        own = units @ direction - np.sqrt(strength)
        return np.asarray(units - _MAX_SHARE * (self._mean + strength * np.outer(own, direction)))


def _common_part(background: Background) -> NDArray[np.float64]:
    """Return the mean token vector, (dim,), with the square of its length corrected for the size of the sample.

    It is the mean cosine of tokens of different documents; in an index of one document, of its tokens. Zeros if that is
    no more than chance.
    """
    units = _units(background.vectors.astype(np.float64))
    counts = np.diff(background.offsets)
    documents = len(counts)
    if documents > 1:
        sums = np.add.reduceat(units, background.offsets[:-1], axis=0)
    else:
        sums, counts = units, np.ones(len(units))
    total = sums.sum(axis=0)
    pairs = (counts.sum() ** 2 - (counts**2).sum()) / 2
    norm = float(np.linalg.norm(total))
    if not pairs or not norm:
        return np.zeros(units.shape[1])
    cosine = (norm**2 - float((sums**2).sum())) / 2 / pairs
    chance = _DEVIATIONS / np.sqrt(units.shape[1] * pairs)
    return np.asarray(np.sqrt(max(0.0, min(1.0, cosine - chance))) / norm * total)


def _units(vectors: NDArray[Any]) -> NDArray[Any]:
    return _divided(vectors, np.linalg.norm(vectors, axis=1, keepdims=True))


def _divided(vectors: NDArray[Any], norms: NDArray[Any]) -> NDArray[Any]:
    """Return vectors, (n, dim), divided by their norms, (n, 1); zeros where the norm is 0."""
    return np.asarray(np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0))
