"""Rewrite segments: drop deleted documents, merge small segments and compress exact ones.

Each function writes the new files and returns what they replace; changes take effect when the catalog commits them. The
files are written outside of transactions, so readers and other writers are not blocked.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from late_interaction.engines.local.catalog.replacement import AddedPostings, Replacement
from late_interaction.engines.local.quantization.codebook import Codebook, CodebookEntry, write_codebook
from late_interaction.engines.local.quantization.training import centroids_for, train
from late_interaction.engines.local.storage.segment import CompressedSegment, UncompressedSegment, in_blocks
from late_interaction.engines.local.storage.segment_writer import SegmentWriter
from late_interaction.engines.parallel import in_order
from late_interaction.errors import CorruptIndexError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from late_interaction.engines.local.catalog.reader import Place
    from late_interaction.engines.local.quantization.codecs import Codec
    from late_interaction.engines.local.snapshot import Snapshot
    from late_interaction.engines.local.storage.columns import ColumnWriter
    from late_interaction.engines.local.storage.names import Taken

    _Block = tuple[list[int], dict[str, NDArray[Any]]]
    """The lengths of some documents, and the columns of their tokens."""

__all__ = ["CODEBOOK", "Step", "Workspace", "due", "due_for_one_segment"]

CODEBOOK = -1
"""Stands for the codebook among the numbers of segments that a step claims."""

_MIN_TRAINING_TOKENS = 65_536
"""Train the first codebook at this many exact tokens. Fewer are searched exactly in a few milliseconds."""

_MAX_BUFFER_TOKENS = 16_384
"""Compress exact tokens at this many, once there is a codebook."""

_SMALLEST_TIER_TOKENS = 4096
_MERGED_SEGMENTS = 16
"""Merge this many segments of one tier. The segments of a tier are at most this many times as large as those below."""

_MAX_DELETED_SHARE = 0.25
"""Rewrite a segment when a larger share of its documents is deleted."""

_MIN_GROWTH_FACTOR = 1.5
"""Extend the codebook when its target size exceeds its size by this factor."""

_MIN_DRIFT_FACTOR = 1.15
"""Extend the codebook when new tokens are farther from their centroids than usual by this factor."""

_BLOCK_TOKENS = 32_768  # read and written at a time
_MAX_SAMPLE_BYTES = 384 << 20
_SAMPLE_TOKENS_PER_CENTROID = 64
"""With 48, training takes three quarters of the time, and recall@10 of 700,000 tokens is .970 instead of .973."""

_MIN_SAMPLED_CENTROIDS = 256
_UNIT_MEDIAN, _UNIT_DEVIATION = 0.15, 0.08
"""Decoded vectors have about these lengths, and vary so much, at most, if they were made from vectors of length 1."""

_SMALLEST_NORM = 1e-12
_MAX_NORM_TOKENS = 10_000  # the mean distance from the centroid is estimated from about this many tokens


class Workspace(NamedTuple):
    """Where new files are written.

    Attributes:
        root: The directory of the index.
        names: Names for new directories.
        exclusively: Calls a function while no one else writes to the index or closes it.
        threads: How many threads a step may use.
    """

    root: Path
    names: Taken
    exclusively: Callable[[Callable[[], ColumnWriter]], ColumnWriter]
    threads: int


class Step(NamedTuple):
    """A part of compaction that is due.

    Attributes:
        tokens: The tokens that it reads, which its time is proportional to.
        claims: The numbers of its segments, and `CODEBOOK` if it may write a codebook. Steps at the same time must not
            have any of these in common.
        write: Writes new files and returns what to commit.
    """

    tokens: int
    claims: frozenset[int]
    write: Callable[[Workspace], Replacement | AddedPostings]


def due(snapshot: Snapshot, claimed: Collection[int]) -> Step | None:
    """Return what is due after a commit and has nothing that other steps have claimed, or None if nothing is."""
    free = [number for number in snapshot.segments if number not in claimed]
    uncompressed = _uncompressed_segments(snapshot, free)
    enough = _MIN_TRAINING_TOKENS if snapshot.codebook is None else _MAX_BUFFER_TOKENS
    if snapshot.codec is not None and CODEBOOK not in claimed and _live_tokens(snapshot, uncompressed) >= enough:
        return _compressing(snapshot, snapshot.codec, uncompressed)
    for numbers in _due_for_merging(snapshot, free):
        step = _merging(snapshot, numbers)
        if step.claims.isdisjoint(claimed):
            return step
    return _adding_postings(snapshot, free)


def due_for_one_segment(snapshot: Snapshot) -> Step | None:
    """Return the next step toward one segment without deleted documents, or None at the end."""
    numbers = list(snapshot.segments)
    uncompressed = _uncompressed_segments(snapshot, numbers)
    enough = snapshot.codebook is not None or _live_tokens(snapshot, uncompressed) >= _MIN_TRAINING_TOKENS
    if snapshot.codec is not None and uncompressed and enough:
        return _compressing(snapshot, snapshot.codec, uncompressed)
    if len(numbers) > 1 or snapshot.has_deleted or _outdated(snapshot, numbers):
        return _merging(snapshot, numbers)
    return _adding_postings(snapshot, numbers)


def _compressing(snapshot: Snapshot, codec: Codec, numbers: list[int]) -> Step:
    tokens, everything = _live_tokens(snapshot, numbers), _live_tokens(snapshot, list(snapshot.segments))
    missing = centroids_for(everything, snapshot.dim) - snapshot.centroids
    if missing >= (_MIN_GROWTH_FACTOR - 1) * snapshot.centroids:
        tokens += min(everything, _sample_size(snapshot.dim, missing))
    return Step(tokens, frozenset([*numbers, CODEBOOK]), partial(_compress, snapshot, codec, numbers))


def _merging(snapshot: Snapshot, numbers: list[int]) -> Step:
    claims = [*numbers, CODEBOOK] if _outdated(snapshot, numbers) else numbers
    return Step(_live_tokens(snapshot, numbers), frozenset(claims), partial(_merge, snapshot, numbers))


def _adding_postings(snapshot: Snapshot, numbers: Sequence[int]) -> Step | None:
    for number in numbers:
        segment = snapshot.segments[number]
        if isinstance(segment, CompressedSegment) and segment.lacks_postings:
            return Step(segment.entry.tokens, frozenset([number]), partial(_add_postings, snapshot, number, segment))
    return None


def _check(snapshot: Snapshot, numbers: Sequence[int]) -> None:
    """Check segments before they are copied: a copy of damaged bytes would get new, matching checksums.

    Raises:
        CorruptIndexError: A file does not match its checksum.
    """
    codebook = [] if snapshot.codebook_files is None else [snapshot.codebook_files]
    for folder in [*codebook, *(snapshot.segments[number] for number in numbers)]:
        for problem in folder.problems():
            raise CorruptIndexError(f"{problem} Restore the index from a copy.")


def _uncompressed_segments(snapshot: Snapshot, numbers: Sequence[int]) -> list[int]:
    return [number for number in numbers if isinstance(snapshot.segments[number], UncompressedSegment)]


def _live_tokens(snapshot: Snapshot, numbers: Sequence[int]) -> int:
    return sum(snapshot.live_tokens(number) for number in numbers)


def _due_for_merging(snapshot: Snapshot, numbers: Sequence[int]) -> Iterator[list[int]]:
    """Yield the numbers of segments to merge: 16 of one tier and kind, or one with many deleted documents.

    The sizes of tiers are powers of 16. So segments, each of which costs file handles and time in every search, stay
    few, and a token is copied only a few times.
    """
    tiers: dict[tuple[bool, int], list[int]] = {}
    for number in numbers:
        segment = snapshot.segments[number]
        larger = max(0.0, math.log(max(segment.entry.tokens, 1) / _SMALLEST_TIER_TOKENS, _MERGED_SEGMENTS))
        tiers.setdefault((segment.entry.is_compressed, math.ceil(larger)), []).append(number)
    yield from (tier for tier in tiers.values() if len(tier) >= _MERGED_SEGMENTS)
    for number in numbers:
        if len(snapshot.live_positions[number]) < (1 - _MAX_DELETED_SHARE) * snapshot.segments[number].entry.documents:
            yield [number]


def _merge(snapshot: Snapshot, numbers: Sequence[int], space: Workspace) -> Replacement:
    """Copy the documents of segments of one kind that are not deleted into a new segment, in order."""
    live = [number for number in numbers if len(snapshot.live_positions[number])]
    if not live:
        return Replacement(tuple(numbers), None)
    _check(snapshot, live)
    is_compressed = isinstance(snapshot.segments[live[0]], CompressedSegment)
    if is_compressed and _outdated(snapshot, live):
        return _convert(snapshot, numbers, live, space)
    codec = snapshot.codec if is_compressed else None
    with SegmentWriter(space.root, space.names.take(), snapshot.dim, codec, snapshot.centroids) as files:
        for lengths, columns in _blocks(snapshot, live):
            files.append_documents(lengths, **columns)
        return Replacement(tuple(numbers), files.finish_segment(), _origins(snapshot, live))


def _add_postings(snapshot: Snapshot, number: int, segment: CompressedSegment, space: Workspace) -> AddedPostings:
    """Write posting lists for a segment of an older format that lacks them; its other columns stay as they are."""
    _check(snapshot, [number])
    return AddedPostings(number, segment.entry.name, segment.write_postings(space.exclusively))


def _outdated(snapshot: Snapshot, numbers: Sequence[int]) -> set[int]:
    """Return which of some segments have the columns of an older format."""
    segments = {number: snapshot.segments[number] for number in numbers}
    return {
        number
        for number, segment in segments.items()
        if isinstance(segment, CompressedSegment) and not segment.is_current
    }


def _convert(snapshot: Snapshot, numbers: Sequence[int], live: Sequence[int], space: Workspace) -> Replacement:
    """Copy the documents of compressed segments that are not deleted into a new one, encoding outdated ones again."""
    codec, codebook = snapshot.coding
    entry = None
    if not (snapshot.codebook_entry and snapshot.codebook_entry.has_direction):
        codebook = codebook.directed()
        norm = 0.0 if snapshot.codebook_entry is None else snapshot.codebook_entry.residual_norm
        entry = write_codebook(space.root, space.names.take(), codebook, norm)
    outdated = _outdated(snapshot, live)
    with SegmentWriter(space.root, space.names.take(), snapshot.dim, codec, len(codebook)) as files:
        for number in live:
            unit = number in outdated and _has_unit_vectors(snapshot, number)
            for lengths, columns in _blocks(snapshot, [number]):
                if number in outdated:
                    vectors = snapshot.rotated(columns)
                    if unit:
                        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _SMALLEST_NORM)
                    columns = {"codes": columns["codes"], **codec.encode(vectors, columns["codes"], codebook)}
                files.append_documents(lengths, **columns)
        return Replacement(tuple(numbers), files.finish_segment(), _origins(snapshot, live), entry)


def _has_unit_vectors(snapshot: Snapshot, number: int) -> bool:
    """Return whether the vectors that an outdated segment was made from had unit length, as far as can be told.

    The error of the older codec is perpendicular to the residual, so the squared length of a decoded vector is that of
    the vector, the squared length of the error, and a term that is 0 on average.
    """
    lengths = [np.empty(0, np.float32)]
    for _, columns in _blocks(snapshot, [number]):
        lengths.append(np.linalg.norm(snapshot.rotated(columns), axis=1))
        if sum(map(len, lengths)) >= _MAX_NORM_TOKENS:
            break
    found = np.concatenate(lengths)
    found = found[found > 0]  # padding tokens of length 0 stay as they are
    return len(found) > 0 and abs(float(np.median(found)) - 1) < _UNIT_MEDIAN and float(found.std()) < _UNIT_DEVIATION


def _compress(snapshot: Snapshot, codec: Codec, numbers: Sequence[int], space: Workspace) -> Replacement:
    """Compress the documents of segments that are not deleted into a new one, extending the codebook if that is due."""
    live = [number for number in numbers if len(snapshot.live_positions[number])]
    if not live:
        return Replacement(tuple(numbers), None)
    _check(snapshot, live)
    codebook, entry = _codebook_for(snapshot, live, space)

    def compressed(block: _Block) -> _Block:
        lengths, columns = block
        vectors = snapshot.rotated(columns)
        codes = codebook.assign(vectors)
        return lengths, {"codes": codes, **codec.encode(vectors, codes, codebook)}

    with SegmentWriter(space.root, space.names.take(), snapshot.dim, codec, len(codebook)) as files:
        for lengths, columns in in_order(compressed, _blocks(snapshot, live), space.threads):
            files.append_documents(lengths, **columns)
        return Replacement(tuple(numbers), files.finish_segment(), _origins(snapshot, live), entry)


def _blocks(snapshot: Snapshot, numbers: Sequence[int]) -> Iterator[_Block]:
    """Yield some documents of segments at a time that are not deleted, in order."""
    for number in numbers:
        segment = snapshot.segments[number]
        for positions in in_blocks(segment, snapshot.live_positions[number], _BLOCK_TOKENS):
            yield segment.read(positions, once=True)


def _codebook_for(
    snapshot: Snapshot, numbers: Sequence[int], space: Workspace
) -> tuple[Codebook, CodebookEntry | None]:
    """Return the codebook to compress some segments with, and its entry if it was written now.

    The codebook grows with the collection, and when new tokens are far from all centroids.
    """
    target = centroids_for(_live_tokens(snapshot, list(snapshot.segments)), snapshot.dim)
    codebook, entry = snapshot.codebook, snapshot.codebook_entry
    if codebook is None or entry is None:
        sample = _sample(snapshot, list(snapshot.segments), target, space.threads)
        codebook = train(sample, target, threads=space.threads)
        return codebook, write_codebook(space.root, space.names.take(), codebook, _residual_norm(codebook, sample))
    directed = codebook if entry.has_direction else codebook.directed()
    missing = target - len(codebook)
    if target >= _MIN_GROWTH_FACTOR * len(codebook):
        # Without residuals, the vectors of compressed segments are centroids that the codebook has already.
        has_residuals = bool(snapshot.codec and snapshot.codec.columns)
        sample = _sample(snapshot, list(snapshot.segments) if has_residuals else numbers, missing, space.threads)
    else:
        sample = _sample(snapshot, numbers, missing, space.threads)
        drifted_norm = _MIN_DRIFT_FACTOR * entry.residual_norm
        if missing <= 0 or not len(sample) or _residual_norm(codebook, sample) < drifted_norm:
            if directed is codebook:
                return codebook, None
            return directed, write_codebook(space.root, space.names.take(), directed, entry.residual_norm)
    codebook = directed.extended(train(sample, missing, directed.direction, threads=space.threads))
    norm = max(entry.residual_norm, _residual_norm(codebook, sample))
    return codebook, write_codebook(space.root, space.names.take(), codebook, norm)


def _sample_size(dim: int, centroids: int) -> int:
    """Return how many token vectors train this many centroids."""
    wanted = _SAMPLE_TOKENS_PER_CENTROID * max(centroids, _MIN_SAMPLED_CENTROIDS)
    return min(wanted, _MAX_SAMPLE_BYTES // (4 * dim))


def _sample(snapshot: Snapshot, numbers: Sequence[int], centroids: int, threads: int) -> NDArray[np.float32]:
    """Return a random sample of token vectors in rotated coordinates, (n, dim), to train this many centroids."""
    share = _sample_size(snapshot.dim, centroids) / max(_live_tokens(snapshot, numbers), 1)
    rng = np.random.default_rng(0)

    def chosen(block: _Block) -> dict[str, NDArray[Any]]:
        lengths, columns = block
        tokens = np.flatnonzero(rng.random(sum(lengths)) < share)
        return {name: column.take(tokens, axis=0) for name, column in columns.items()}

    blocks = map(chosen, _blocks(snapshot, numbers))
    return np.concatenate(list(in_order(snapshot.rotated, blocks, threads)))


def _residual_norm(codebook: Codebook, sample: NDArray[np.float32]) -> float:
    """Return the mean distance of token vectors from their centroids, estimated."""
    some = sample[:: max(1, len(sample) // _MAX_NORM_TOKENS)]
    return float(np.linalg.norm(some - codebook.centroids[codebook.assign(some)], axis=1).mean())


def _origins(snapshot: Snapshot, numbers: Sequence[int]) -> tuple[Place, ...]:
    return tuple((number, position) for number in numbers for position in snapshot.live_positions[number].tolist())
