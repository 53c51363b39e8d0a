"""One state of the index in memory: its segments, mapped, and which of their documents live."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.local.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from late_interaction.engines.local.rows import Reader

__all__ = ["Snapshot", "Snapshots"]


@dataclass(frozen=True)
class Snapshot:
    """A state of the index.

    Attributes:
        generation: The catalog's name for this state.
        segments: Segments by number, oldest first.
        alive: By segment, the positions of its documents that are not deleted, ascending.
    """

    generation: int
    segments: Mapping[int, Segment]
    alive: Mapping[int, NDArray[np.int64]]

    @property
    def has_deleted(self) -> bool:
        """Whether some document of a segment is deleted."""
        return any(len(alive) < self.segments[number].entry.documents for number, alive in self.alive.items())


class Snapshots:
    """Gives the snapshot that belongs to a catalog transaction, mapping only segments it has not mapped yet."""

    def __init__(self, root: Path, dim: int) -> None:
        self._root = root
        self._dim = dim
        self._latest = Snapshot(-1, {}, {})
        self._mutex = threading.Lock()

    def at(self, reader: Reader) -> Snapshot:
        """The snapshot of the state that the reader sees.

        Raises:
            SegmentMissingError: A file is not there.
            CorruptIndexError: A file is damaged.
        """
        generation = reader.generation
        if self._latest.generation == generation:
            return self._latest
        with self._mutex:
            known = {segment.entry.name: segment for segment in self._latest.segments.values()}
            segments = {
                number: known.get(entry.name) or Segment(self._root, entry, self._dim)
                for number, entry in reader.segments().items()
            }
            dead: dict[int, list[int]] = {}
            for number, position in reader.tombstones():
                dead.setdefault(number, []).append(position)
            alive = {
                number: np.delete(np.arange(segment.entry.documents), dead.get(number, []))
                for number, segment in segments.items()
            }
            snapshot = Snapshot(generation, segments, alive)
            if generation > self._latest.generation:  # a slow reader of an older state does not turn back the clock
                self._latest = snapshot
            return snapshot
