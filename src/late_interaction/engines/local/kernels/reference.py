"""The kernels of the scan over centroids in plain NumPy: the definition that the compiled ones are tested against.

The columns of tokens are flat: document ``d`` has the tokens ``offsets[d]:offsets[d + 1]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["centroid_sums", "fill_masks", "scan"]


def fill_masks(
    scores: NDArray[np.float32], floor: NDArray[np.float32], inverse: float, levels: int
) -> NDArray[np.uint64]:
    """Centroid scores as thermometers: for every query token as many bits, from the lowest, as the score has levels.

    The union of two thermometers is the higher one, so a union over tokens takes the maximum for every query token at
    once, and the bits set in it are the sum. Two levels make the bit vectors of EMVB (Nardini, Rulli & Venturini, ECIR
    2024); short queries have room for more.

    Args:
        scores: (centroids, query tokens), query tokens · levels ≤ 64.
        floor: By query token, the score of level 0, (query tokens,).
        inverse: Levels per unit of score.
        levels: The highest.

    Returns:
        (centroids,).
    """
    reached = np.clip((scores - floor) * np.float32(inverse) + np.float32(0.5), 0, levels).astype(np.uint64)
    shifts = np.arange(scores.shape[1], dtype=np.uint64) * np.uint64(levels)
    return np.asarray(np.bitwise_or.reduce(((np.uint64(1) << reached) - np.uint64(1)) << shifts, axis=1), np.uint64)


def scan(
    codes: NDArray[np.uint16], offsets: NDArray[np.int64], documents: NDArray[np.int64], masks: NDArray[np.uint64]
) -> NDArray[np.int32]:
    """Coarse MaxSim of some documents: for every query token the level of the best of their tokens' centroids, summed.

    Args:
        codes: The centroid of each token, (tokens,).
        offsets: (documents of the segment + 1,).
        documents: Which of them, (n,).
        masks: Of `fill_masks`, (centroids,).

    Returns:
        (n,). A document without tokens gets 0.
    """
    unions = [int(np.bitwise_or.reduce(masks[codes[offsets[d] : offsets[d + 1]]])) for d in documents]
    return np.array([union.bit_count() for union in unions], np.int32)


def centroid_sums(
    codes: NDArray[np.uint16],
    offsets: NDArray[np.int64],
    documents: NDArray[np.int64],
    centroid_scores: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Approximate MaxSim of some documents: for every query token the best of their tokens' centroids, summed.

    Args:
        codes: The centroid of each token, (tokens,).
        offsets: (documents of the segment + 1,).
        documents: Which of them, (n,).
        centroid_scores: (centroids, query tokens).

    Returns:
        (n,). A document without tokens gets 0.
    """
    scores = [centroid_scores[codes[offsets[d] : offsets[d + 1]]] for d in documents]
    return np.array([of_one.max(axis=0).sum() if len(of_one) else 0 for of_one in scores], np.float32)
