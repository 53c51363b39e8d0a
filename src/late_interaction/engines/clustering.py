"""K-means of token vectors in two levels, and the nearest of many centroids."""

from __future__ import annotations

import math
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.engines.parallel import in_order
from late_interaction.engines.products import products
from late_interaction.forking import imports

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NearestCentroids", "cluster"]

_SHARES_OF_POINTS = 0.25, 0.25, 0.5, 0.5, 1, 1
"""What share of the points each iteration of k-means uses. The first ones only have to find where centroids belong."""

_MAX_POINTS_PER_CENTROID = 128
_SEED = 1

_TRAINED_CELLS_PER_ROOT_CENTROID = 1  # times √centroids
"""With 2, training takes less, but recall@10 of 700,000 token vectors in the local engine is .974 instead of .977."""

_SEARCHED_CELLS_PER_ROOT_CENTROID = 2
_MAX_UNGROUPED_CENTROIDS = 216  # up to this many, all centroids are compared
_REACH = 0.18
"""How much farther than the nearest mean that of a cell may be, in mean distances of a centroid from its mean."""

_MAX_CELLS = 12
"""Into which a vector looks. Most look into fewer: with 15,511 centroids of token vectors, into 5 of 249 on average."""

_BLOCK_VECTORS = 16_384  # searched at a time: with 512 cells, 32 MB of distances
_NONE = np.empty(0, np.int64)


