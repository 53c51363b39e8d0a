"""Build the posting lists of a segment from its codes, one block at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.engines.local.kernels import kernels_of
from late_interaction.engines.local.postings import BLOCK_DOCUMENTS, LISTS, STARTS, Postings
from late_interaction.errors import CorruptIndexError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from late_interaction.engines.local.storage.columns import ColumnWriter

__all__ = ["append_postings", "built", "differing_block"]


def built(
    codes: NDArray[np.uint16], offsets: NDArray[np.int64], centroids: int
) -> Iterator[tuple[NDArray[np.uint32], NDArray[np.uint16]]]:
    """Yield where the lists of each block begin, (centroids + 1,), and the lists.

    Memory is bounded by the lists of a block, at most two bytes for each of its tokens.

    Args:
        codes: The centroid of each token, (tokens,).
        offsets: Where the tokens of each document begin, and where the last end, (documents + 1,), ascending.
        centroids: The number of centroids.

    Raises:
        CorruptIndexError: A code is beyond the centroids.
    """
    kernels = kernels_of("late_interaction.engines.local.postings")
    seen, ends = np.empty(centroids, np.int32), np.empty(centroids, np.uint32)
    for first in range(0, len(offsets) - 1, BLOCK_DOCUMENTS):
        last = min(first + BLOCK_DOCUMENTS, len(offsets) - 1)
        if codes[offsets[first] : offsets[last]].max(initial=0) >= centroids:  # kernels do not check
            raise CorruptIndexError(
                f"The code of a token is beyond the {centroids} centroids of the codebook. Restore the index from a "
                "copy."
            )
        starts = np.empty(centroids + 1, np.uint32)
        kernels.count(codes, offsets, first, last, seen, starts)
        lists = np.empty(int(starts[-1]), np.uint16)
        kernels.fill(codes, offsets, first, last, starts, seen, ends, lists)
        yield starts, lists


def append_postings(
    writer: ColumnWriter, codes: NDArray[np.uint16], offsets: NDArray[np.int64], centroids: int
) -> None:
    """Append the posting lists of a segment to its columns. See `built` for the arguments."""
    for starts, lists in built(codes, offsets, centroids):
        rows: dict[str, NDArray[Any]] = {STARTS: starts[None, :], LISTS: lists}
        writer.append(**rows)


def differing_block(postings: Postings, codes: NDArray[np.uint16], offsets: NDArray[np.int64]) -> int | None:
    """Return the first block whose posting lists are not those of the codes; None if all are."""
    centroids = postings.starts.shape[1] - 1
    ends = postings.block_starts
    for block, (starts, lists) in enumerate(built(codes, offsets, centroids)):
        stored = postings.lists[ends[block] : ends[block + 1]]
        if not (np.array_equal(starts, postings.starts[block]) and np.array_equal(lists, stored)):
            return block
    return None
