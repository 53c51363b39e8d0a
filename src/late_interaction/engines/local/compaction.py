"""Merging segments: the records of living documents are copied, deleted ones are left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from late_interaction.engines.local.segment import SegmentWriter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from late_interaction.engines.local.rows import Writer
    from late_interaction.engines.local.snapshot import Snapshot

__all__ = ["all_segments", "merge", "small_segments"]

_SMALL_TOKENS = 65_536
_SMALL_SEGMENTS = 16


def small_segments(snapshot: Snapshot) -> list[int]:
    """The segments worth merging now: those of few tokens, once there are many. Each costs a file map and a step."""
    small = [number for number, segment in snapshot.segments.items() if segment.entry.tokens <= _SMALL_TOKENS]
    return small if len(small) >= _SMALL_SEGMENTS else []


def all_segments(snapshot: Snapshot) -> list[int]:
    """Every segment, unless there is nothing to gain: one segment, without deleted documents."""
    return list(snapshot.segments) if len(snapshot.segments) > 1 or snapshot.has_deleted else []


def merge(root: Path, dim: int, writer: Writer, snapshot: Snapshot, numbers: Sequence[int]) -> None:
    """Copy the living documents of some segments into a new one, in order, and forget the old ones."""
    with SegmentWriter(root, dim) as files:
        target = writer.add_segment()
        for number in numbers:
            for position in snapshot.alive[number].tolist():
                vectors = snapshot.segments[number].document(position)
                writer.move((number, position), (target, files.append(vectors)))
        writer.finish_segment(target, files.finish())
    writer.remove_segments(numbers)
