"""Query vectors as integers: dot products with the integers of a grid are fast, and the same on every machine."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["as_integers"]

_LENGTH = 32_000.0  # of a query token in integers: none of its coordinates is beyond 16 bits


def as_integers(
    vectors: NDArray[np.float32], lanes: int, factors: int
) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Return vectors, (n, dim), rounded to integers, and what an integer of each stands for, (lanes,); 0 for the rest.

    Args:
        vectors: The vectors.
        lanes: At least n.
        factors: They are multiplied by non-negative numbers below this. Sums of the products fit 32 bits.
    """
    length = min(_LENGTH, (2**31 - 1) / (factors * math.sqrt(max(vectors.shape[1], 1))))
    units = np.zeros(lanes, np.float32)
    norms = np.sqrt((vectors * vectors).sum(axis=1))
    units[: len(vectors)] = norms / np.float32(length)
    inverse = np.divide(1, units[: len(vectors)], out=np.zeros_like(norms), where=norms > 0)
    return np.rint(vectors * inverse[:, None]).astype(np.int16), units
