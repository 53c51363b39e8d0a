"""K-means of token vectors in two levels, and the nearest of many centroids."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.engines.libraries import faiss_module

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NearestCentroids", "cluster"]

_ITERATIONS = 6
_MAX_POINTS_PER_CENTROID = 128
_SEED = 1

_PROBED_CELLS = 6
_MAX_FLAT_CENTROIDS = _PROBED_CELLS**3  # up to this many, all centroids are compared


def cluster(points: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return centroids of points by k-means in two levels: coarse cells, then centroids within each cell.

    Per point and iteration, one level costs as many distances as there are centroids, two levels cost about twice the
    square root of that. A few more centroids make up for the loss. The number of centroids in a cell is proportional to
    √size · spread, after TACHIOM (arXiv 2604.28142).

    Args:
        points: (n, dim), at least one.
        count: The number of centroids, at most n; otherwise n are made.

    Returns:
        (centroids, dim).
    """
    count = min(count, len(points))
    coarse, nearest, distances = _kmeans(points, max(1, round(math.sqrt(count))))
    sizes = np.bincount(nearest, minlength=len(coarse))
    spreads = np.sqrt(np.bincount(nearest, weights=distances, minlength=len(coarse)) / np.maximum(sizes, 1))
    shares = _apportion(np.sqrt(sizes) * spreads, sizes, count)
    members = np.split(np.argsort(nearest, kind="stable"), np.cumsum(sizes)[:-1])
    parts = [
        points[chosen] if share == len(chosen) else _kmeans(points[chosen], share)[0]
        for chosen, share in zip(members, shares.tolist(), strict=True)
        if share
    ]
    return np.concatenate(parts)


class NearestCentroids:
    """Finds the centroid with the least distance to a vector, or one that is nearly as close.

    Centroids are grouped into cells, about √centroids of them, and only the nearest cells of a vector are searched.

    Args:
        centroids: (centroids, dim) float32, C-ordered.
    """

    def __init__(self, centroids: NDArray[np.float32]) -> None:
        self._centroids = centroids

    def search(self, vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the number of the centroid of each vector, (n,), for vectors (n, dim), C-ordered."""
        _, found = self._cells.search(vectors, 1)
        if len(missing := np.flatnonzero(found[:, 0] < 0)):  # the cells searched are empty
            found[missing] = self._all.search(vectors[missing], 1)[1]
        return np.asarray(found[:, 0], np.int64)

    @cached_property
    def _cells(self) -> Any:
        count, dim = self._centroids.shape
        if count <= _MAX_FLAT_CENTROIDS:
            return self._all
        faiss = faiss_module()
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(dim), dim, round(math.sqrt(count)))
        index.cp.seed, index.cp.niter, index.cp.min_points_per_centroid = _SEED, _ITERATIONS, 1
        index.nprobe = _PROBED_CELLS
        index.train(self._centroids)
        index.add(self._centroids)
        return index

    @cached_property
    def _all(self) -> Any:
        index = faiss_module().IndexFlatL2(self._centroids.shape[1])
        index.add(self._centroids)
        return index


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
