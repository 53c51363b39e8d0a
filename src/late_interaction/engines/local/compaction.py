"""Merging segments: the records of living documents are copied, deleted ones are left behind."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from late_interaction.engines.local.segment import SegmentWriter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from late_interaction.engines.local.rows import Writer
    from late_interaction.engines.local.snapshot import Snapshot

__all__ = ["all_segments", "crowded_segments", "merge"]

_SMALL_TOKENS = 65_536
_FANOUT = 16


def crowded_segments(snapshot: Snapshot) -> list[int]:
    """The segments worth merging now: those of one size once there are 16 of them, and those without a living document.

    Sizes are powers of 16 of tokens, so that a token is copied a few times in its life and segments, each of which
    costs file handles and a step of every search, stay few.
    """
    tiers: dict[int, list[int]] = {}
    for number, segment in snapshot.segments.items():
        larger = max(0.0, math.log(max(segment.entry.tokens, 1) / _SMALL_TOKENS, _FANOUT))
        tiers.setdefault(math.ceil(larger), []).append(number)
    crowded = next((numbers for numbers in tiers.values() if len(numbers) >= _FANOUT), [])
    dead = [number for number, alive in snapshot.alive.items() if not len(alive) and number not in crowded]
    return sorted(dead + crowded)


def all_segments(snapshot: Snapshot) -> list[int]:
    """Every segment, unless there is nothing to gain: one segment, without deleted documents."""
    return list(snapshot.segments) if len(snapshot.segments) > 1 or snapshot.has_deleted else []


def merge(root: Path, dim: int, writer: Writer, snapshot: Snapshot, numbers: Sequence[int]) -> None:
    """Copy the living documents of some segments into a new one, in order, and forget the old ones."""
    if any(len(snapshot.alive[number]) for number in numbers):
        with SegmentWriter(root, dim) as files:
            target = writer.add_segment()
            for number in numbers:
                for position in snapshot.alive[number].tolist():
                    vectors = snapshot.segments[number].document(position)
                    writer.move((number, position), (target, files.append(vectors)))
            writer.finish_segment(target, files.finish())
    writer.remove_segments(numbers)
