"""The kernels of the search over centroids in plain NumPy: the definition that the compiled ones are tested against.

The columns of tokens are flat: document ``d`` has the tokens ``offsets[d]:offsets[d + 1]``. Scores have a column, or
*lane*, for each query token, and further ones of zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["centroid_scores", "count_levels", "fill_masks", "posting_entries", "scan_codes", "scan_postings", "take"]


def centroid_scores(
    points: NDArray[np.int8],
    scales: NDArray[np.float32],
    along: NDArray[np.float32],
    query: NDArray[np.int16],
    units: NDArray[np.float32],
    query_along: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the dot products of centroids with query tokens, from integers alone.

    Args:
        points: Centroids as points of the grid, (centroids, padded dim).
        scales: What a point is multiplied by, (centroids,).
        along: The components of centroids in the common direction, (centroids,).
        query: Query tokens without their components in the common direction, in integers, (query tokens, padded dim).
        units: What an integer of a query token stands for, (lanes,).
        query_along: The components of query tokens in the common direction, (lanes,).

    Returns:
        Scores, (centroids, lanes), and the highest of each lane, (lanes,).
    """
    sums = np.zeros((len(points), len(units)), np.int32)
    sums[:, : len(query)] = points.astype(np.int32) @ query.astype(np.int32).T
    scores = sums.astype(np.float32) * (scales[:, None] * units) + along[:, None] * query_along
    return scores, scores.max(axis=0)


def fill_masks(
    scores: NDArray[np.float32], first: int, floor: NDArray[np.float32], inverse: float, levels: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return centroid scores in unary: for each query token, as many bits from the lowest as the score has levels.

    A bitwise or of two such numbers is the higher one. So the bitwise or over the tokens of a document takes the
    maximum for all query tokens at once, and the number of set bits is the sum. With two levels, these are the bit
    vectors of EMVB (Nardini, Rulli & Venturini, ECIR 2024); short queries have room for more.

    Args:
        scores: (centroids, lanes).
        first: The first lane. There are as many as floors, and lanes · levels ≤ 64.
        floor: The score of level 0 by lane, (n,).
        inverse: Levels per unit of score.
        levels: The highest level.

    Returns:
        Masks, (centroids,), and the ascending numbers of the centroids whose masks are not 0.
    """
    above = scores[:, first : first + len(floor)] - floor
    reached = np.clip(above * np.float32(inverse) + np.float32(0.5), 0, levels).astype(np.uint64)
    shifts = np.arange(len(floor), dtype=np.uint64) * np.uint64(levels)
    ones = np.where(reached == 64, ~np.uint64(0), (np.uint64(1) << (reached % 64)) - np.uint64(1))
    masks = np.asarray(np.bitwise_or.reduce(ones << shifts, axis=1), np.uint64)
    return masks, np.flatnonzero(masks)


def scan_postings(
    masks: NDArray[np.uint64],
    active: NDArray[np.int64],
    starts: NDArray[np.uint32],
    lists: NDArray[np.uint16],
    allowed: NDArray[np.uint8],
    base: int,
) -> NDArray[np.uint16]:
    """Score the documents of a block coarsely: the sum, over query tokens, of the highest level of their centroids.

    Args:
        masks: What `fill_masks` returns, (centroids,).
        active: The numbers of the centroids whose masks are not 0 and that have a list.
        starts: Where the list of each centroid begins, and where the last ends.
        lists: Numbers of documents in the block that have a token of the centroid.
        allowed: 1 for each document that is searched, 0 for others, (documents of the block,).
        base: Added to the level of every document that is searched.

    Returns:
        Levels, (documents of the block,); 0 for documents that are not searched. The compiled kernel adds them to its
        last argument. The argument before, (65,536,), is to be zero, and is zero afterwards.
    """
    unions = [0] * len(allowed)
    for centroid in active.tolist():
        for document in lists[starts[centroid] : starts[centroid + 1]].tolist():
            unions[document] |= int(masks[centroid])
    return np.array([(union.bit_count() + base) * allowed[at] for at, union in enumerate(unions)], np.uint16)


def scan_codes(
    masks: NDArray[np.uint64],
    codes: NDArray[np.uint16],
    offsets: NDArray[np.int64],
    allowed: NDArray[np.uint8],
    base: int,
) -> NDArray[np.uint16]:
    """Score documents coarsely, as `scan_postings`, from the centroids of their tokens.

    Args:
        masks: What `fill_masks` returns, (centroids,).
        codes: The centroid of each token, (tokens,).
        offsets: (documents + 1,).
        allowed: As in `scan_postings`, (documents,).
        base: As in `scan_postings`.
    """
    levels = [
        int(np.bitwise_or.reduce(masks[codes[offsets[at] : offsets[at + 1]]])).bit_count() for at in range(len(allowed))
    ]
    return np.array([(level + base) * allowed[at] for at, level in enumerate(levels)], np.uint16)


def posting_entries(active: NDArray[np.int64], starts: NDArray[np.uint32]) -> int:
    """Return how many documents the lists of some centroids have together."""
    return int((starts[active + 1].astype(np.int64) - starts[active]).sum())


def count_levels(counts: NDArray[np.uint16], levels: int) -> NDArray[np.int64]:
    """Return by level, below ``levels``, how many documents have at least it."""
    return np.bincount(counts, minlength=levels)[::-1].cumsum()[::-1]


def take(counts: NDArray[np.uint16], level: int, ties: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the documents above a level, and the first ``ties`` of those on it, in order, and their levels.

    The compiled kernel sets their counts to 0.
    """
    found = np.flatnonzero(counts >= level)
    found = np.delete(found, np.flatnonzero(counts[found] == level)[max(ties, 0) :])
    return found, counts[found].astype(np.int64)
