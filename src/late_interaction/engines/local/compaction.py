"""Rewrite segments: drops deleted documents, merges small segments and compresses exact ones.

Each function writes the new files and returns what they replace; changes take effect when the catalog commits them. The
work is done outside of its transactions, so readers and other writers go on meanwhile.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.local.catalog.writer import Replacement
from late_interaction.engines.local.quantization.codebook import (
    Codebook,
    CodebookEntry,
    centroids_for,
    train,
    write_codebook,
)
from late_interaction.engines.local.storage.segment import CodedSegment, FlatSegment, SegmentWriter, in_blocks
from late_interaction.errors import CorruptIndexError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from late_interaction.engines.local.catalog.reader import Place
    from late_interaction.engines.local.quantization.codecs import Codec
    from late_interaction.engines.local.snapshot import Snapshot
    from late_interaction.engines.local.storage.names import Taken

__all__ = ["compact", "tidy"]

_FIRST_TRAINING_TOKENS = 65_536
"""Exact tokens from which a codebook is trained. Fewer are searched exactly in a few milliseconds."""

_BUFFER_TOKENS = 16_384
"""Exact tokens that may gather beside a codebook before they are compressed."""

_SMALL_TOKENS = 65_536
_FANOUT = 16
_MAX_DELETED_SHARE = 0.25

_GROWTH = 1.5
"""Extend the codebook when its target size exceeds its size by this factor."""

_DRIFT = 1.15
"""Extend the codebook when new tokens are farther from their centroids than usual by this factor."""

_BLOCK_TOKENS = 32_768
_SAMPLE_BYTES = 384 << 20
_SAMPLE_PER_CENTROID = 64


def tidy(root: Path, snapshot: Snapshot, names: Taken) -> Replacement | None:
    """Return the rewrite that is due after a commit, or None."""
    flat = _flat_segments(snapshot)
    enough = _FIRST_TRAINING_TOKENS if snapshot.codebook is None else _BUFFER_TOKENS
    if snapshot.codec is not None and _live_tokens(snapshot, flat) >= enough:
        return _compress(root, snapshot, names, snapshot.codec, flat)
    return _merge(root, snapshot, names, _crowded(snapshot))


def compact(root: Path, snapshot: Snapshot, names: Taken) -> Replacement | None:
    """Return the next step towards one segment without deleted documents, or None."""
    flat = _flat_segments(snapshot)
    trained = snapshot.codebook is not None
    if snapshot.codec is not None and flat and (trained or _live_tokens(snapshot, flat) >= _FIRST_TRAINING_TOKENS):
        return _compress(root, snapshot, names, snapshot.codec, flat)
    if len(snapshot.segments) > 1 or snapshot.has_deleted:
        return _merge(root, snapshot, names, list(snapshot.segments))
    return None


def _check(snapshot: Snapshot, numbers: Sequence[int]) -> None:
    """Refuse damaged segments: what is copied from them would be given new checksums, and pass for sound.

    Raises:
        CorruptIndexError: A byte is not what it was.
    """
    codebook = [] if snapshot.codebook_files is None else [snapshot.codebook_files]
    for folder in [*codebook, *(snapshot.segments[number] for number in numbers)]:
        for problem in folder.problems():
            raise CorruptIndexError(f"{problem} Restore the index from a copy.")


def _flat_segments(snapshot: Snapshot) -> list[int]:
    return [number for number, segment in snapshot.segments.items() if isinstance(segment, FlatSegment)]


def _live_tokens(snapshot: Snapshot, numbers: Sequence[int]) -> int:
    return sum(snapshot.living_tokens(number) for number in numbers)


def _crowded(snapshot: Snapshot) -> list[int]:
    """The segments worth merging now: 16 of one size and kind, or those of which much is dead.

    Sizes are powers of 16 of tokens, so that a token is copied a few times in its life and segments, each of which
    costs file handles and a step of every search, stay few.
    """
    tiers: dict[tuple[bool, int], list[int]] = {}
    for number, segment in snapshot.segments.items():
        larger = max(0.0, math.log(max(segment.entry.tokens, 1) / _SMALL_TOKENS, _FANOUT))
        tiers.setdefault((segment.entry.is_coded, math.ceil(larger)), []).append(number)
    for numbers in tiers.values():
        if len(numbers) >= _FANOUT:
            return numbers
    for number, segment in snapshot.segments.items():
        if len(snapshot.alive[number]) < (1 - _MAX_DELETED_SHARE) * segment.entry.documents:
            return [number]
    return []


def _merge(root: Path, snapshot: Snapshot, names: Taken, numbers: Sequence[int]) -> Replacement | None:
    """Copy the documents of segments of one kind that are not deleted into a new one, in order."""
    if not numbers:
        return None
    live = [number for number in numbers if len(snapshot.alive[number])]
    if not live:
        return Replacement(tuple(numbers), None)
    _check(snapshot, live)
    is_coded = isinstance(snapshot.segments[live[0]], CodedSegment)
    with SegmentWriter(root, names.take(), snapshot.dim, snapshot.codec if is_coded else None) as files:
        for number in live:
            segment = snapshot.segments[number]
            for positions in in_blocks(segment, snapshot.alive[number], _BLOCK_TOKENS):
                lengths, columns = segment.read(positions, once=True)
                files.append_documents(lengths, **columns)
        return Replacement(tuple(numbers), files.finish_segment(), _origins(snapshot, live))


def _compress(root: Path, snapshot: Snapshot, names: Taken, codec: Codec, numbers: Sequence[int]) -> Replacement:
    """Write the documents of flat segments that are not deleted as a coded one, with a larger codebook if it is due."""
    live = [number for number in numbers if len(snapshot.alive[number])]
    if not live:
        return Replacement(tuple(numbers), None)
    _check(snapshot, live)
    codebook, entry = _codebook_for(root, snapshot, names, live)
    with SegmentWriter(root, names.take(), snapshot.dim, codec) as files:
        for number in live:
            segment = snapshot.segments[number]
            for positions in in_blocks(segment, snapshot.alive[number], _BLOCK_TOKENS):
                lengths, columns = segment.read(positions, once=True)
                vectors = snapshot.rotated(columns)
                codes = codebook.assign(vectors)
                residuals, scales = codec.encode(vectors - codebook.centroids[codes])
                files.append_documents(lengths, codes=codes, scales=scales, residuals=residuals)
        return Replacement(tuple(numbers), files.finish_segment(), _origins(snapshot, live), entry)


def _codebook_for(
    root: Path, snapshot: Snapshot, names: Taken, numbers: Sequence[int]
) -> tuple[Codebook, CodebookEntry | None]:
    """The codebook to compress some segments with, and its entry if it is a new one.

    It grows with the collection, and where tokens of a new kind lie far from all its centroids.
    """
    target = centroids_for(_live_tokens(snapshot, list(snapshot.segments)), snapshot.dim)
    codebook, entry = snapshot.codebook, snapshot.codebook_entry
    if codebook is None or entry is None:
        sample = _sample(snapshot, list(snapshot.segments), target)
        codebook = train(sample, target)
        return codebook, write_codebook(root, names.take(), codebook, _residual_norm(codebook, sample))
    missing = target - len(codebook)
    if target >= _GROWTH * len(codebook):
        sample = _sample(snapshot, list(snapshot.segments), missing)
    else:
        sample = _sample(snapshot, numbers, missing)
        if missing <= 0 or not len(sample) or _residual_norm(codebook, sample) < _DRIFT * entry.residual_norm:
            return codebook, None
    codebook = codebook.extended(train(sample, missing))
    norm = max(entry.residual_norm, _residual_norm(codebook, sample))
    return codebook, write_codebook(root, names.take(), codebook, norm)


def _sample(snapshot: Snapshot, numbers: Sequence[int], centroids: int) -> NDArray[np.float32]:
    """Rotated token vectors drawn at random, enough to train so many centroids, (n, dim)."""
    wanted = min(_SAMPLE_PER_CENTROID * max(centroids, 256), _SAMPLE_BYTES // (4 * snapshot.dim))
    share = wanted / max(_live_tokens(snapshot, numbers), 1)
    rng = np.random.default_rng(0)
    parts = []
    for number in numbers:
        segment = snapshot.segments[number]
        for positions in in_blocks(segment, snapshot.alive[number], _BLOCK_TOKENS):
            lengths, columns = segment.read(positions, once=True)
            chosen = rng.random(sum(lengths)) < share
            parts.append(snapshot.rotated({name: column[chosen] for name, column in columns.items()}))
    return np.concatenate(parts)


def _residual_norm(codebook: Codebook, sample: NDArray[np.float32]) -> float:
    some = sample[:: max(1, len(sample) // 10_000)]
    return float(np.linalg.norm(some - codebook.centroids[codebook.assign(some)], axis=1).mean())


def _origins(snapshot: Snapshot, numbers: Sequence[int]) -> tuple[Place, ...]:
    return tuple((number, position) for number in numbers for position in snapshot.alive[number].tolist())
