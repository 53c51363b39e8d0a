"""Posting lists of a compressed segment: by centroid, the documents that have a token of it.

A scan of posting lists reads a few percent of the tokens, where a scan of codes reads them all. The lists are two
columns of the segment, written with it (`building`), and say nothing that its codes do not: a segment without them, of
an older format or too small for them, is scanned through its codes, with the same result.

Documents are numbered within blocks of 65,536. So a number fits two bytes, and the counters of a block fit the cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.errors import CorruptIndexError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "BLOCK_DOCUMENTS",
    "LISTS",
    "STARTS",
    "Postings",
    "are_worthwhile",
    "block_count",
    "columns_for",
    "stored_columns",
]

BLOCK_DOCUMENTS = 65_536
"""Documents of a block. Their numbers within the block fit u16."""

STARTS, LISTS = "posting_starts", "postings"
"""The names of the columns."""

_MAX_START_BYTES_PER_TOKEN = 0.5
"""A segment has no posting lists if where they begin would take more than this."""

_STARTS_TYPE, _LISTS_TYPE = np.dtype(np.uint32), np.dtype(np.uint16)


@dataclass(frozen=True)
class Postings:
    """The posting lists of a segment.

    Attributes:
        starts: Where each list of a block begins, relative to the first entry of the block, and where the last ends,
            (blocks, centroids + 1) u32. Centroids that the codebook got later have no list.
        lists: The numbers of documents within their block, ascending within a list, each document once for each of its
            centroids, (n,) u16. Untrusted: a number may lie beyond the documents of the last block.
    """

    starts: NDArray[np.uint32]
    lists: NDArray[np.uint16]

    @cached_property
    def block_starts(self) -> NDArray[np.int64]:
        """Where the entries of each block begin in ``lists``, and where the last end, (blocks + 1,)."""
        return np.concatenate([[0], np.cumsum(self.starts[:, -1], dtype=np.int64)])

    @property
    def are_consistent(self) -> bool:
        """Whether ``starts`` ascend from 0 in each block, and end where ``lists`` do."""
        ascends = not (self.starts[:, 0].any() or (self.starts[:, 1:] < self.starts[:, :-1]).any())
        return ascends and int(self.block_starts[-1]) == len(self.lists)


def block_count(documents: int) -> int:
    """Return the number of blocks of a segment with this many documents."""
    return -(-documents // BLOCK_DOCUMENTS)


def are_worthwhile(documents: int, tokens: int, centroids: int) -> bool:
    """Return whether a segment of this size should have posting lists for this many centroids."""
    start_bytes = _STARTS_TYPE.itemsize * (centroids + 1) * block_count(documents)
    return 0 < start_bytes <= _MAX_START_BYTES_PER_TOKEN * tokens


def columns_for(centroids: int) -> dict[str, tuple[Any, tuple[int, ...]]]:
    """Return the type and the shape of a row of each column, for posting lists of this many centroids."""
    return {STARTS: (_STARTS_TYPE, (centroids + 1,)), LISTS: (_LISTS_TYPE, ())}


def stored_columns(path: Path, documents: int, tokens: int, centroids: int, sizes: tuple[int, int]) -> dict[str, Any]:
    """Return the type and the shape of the stored columns, which follow from their sizes. Nothing is read.

    Args:
        path: The directory of the segment.
        documents: Its documents.
        tokens: Their tokens.
        centroids: Centroids of the codebook, which may have grown since.
        sizes: Bytes of the elements of ``starts`` and of ``lists``, as the catalog says.

    Raises:
        CorruptIndexError: No posting lists of these documents have these sizes.
    """
    blocks = block_count(documents)
    width, rest = divmod(sizes[0], _STARTS_TYPE.itemsize * max(blocks, 1))
    entries, odd = divmod(sizes[1], _LISTS_TYPE.itemsize)
    if not blocks or rest or odd or not 2 <= width <= centroids + 1 or not 0 <= entries <= tokens:
        raise CorruptIndexError(
            f"The catalog expects posting lists of {sizes[0]} and {sizes[1]} bytes in {path}, which do not belong to "
            f"{documents} documents with {tokens} tokens and {centroids} centroids. Restore the index from a copy."
        )
    return {STARTS: (_STARTS_TYPE, (blocks, width)), LISTS: (_LISTS_TYPE, (entries,))}
