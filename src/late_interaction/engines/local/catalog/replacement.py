"""What a step of compaction commits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from late_interaction.engines.local.catalog.reader import Place
    from late_interaction.engines.local.quantization.codebook import CodebookEntry
    from late_interaction.engines.local.storage.columns import ColumnFile
    from late_interaction.engines.local.storage.segment import SegmentEntry

__all__ = ["AddedPostings", "Replacement"]


@dataclass(frozen=True)
class Replacement:
    """A new segment that replaces old ones.

    Attributes:
        segments: The numbers of the old segments.
        entry: The entry of the new segment; None if every document was deleted.
        origins: The old place of each document of the new segment, in order.
        codebook: The entry of a new codebook; None to keep the current one.
    """

    segments: tuple[int, ...]
    entry: SegmentEntry | None
    origins: tuple[Place, ...] = ()
    codebook: CodebookEntry | None = None


@dataclass(frozen=True)
class AddedPostings:
    """Posting lists of a segment that had none.

    Attributes:
        segment: The number of the segment.
        name: The name of its directory.
        files: Their entries.
    """

    segment: int
    name: str
    files: tuple[ColumnFile, ...]
