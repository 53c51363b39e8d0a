"""The kernels that build posting lists in plain NumPy: the definition that the compiled ones are tested against.

The codes of a segment are flat: document ``d`` has the tokens ``offsets[d]:offsets[d + 1]``. Scratch arrays are
arguments, because the compiled kernels allocate nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["count", "fill"]


def count(
    codes: NDArray[np.uint16],
    offsets: NDArray[np.int64],
    first: int,
    last: int,
    seen: NDArray[np.int32],
    starts: NDArray[np.uint32],
) -> None:
    """Write where each posting list of a block begins, and where the last ends.

    Args:
        codes: The centroid of each token, (tokens,).
        offsets: (documents of the segment + 1,).
        first: The first document of the block.
        last: The document after its last.
        seen: Scratch, (centroids,).
        starts: The result, (centroids + 1,).
    """
    centroids, _ = _pairs(codes, offsets, first, last)
    starts[:] = np.searchsorted(centroids, np.arange(len(seen) + 1))


def fill(
    codes: NDArray[np.uint16],
    offsets: NDArray[np.int64],
    first: int,
    last: int,
    starts: NDArray[np.uint32],
    seen: NDArray[np.int32],
    ends: NDArray[np.uint32],
    lists: NDArray[np.uint16],
) -> None:
    """Write the posting lists of a block: by centroid, the numbers of documents within the block, ascending.

    Args:
        codes: The centroid of each token, (tokens,).
        offsets: (documents of the segment + 1,).
        first: The first document of the block.
        last: The document after its last.
        starts: What `count` wrote, (centroids + 1,).
        seen: Scratch, (centroids,).
        ends: Scratch; then where each list ends, (centroids,).
        lists: The result, (``starts[-1]``,).
    """
    _, documents = _pairs(codes, offsets, first, last)
    lists[:] = documents
    ends[:] = starts[1:]


def _pairs(
    codes: NDArray[np.uint16], offsets: NDArray[np.int64], first: int, last: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each centroid and document of a block once, by centroid and then by document."""
    documents = np.repeat(np.arange(last - first), np.diff(offsets[first : last + 1]))
    pairs = np.unique(codes[offsets[first] : offsets[last]].astype(np.int64) * (last - first) + documents)
    return np.divmod(pairs, max(last - first, 1))
