"""K-means of token vectors in two levels, and the nearest of many centroids."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.libraries import faiss_module

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NearestCentroids", "cluster"]

_ITERATIONS = 6
_MAX_POINTS_PER_CENTROID = 128
_SEED = 1

_CELLS_PER_ROOT_CENTROID = 2  # times √centroids
_MAX_UNGROUPED_CENTROIDS = 216  # up to this many, all centroids are compared
_REACH = 0.18
"""How much farther than the nearest mean that of a cell may be, in mean distances of a centroid from its mean."""

_MAX_CELLS = 12
"""Into which a vector looks. Most look into fewer: with 15,511 centroids of token vectors, into 5 of 249 on average."""

_BLOCK_VECTORS = 16_384  # searched at a time: with 512 cells, 32 MB of distances
_MAX_PRODUCTS = 2**19 - 1
"""Multiplications at a time: OpenBLAS starts a second thread for more, and its threads spin when they have no work."""

_NONE = np.empty(0, np.int64)


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

    Centroids are grouped into cells. A vector is compared with the centroids of those cells whose mean is nearly as
    close as the nearest mean, all vectors of a block that look into a cell by one product of matrices. Results do not
    depend on which vectors are searched together.

    Args:
        centroids: (centroids, dim) float32, at least one.
    """

    def __init__(self, centroids: NDArray[np.float32]) -> None:
        self._centroids = centroids

    def search(self, vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the number of the centroid of each vector, (n,), for vectors (n, dim)."""
        blocks = range(0, len(vectors), _BLOCK_VECTORS)
        return np.concatenate([_NONE, *(self._cells.search(vectors[at : at + _BLOCK_VECTORS]) for at in blocks)])

    @cached_property
    def _cells(self) -> _Cells:
        count = len(self._centroids)
        wanted = 1 if count <= _MAX_UNGROUPED_CENTROIDS else round(_CELLS_PER_ROOT_CENTROID * math.sqrt(count))
        means, nearest, distances = _kmeans(self._centroids, wanted)
        used, cells = np.unique(nearest, return_inverse=True)
        numbers = np.argsort(cells, kind="stable")
        return _Cells(
            means[used],
            _REACH * float(np.sqrt(distances).mean()),
            np.split(numbers, np.cumsum(np.bincount(cells))[:-1]),
            self._centroids[numbers],
        )


class _Cells:
    """Cells of centroids.

    Args:
        means: The mean of each cell, (cells, dim).
        reach: How much farther than the nearest mean those of the other cells may be into which a vector looks.
        members: The numbers of the centroids of each cell, at least one.
        centroids: The centroids in the order of the cells, (centroids, dim).
    """

    def __init__(
        self,
        means: NDArray[np.float32],
        reach: float,
        members: list[NDArray[np.int64]],
        centroids: NDArray[np.float32],
    ) -> None:
        self._means = np.ascontiguousarray(means.T)
        self._squares = _squares(means)
        self._reach = np.float32(reach)
        self._members = members
        ends = np.cumsum([len(some) for some in members])[:-1]
        self._centroids = [np.ascontiguousarray(some.T) for some in np.split(centroids, ends)]
        self._half_squares = np.split(_squares(centroids) / 2, ends)

    def search(self, vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the number of the centroid of each vector, (n,), for vectors (n, dim)."""
        best = np.full(len(vectors), -np.inf, np.float32)
        found = np.zeros(len(vectors), np.int64)
        groups = zip(self._looking(vectors), self._members, self._centroids, self._half_squares, strict=True)
        for rows, members, centroids, half_squares in groups:
            if len(rows):
                scores = _products(vectors[rows], centroids)
                scores -= half_squares  # the nearest has the highest score
                nearest = scores.argmax(axis=1)
                score = scores[np.arange(len(rows)), nearest]
                better = score > best[rows]
                rows = rows[better]
                best[rows], found[rows] = score[better], members[nearest[better]]
        return found

    def _looking(self, vectors: NDArray[np.float32]) -> list[NDArray[np.int64]]:
        """Return, for each cell, the numbers of the vectors that look into it, ascending."""
        distances = _products(vectors, self._means)  # squared, without the square of the vector
        distances *= -2
        distances += self._squares
        least, squares = distances.min(axis=1), _squares(vectors)
        limits = (np.sqrt(np.maximum(least + squares, 0)) + self._reach) ** 2 - squares
        looks = distances <= np.maximum(limits, least)[:, None]
        wide = np.flatnonzero(np.count_nonzero(looks, axis=1) > _MAX_CELLS)
        if len(wide):
            farthest = np.partition(distances[wide], _MAX_CELLS - 1, axis=1)[:, _MAX_CELLS - 1]
            looks[wide] &= distances[wide] <= farthest[:, None]
        found = np.flatnonzero(looks.T)
        counts = np.count_nonzero(looks, axis=0)
        found -= np.repeat(np.arange(len(counts)) * len(vectors), counts)
        return np.split(found, np.cumsum(counts)[:-1])


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


def _products(vectors: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``vectors @ others``, (n, m), for vectors (n, dim) and others (dim, m), both C-ordered, on one thread.

    The product of all would wake the threads of OpenBLAS, which then spin.
    """
    products = np.empty((len(vectors), others.shape[1]), np.float32)
    rows = max(1, _MAX_PRODUCTS // others.size)
    whole = len(vectors) // rows * rows
    stacks = (-1, rows, len(others)), (-1, rows, others.shape[1])
    np.matmul(vectors[:whole].reshape(stacks[0]), others, out=products[:whole].reshape(stacks[1]))
    np.matmul(vectors[whole:], others, out=products[whole:])
    return products


def _squares(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.einsum("ij,ij->i", vectors, vectors), np.float32)


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
