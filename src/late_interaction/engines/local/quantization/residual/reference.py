"""The kernels of the residual codec in plain NumPy: the definition that the compiled ones are tested against.

The columns of tokens are flat: document ``d`` has the tokens ``offsets[d]:offsets[d + 1]``.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["best_sums", "nearest_dots", "quantize", "unpack"]


def quantize(residuals: NDArray[np.float32], bits: int, step: float) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Round rotated residuals to a uniform mid-rise grid, with one scale each that makes dot products unbiased.

    Args:
        residuals: (tokens, dim).
        bits: 1, 2, 4 or 8 per dimension.
        step: Width of a grid cell in units of a residual's root mean square.

    Returns:
        Packed levels, (tokens, ceil(dim * bits / 8)) u8, and scales, (tokens,). With ``8 / bits`` dimensions in a byte
        and ``width`` bytes in a row, byte ``j`` holds dimensions ``j, j + width, …``, the first in the lowest bits.
    """
    tokens, dim = residuals.shape
    planes = 8 // bits
    width = -(-dim // planes)
    half = 2 ** (bits - 1)
    norms = (residuals * residuals).sum(axis=1)
    cells = step * np.sqrt(norms / dim)
    inverse = np.divide(1, cells, out=np.zeros_like(cells), where=cells > 0)
    levels = np.clip(np.floor(residuals * inverse[:, None]) + half, 0, 2 * half - 1).astype(np.uint8)
    along = (residuals * (levels.astype(np.float32) - half + 0.5)).sum(axis=1)
    scales = np.divide(norms, along, out=np.zeros_like(norms), where=along > 0)
    padded = np.zeros((tokens, planes * width), np.uint8)
    padded[:, :dim] = levels
    packed = np.zeros((tokens, width), np.uint8)
    for plane in range(planes):
        packed |= padded[:, plane * width : (plane + 1) * width] << (plane * bits)
    return packed, scales


def unpack(packed: NDArray[np.uint8], tokens: NDArray[np.int64], bits: int) -> NDArray[np.float32]:
    """Return the grid points of some tokens, (n, planes * width): ``dim`` columns of coordinates, then padding."""
    half = 2 ** (bits - 1)
    rows = packed[tokens]
    levels = [(rows >> (plane * bits)) & (2**bits - 1) for plane in range(8 // bits)]
    return np.concatenate(levels, axis=1).astype(np.float32) - np.float32(half - 0.5)


def nearest_dots(
    codes: NDArray[np.uint16],
    packed: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    documents: NDArray[np.int64],
    centroid_scores: NDArray[np.float32],
    query: NDArray[np.float32],
    bits: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find, for each query token, the token of a document with the best centroid, and what its residual adds.

    Args:
        codes: The centroid of each token, (tokens,).
        packed: The packed grid points of each token, (tokens, width).
        offsets: (documents of the segment + 1,).
        documents: Numbers of the documents to score, (n,).
        centroid_scores: (centroids, query tokens).
        query: Rotated query tokens, (query tokens, padded dim).
        bits: Per dimension.

    Returns:
        The numbers of the tokens, (n, query tokens), and the dot products of their grid points with the query tokens
        before scaling, (n, query tokens). Both are 0 for a document without tokens.
    """
    nearest = np.zeros((len(documents), len(query)), np.int64)
    dots = np.zeros((len(documents), len(query)), np.float32)
    for i, document in enumerate(documents):
        start, end = offsets[document], offsets[document + 1]
        if start < end:
            nearest[i] = start + centroid_scores[codes[start:end]].argmax(axis=0)
            dots[i] = (unpack(packed, nearest[i], bits) * query).sum(axis=1)
    return nearest, dots


def best_sums(
    codes: NDArray[np.uint16],
    scales: NDArray[np.float32],
    dots: NDArray[np.float32],
    bounds: NDArray[np.int64],
    centroid_scores: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Score documents by MaxSim, from the scores of their tokens' centroids and residuals.

    Args:
        codes: The centroid of each token, one document after the other, (n,).
        scales: The scale of each token, (n,).
        dots: Dot products of the rotated query tokens with the grid points of the tokens, (query tokens, n).
        bounds: Where each document begins and the last ends, (documents + 1,).
        centroid_scores: (centroids, query tokens).

    Returns:
        Scores, (documents,). A document without tokens gets 0.
    """
    scores = centroid_scores[codes] + scales[:, None] * dots.T
    return np.array(
        [scores[start:end].max(axis=0).sum() if end > start else 0 for start, end in pairwise(bounds)],
        np.float32,
    )
