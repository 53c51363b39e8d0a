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
    """Return centroid scores in unary: for each query token, as many bits from the lowest as the score has levels.

    A bitwise or of two such numbers is the higher one. So the bitwise or over the tokens of a document takes the
    maximum for all query tokens at once, and the number of set bits is the sum. With two levels, these are the bit
    vectors of EMVB (Nardini, Rulli & Venturini, ECIR 2024); short queries have room for more.

    Args:
        scores: (centroids, query tokens), query tokens · levels ≤ 64.
        floor: The score of level 0 by query token, (query tokens,).
        inverse: Levels per unit of score.
        levels: The highest level.

    Returns:
        Masks, (centroids,).
    """
    reached = np.clip((scores - floor) * np.float32(inverse) + np.float32(0.5), 0, levels).astype(np.uint64)
    shifts = np.arange(scores.shape[1], dtype=np.uint64) * np.uint64(levels)
    return np.asarray(np.bitwise_or.reduce(((np.uint64(1) << reached) - np.uint64(1)) << shifts, axis=1), np.uint64)


def scan(
    codes: NDArray[np.uint16], offsets: NDArray[np.int64], documents: NDArray[np.int64], masks: NDArray[np.uint64]
) -> NDArray[np.int32]:
    """Score some documents coarsely: the sum, over query tokens, of the highest level of their tokens' centroids.

    Args:
        codes: The centroid of each token, (tokens,).
        offsets: (documents of the segment + 1,).
        documents: Numbers of the documents to score, (n,).
        masks: What `fill_masks` returns, (centroids,).

    Returns:
        Levels, (n,). A document without tokens gets 0.
    """
    unions = [int(np.bitwise_or.reduce(masks[codes[offsets[d] : offsets[d + 1]]])) for d in documents]
    return np.array([union.bit_count() for union in unions], np.int32)


def centroid_sums(
    codes: NDArray[np.uint16],
    offsets: NDArray[np.int64],
    documents: NDArray[np.int64],
    centroid_scores: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Score some documents by MaxSim of centroids: the sum, over query tokens, of the best centroid of their tokens.

    Args:
        codes: The centroid of each token, (tokens,).
        offsets: (documents of the segment + 1,).
        documents: Numbers of the documents to score, (n,).
        centroid_scores: (centroids, query tokens).

    Returns:
        Scores, (n,). A document without tokens gets 0.
    """
    scores = [centroid_scores[codes[offsets[d] : offsets[d + 1]]] for d in documents]
    return np.array([of_one.max(axis=0).sum() if len(of_one) else 0 for of_one in scores], np.float32)
