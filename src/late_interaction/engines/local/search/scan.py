"""Score all documents coarsely, from a few levels of the scores of their centroids."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.local.kernels import kernels_of
from late_interaction.engines.local.postings import BLOCK_DOCUMENTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from late_interaction.engines.local.search.buffers import Buffers
    from late_interaction.engines.local.search.selection import Part, Selection

__all__ = ["Scan"]

_kernels = partial(kernels_of, "late_interaction.engines.local.kernels")

_LANES = 32
"""Query tokens that share a mask of 64 bits, at most. Fewer have more levels each, up to `_MAX_LEVELS`."""

_MAX_LEVELS = 8

_FLOOR_SHARE = np.float32(0.5)
"""How far between the mean of the centroids and the highest a score must be to count."""


_DIRECT_COST, _ENTRY_COST, _DOCUMENT_COST = 1.0, 0.6, 0.4
"""Nanoseconds for a token that is scanned directly; for an entry of a posting list, and for a document beside it."""


class Scan:
    """Coarse scores of all documents of a selection. Documents are taken from it, the best first.

    Args:
        scores: Of centroids, (centroids, lanes).
        mean: The mean score of centroids by query token, (query tokens,).
        highest: The highest, (query tokens,).
        selection: The documents.
        buffers: Reused memory, which belongs to this query.
    """

    def __init__(
        self,
        scores: NDArray[np.float32],
        mean: NDArray[np.float32],
        highest: NDArray[np.float32],
        selection: Selection,
        buffers: Buffers,
    ) -> None:
        self._selection, self._buffers, self._taken = selection, buffers, 0
        floor = mean + _FLOOR_SHARE * (highest - mean)
        words = -(-len(floor) // _LANES)
        lanes = -(-len(floor) // words)
        levels = min(64 // lanes, _MAX_LEVELS)
        step = np.float32(max((highest - floor).max() / levels, np.finfo(np.float32).tiny))
        self._step, self._floor = float(step), float(floor.sum(dtype=np.float64)) - float(step)
        self._counts = buffers.get("counts", np.uint16, selection.total)
        self._counts[:] = 0
        masks = buffers.get("masks", np.uint64, len(scores))
        active = buffers.get("active", np.int64, len(scores) + 1)
        for first in range(0, len(floor), lanes):
            found = _kernels().fill_masks(
                scores, first, floor[first : first + lanes], np.float32(1) / step, levels, masks, active
            )
            for part in selection.parts:
                self._add(part, masks, active[:found], base=int(first == 0))
        self._at_least = buffers.get("at least", np.int64, 64 * words + 3)
        histograms = buffers.get("histograms", np.int64, 4 * len(self._at_least)).reshape(4, -1)
        _kernels().count_levels(self._counts, histograms, self._at_least)

    def best(self, most: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Take the documents with the best coarse scores, of equal ones the first; return them, ascending, and scores.

        Args:
            most: How many.
        """
        documents, levels = self._take(1, most)
        return documents, np.asarray(self._floor + self._step * levels, np.float32)

    def others(self, least: float, most: int) -> NDArray[np.int64]:
        """Take the best of the documents that are left with at least this coarse score; return them, ascending.

        Args:
            least: The score.
            most: How many.
        """
        level = (least - self._floor) / self._step
        lowest = 1 if level <= 1 else math.ceil(min(level, len(self._at_least)))
        return self._take(lowest, most)[0]

    def _take(self, lowest: int, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        wanted = self._taken + most
        if lowest >= len(self._at_least) - 1:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        # The lowest level so that all documents above it are wanted.
        level = max(lowest, int(np.searchsorted(-self._at_least, -wanted, side="right")) - 1)
        above = int(self._at_least[level + 1]) if level + 1 < len(self._at_least) else 0
        n = max(0, min(most, int(self._at_least[level]) - self._taken))
        documents, levels = np.empty(n, np.int64), np.empty(n, np.int64)
        found = _kernels().take(self._counts, level, n - max(0, above - self._taken), documents, levels)
        self._taken += found
        return documents[:found], levels[:found]

    def _add(self, part: Part, masks: NDArray[np.uint64], active: NDArray[np.int64], *, base: int) -> None:
        segment = part.segment
        counts = self._counts[part.start : part.end]
        allowed = self._selection.allowed[part.start : part.end]
        postings = segment.postings
        if postings is None:
            _kernels().scan_codes(masks, segment.codes, segment.offsets, allowed, base, counts)
            return
        active = active[: np.searchsorted(active, postings.starts.shape[1] - 1)]
        entries = sum(_kernels().posting_entries(active, starts) for starts in postings.starts)
        if part.tokens * _DIRECT_COST < entries * _ENTRY_COST + len(counts) * _DOCUMENT_COST:
            _kernels().scan_codes(masks, segment.codes, segment.offsets, allowed, base, counts)
            return
        unions = self._buffers.get("unions", np.uint64, BLOCK_DOCUMENTS)
        bounds = postings.block_starts.tolist()
        for block, starts in enumerate(postings.starts):
            rows = slice(block * BLOCK_DOCUMENTS, (block + 1) * BLOCK_DOCUMENTS)
            lists = postings.lists[bounds[block] : bounds[block + 1]]
            _kernels().scan_postings(masks, active, starts, lists, allowed[rows], base, unions, counts[rows])