def cluster(points: NDArray[np.float32], count: int, threads: int = 1) -> NDArray[np.float32]:
    """Return centroids of points by k-means in two levels: coarse cells, then centroids within each cell.

    Per point and iteration, one level costs as many distances as there are centroids, two levels cost about twice the
    square root of that. A few more centroids make up for the loss. The number of centroids in a cell is proportional to
    √size · spread, after TACHIOM (arXiv 2604.28142).

    Args:
        points: (n, dim), at least one.
        count: The number of centroids, at most n; otherwise n are made.
        threads: How many threads to use. The result does not depend on it.

    Returns:
        (centroids, dim).
    """
    count = min(count, len(points))
    coarse = _kmeans(points, _cells_for(count, _TRAINED_CELLS_PER_ROOT_CENTROID))
    nearest, distances = _nearest(points, coarse, threads)
    sizes = np.bincount(nearest, minlength=len(coarse))
    spreads = np.sqrt(np.bincount(nearest, weights=distances, minlength=len(coarse)) / np.maximum(sizes, 1))
    shares = _apportion(np.sqrt(sizes) * spreads, sizes, count)
    members = np.split(np.argsort(nearest, kind="stable"), np.cumsum(sizes)[:-1])

    def part(cell: tuple[NDArray[np.int64], int]) -> NDArray[np.float32]:
        chosen, share = cell
        return points[chosen] if share == len(chosen) else _kmeans(points[chosen], share)

    cells = (cell for cell in zip(members, shares.tolist(), strict=True) if cell[1])
    return np.concatenate(list(in_order(part, cells, threads)))


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
        cells = 1 if count <= _MAX_UNGROUPED_CENTROIDS else _cells_for(count, _SEARCHED_CELLS_PER_ROOT_CENTROID)
        means = _kmeans(self._centroids, cells)
        nearest, distances = _nearest(self._centroids, means)
        used, cell_of = np.unique(nearest, return_inverse=True)
        numbers = np.argsort(cell_of, kind="stable")
        return _Cells(
            means[used],
            _REACH * float(np.sqrt(distances).mean()),
            np.split(numbers, np.cumsum(np.bincount(cell_of))[:-1]),
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
        self._half_squares_of_means = _half_squares(means)
        self._reach = np.float32(reach)
        self._members = members
        ends = np.cumsum([len(some) for some in members])[:-1]
        self._centroids = [np.ascontiguousarray(some.T) for some in np.split(centroids, ends)]
        self._half_squares = np.split(_half_squares(centroids), ends)

    def search(self, vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the number of the centroid of each vector, (n,), for vectors (n, dim)."""
        best = np.full(len(vectors), -np.inf, np.float32)
        found = np.zeros(len(vectors), np.int64)
        groups = zip(self._looking(vectors), self._members, self._centroids, self._half_squares, strict=True)
        for rows, members, centroids, half_squares in groups:
            if len(rows):
                nearest, score = _best(vectors[rows], centroids, half_squares)
                better = score > best[rows]
                rows = rows[better]
                best[rows], found[rows] = score[better], members[nearest[better]]
        return found

    def _looking(self, vectors: NDArray[np.float32]) -> list[NDArray[np.int64]]:
        """Return, for each cell, the numbers of the vectors that look into it, ascending."""
        scores = products(vectors, self._means)
        scores -= self._half_squares_of_means
        best, half_squares = scores.max(axis=1), _half_squares(vectors)
        limits = np.sqrt(2 * np.maximum(half_squares - best, 0)) + self._reach  # of the distance
        looks = scores >= np.minimum(half_squares - limits**2 / 2, best)[:, None]
        wide = np.flatnonzero(np.count_nonzero(looks, axis=1) > _MAX_CELLS)
        if len(wide):
            worst = np.partition(scores[wide], -_MAX_CELLS, axis=1)[:, -_MAX_CELLS]
            looks[wide] &= scores[wide] >= worst[:, None]
        found = np.flatnonzero(looks.T)
        counts = np.count_nonzero(looks, axis=0)
        found -= np.repeat(np.arange(len(counts)) * len(vectors), counts)
        return np.split(found, np.cumsum(counts)[:-1])


def _cells_for(count: int, cells_per_root: float) -> int:
    """Return into how many cells to group this many centroids."""
    return min(count, round(cells_per_root * math.sqrt(count)))


def _kmeans(points: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return centroids of points, (count, dim), by Lloyd's algorithm, from a random sample of them.

    A centroid that is nearest to no point is moved to one of those that are farthest from theirs.

    Args:
        points: (n, dim), at least ``count``.
        count: The number of centroids, at least 1.
    """
    chosen = np.random.default_rng(_SEED).permutation(len(points))[: _MAX_POINTS_PER_CENTROID * count]
    points = points[chosen]
    centroids = points[:count]
    for share in _SHARES_OF_POINTS:
        some = points[: max(count, round(share * len(points)))]
        nearest, distances = _nearest(some, centroids)
        sizes = np.bincount(nearest, minlength=count)
        centroids = _sums(some, nearest, count)
        centroids /= np.maximum(sizes, 1)[:, None]
        if len(unused := np.flatnonzero(sizes == 0)):
            centroids[unused] = some[np.argsort(-distances, kind="stable")[: len(unused)]]
    return centroids


def _nearest(
    points: NDArray[np.float32], centroids: NDArray[np.float32], threads: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the number of the nearest centroid of each point, (n,), and the squared distance to it, (n,)."""
    transposed, half_squares = np.ascontiguousarray(centroids.T), _half_squares(centroids)
    blocks = (points[start : start + _BLOCK_VECTORS] for start in range(0, len(points), _BLOCK_VECTORS))
    found = list(in_order(lambda block: _best(block, transposed, half_squares), blocks, threads))
    nearest, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return nearest, 2 * np.maximum(_half_squares(points) - scores, 0)


def _best(
    vectors: NDArray[np.float32], centroids: NDArray[np.float32], half_squares: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the column of the nearest centroid of each vector, (n,), and its score, (n,), which is the highest.

    The score is the dot product less half of the square of the centroid.

    Args:
        vectors: (n, dim).
        centroids: (dim, m).
        half_squares: Half of the squared length of each centroid, (m,).
    """
    scores = products(vectors, centroids)
    scores -= half_squares
    nearest = scores.argmax(axis=1)
    return nearest, scores[np.arange(len(vectors)), nearest]


def _sums(points: NDArray[np.float32], groups: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """Return the sum of the points of each group, (count, dim), for the group of each point, (n,)."""
    belongs = _csr_array()((np.ones(len(points), np.float32), groups, np.arange(len(points) + 1)), (len(points), count))
    return np.asarray(belongs.T @ points, np.float32)


@cache
def _csr_array() -> Any:
    """Return the class, imported once: after an interrupt, only the thread that was importing can import again."""
    with imports:
        from scipy.sparse import csr_array

        return csr_array


def _half_squares(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return half of the squared length of each vector, (n,)."""
    return np.asarray(0.5 * np.einsum("ij,ij->i", vectors, vectors), np.float32)


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
