"""The kernel that scores documents by their centroids, in plain NumPy: what the compiled one is tested against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["maxsim_sums"]


def maxsim_sums(
    codes: NDArray[np.uint16],
    offsets: NDArray[np.int64],
    documents: NDArray[np.int64],
    points: NDArray[np.int8],
    point_scales: NDArray[np.float32],
    centroids_along: NDArray[np.float32],
    query: NDArray[np.float32],
    query_along: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Score documents by MaxSim of the centroids of their tokens.

    Args:
        codes: The centroid of each token, (tokens,).
        offsets: (documents of the segment + 1,).
        documents: Numbers of the documents to score, (n,).
        points: Centroids as points of the grid, (centroids, padded dim).
        point_scales: What they are multiplied by, (centroids,).
        centroids_along: Their components in the common direction, (centroids,).
        query: Query tokens without these components, padded with zeros, (query tokens, padded dim).
        query_along: These components, (query tokens,).

    Returns:
        (n,). A document without tokens gets 0.
    """
    scores = point_scales[codes, None] * (points[codes] @ query.T) + centroids_along[codes, None] * query_along
    of_documents = [scores[offsets[document] : offsets[document + 1]] for document in documents]
    return np.array([of_one.max(axis=0).sum() if len(of_one) else 0 for of_one in of_documents], np.float32)
