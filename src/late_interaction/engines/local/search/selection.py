"""The documents that a search scores, and how those of all compressed segments are numbered together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.local.storage.segment import CompressedSegment, UncompressedSegment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from late_interaction.engines.local.snapshot import Snapshot

__all__ = ["Part", "Selection"]


@dataclass(frozen=True)
class Part:
    """The documents of one compressed segment that a search scores.

    Attributes:
        number: The number of the segment.
        segment: The segment.
        start: What its position 0 is in the numbering of all compressed documents.
        positions: Positions of the documents, ascending, (n,).
    """

    number: int
    segment: CompressedSegment
    start: int
    positions: NDArray[np.int64]

    @property
    def end(self) -> int:
        """Where the documents of the next segment start."""
        return self.start + self.segment.entry.documents

    @property
    def tokens(self) -> float:
        """About how many tokens its documents have."""
        return self.segment.entry.tokens * len(self.positions) / self.segment.entry.documents


class Selection:
    """The documents that a search scores. It is kept with the snapshot for repeated filters, and does not change.

    The documents of the compressed segments of which any is scored are numbered from 0, in order.

    Args:
        snapshot: The segments of one commit.
        positions: By segment number, the ascending positions of the documents to score.
    """

    def __init__(self, snapshot: Snapshot, positions: Mapping[int, NDArray[np.int64]]) -> None:
        self.uncompressed: dict[int, tuple[UncompressedSegment, NDArray[np.int64]]] = {}
        self.parts: list[Part] = []
        total = 0
        for number in sorted(positions):
            segment, some = snapshot.segments[number], positions[number]
            if isinstance(segment, UncompressedSegment):
                self.uncompressed[number] = segment, some
            elif isinstance(segment, CompressedSegment) and len(some):
                self.parts.append(Part(number, segment, total, some))
                total += segment.entry.documents
        self.total = total
        self._starts = np.array([part.start for part in self.parts], np.int64)

    @cached_property
    def count(self) -> int:
        """The number of compressed documents to score."""
        return sum(len(part.positions) for part in self.parts)

    @cached_property
    def documents(self) -> NDArray[np.int64]:
        """The numbers of compressed documents to score, ascending, (n,), without those that have no tokens."""
        if not self.parts:
            return np.empty(0, np.int64)
        return np.concatenate([part.start + part.positions[_filled(part)] for part in self.parts])

    @cached_property
    def empty(self) -> NDArray[np.int64]:
        """The numbers of compressed documents to score that have no tokens, ascending."""
        if not any(len(part.segment.empty) for part in self.parts):
            return np.empty(0, np.int64)
        return np.concatenate([part.start + part.positions[~_filled(part)] for part in self.parts])

    @cached_property
    def allowed(self) -> NDArray[np.uint8]:
        """1 for each of all compressed documents that is to be scored and has tokens, 0 for others, (total,)."""
        allowed = np.zeros(self.total, np.uint8)
        for part in self.parts:
            own = allowed[part.start : part.end]
            own[part.positions] = 1
            own[part.segment.empty] = 0
        return allowed

    def places(self, documents: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the segment numbers and the positions of compressed documents, (n,) each."""
        at = np.searchsorted(self._starts, documents, side="right") - 1
        numbers = np.array([part.number for part in self.parts], np.int64)
        return numbers[at], documents - self._starts[at]

    def split(self, documents: NDArray[np.int64]) -> list[tuple[Part, slice]]:
        """Return the parts that some ascending documents are of, and which of the documents."""
        if len(self.parts) == 1:
            return [(self.parts[0], slice(0, len(documents)))] if len(documents) else []
        cuts = [*np.searchsorted(documents, self._starts).tolist(), len(documents)]
        return [
            (part, slice(first, last))
            for part, first, last in zip(self.parts, cuts[:-1], cuts[1:], strict=True)
            if first < last
        ]


def _filled(part: Part) -> NDArray[np.bool_]:
    return np.asarray(part.segment.lengths(part.positions) > 0)
