"""Train a codebook: how many centroids, and which."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.local.kernels.libraries import faiss_module
from late_interaction.engines.local.quantization.codebook import (
    CENTROID_BITS,
    MAX_CENTROIDS,
    Codebook,
    direction_of,
    stretch_of,
    stretched,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["centroids_for", "train"]

_CENTROIDS_PER_ROOT_TOKEN = 10  # times √tokens
_MAX_BYTES_PER_TOKEN = 1.7  # size of a codebook on disk, per token of the collection

_ITERATIONS = 6
_MAX_POINTS_PER_CENTROID = 128
_SEED = 1


def centroids_for(tokens: int, dim: int) -> int:
    """Return the target number of centroids for this many tokens, within the size budget."""
    affordable = int(_MAX_BYTES_PER_TOKEN * tokens / (dim * CENTROID_BITS / 8 + 2))
    return max(1, min(int(_CENTROIDS_PER_ROOT_TOKEN * math.sqrt(tokens)), affordable, MAX_CENTROIDS))


def train(sample: NDArray[np.float32], centroids: int, direction: NDArray[np.float32] | None = None) -> Codebook:
    """Train a codebook by k-means in two levels: coarse cells, then centroids within each cell.

    Per token and iteration, one level costs as many distances as there are centroids, two levels cost about twice the
    square root of that. A few more centroids make up for the loss. The number of centroids in a cell is proportional to
    √size · spread, after TACHIOM (arXiv 2604.28142).

    Args:
        sample: Token vectors in rotated coordinates, (n, dim).
        centroids: The number of centroids, at most n; otherwise n are made.
        direction: The common direction of the codebook that is extended; None for that of the sample.
    """
    direction = direction_of(sample) if direction is None else direction
    stretch = stretch_of(sample, direction)
    sample = stretched(sample, direction, stretch)
    centroids = min(centroids, len(sample))
    coarse, nearest, distances = _kmeans(sample, max(1, round(math.sqrt(centroids))))
    sizes = np.bincount(nearest, minlength=len(coarse))
    spreads = np.sqrt(np.bincount(nearest, weights=distances, minlength=len(coarse)) / np.maximum(sizes, 1))
    shares = _apportion(np.sqrt(sizes) * spreads, sizes, centroids)
    members = np.split(np.argsort(nearest, kind="stable"), np.cumsum(sizes)[:-1])
    parts = [
        sample[chosen] if share == len(chosen) else _kmeans(sample[chosen], share)[0]
        for chosen, share in zip(members, shares.tolist(), strict=True)
        if share
    ]
    return Codebook.rounded(stretched(np.concatenate(parts), direction, 1 / stretch), direction)


def _kmeans(
    points: NDArray[np.float32], centroids: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """Return centroids, and the nearest centroid of each point with the squared distance to it."""
    kmeans = faiss_module().Kmeans(
        points.shape[1],
        centroids,
        niter=_ITERATIONS,
        seed=_SEED,
        min_points_per_centroid=1,
        max_points_per_centroid=_MAX_POINTS_PER_CENTROID,
    )
    kmeans.train(points)
    distances, nearest = kmeans.index.search(points, 1)
    return kmeans.centroids, nearest[:, 0], distances[:, 0]


def _apportion(weights: NDArray[np.float64], limits: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Divide ``total`` into integers, about proportional to weights and each at most its limit.

    The limits must add up to at least ``total``.
    """
    shares = np.minimum(limits, 1)  # a cell of nearly equal tokens, such as marker tokens, has almost no weight
    while missing := total - int(shares.sum()):
        room = limits - shares
        claims = np.where(room > 0, np.maximum(weights, np.finfo(np.float64).tiny), 0)
        wanted = missing * claims / claims.sum()
        more = np.minimum(wanted.astype(np.int64), room)
        if not more.any():  # fewer are left than there are cells: they go to the highest shares
            more[np.argsort(-wanted, kind="stable")[:missing]] = 1
        shares += np.minimum(more, room)
    return shares
