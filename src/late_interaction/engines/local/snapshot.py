"""A snapshot of the index: the mapped segments of one commit, and which of their documents are not deleted."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.engines.background import MAX_DOCUMENT_TOKENS, Background
from late_interaction.engines.local.catalog.word_lists.words import CommitWords
from late_interaction.engines.local.quantization.codebook import CodebookEntry, open_codebook
from late_interaction.engines.local.quantization.codecs import codec_for
from late_interaction.engines.local.quantization.rotation import rotated, rotation
from late_interaction.engines.local.sample import sampled_positions
from late_interaction.engines.local.storage.segment import open_segment
from late_interaction.errors import CorruptIndexError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from late_interaction.engines.local.catalog.reader import Place, Reader
    from late_interaction.engines.local.quantization.codebook import Codebook
    from late_interaction.engines.local.quantization.codecs import Codec
    from late_interaction.engines.local.search.selection import Selection
    from late_interaction.engines.local.storage.columns import ColumnFolder
    from late_interaction.engines.local.storage.segment import Segment

__all__ = ["Snapshot", "Snapshots"]


@dataclass(frozen=True)
class Snapshot:
    """The segments of one commit.

    Attributes:
        generation: The number of the commit.
        dim: Dimension of the token vectors.
        codec: Compresses vectors; None for an index that keeps them exact.
        codebook_entry: The codebook's entry in the catalog; None if there is no codebook yet.
        codebook_files: The files of the codebook.
        codebook: The codebook.
        segments: Segments by number, oldest first.
        live_positions: By segment number, the positions of the documents that are not deleted, ascending.
        selections: By filter, the documents that pass it, cached.
        words: The words of lexical search, cached.
    """

    generation: int
    dim: int
    codec: Codec | None
    codebook_entry: CodebookEntry | None
    codebook_files: ColumnFolder | None
    codebook: Codebook | None
    segments: Mapping[int, Segment]
    live_positions: Mapping[int, NDArray[np.int64]]
    selections: dict[str, Selection] = field(default_factory=dict)
    words: CommitWords = field(default_factory=CommitWords)

    @property
    def centroids(self) -> int:
        """The number of centroids in the codebook; 0 without a codebook."""
        return 0 if self.codebook_entry is None else self.codebook_entry.centroids

    @property
    def names(self) -> set[str]:
        """The names of the directories of this snapshot."""
        codebook = set() if self.codebook_entry is None else {self.codebook_entry.name}
        return codebook | {segment.entry.name for segment in self.segments.values()}

    @property
    def folders(self) -> list[ColumnFolder]:
        """The directories of this snapshot, open."""
        codebook = [] if self.codebook_files is None else [self.codebook_files]
        return [*codebook, *self.segments.values()]

    @property
    def has_deleted(self) -> bool:
        """Whether any segment contains deleted documents."""
        return any(
            len(positions) < self.segments[number].entry.documents for number, positions in self.live_positions.items()
        )

    def live_tokens(self, number: int) -> int:
        """Return the number of tokens of the documents of a segment that are not deleted."""
        return int(self.segments[number].lengths(self.live_positions[number]).sum())

    def vectors(self, place: Place) -> NDArray[np.float32]:
        """Return the token vectors of a document as they are stored, (tokens, dim); of compressed ones, decoded."""
        ((number, position),) = self.positions([place]).items()
        return self._decoded(self.segments[number].read(position)[1])

    def _decoded(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Return the vectors of columns of a segment, (tokens, dim)."""
        if "vectors" in columns:
            return np.asarray(columns["vectors"], np.float32)
        return np.asarray(self.rotated(columns) @ rotation(self.dim))

    @cached_property
    def background(self) -> Background:
        """The token vectors of a sample of the documents that are not deleted."""
        sampled = sampled_positions(self.segments, self.live_positions)
        documents = [self._documents(number, positions) for number, positions in sampled.items()]
        return Background.of([vectors for some in documents for vectors in some], self.dim)

    def _documents(self, number: int, positions: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        """Return the first token vectors of some documents of a segment, enough for the background."""
        segment = self.segments[number]
        parts = [segment.read(positions[at : at + 1])[1] for at in range(len(positions))]
        parts = [{name: column[:MAX_DOCUMENT_TOKENS] for name, column in part.items()} for part in parts]
        ends = np.cumsum(np.minimum(segment.lengths(positions), MAX_DOCUMENT_TOKENS))
        vectors = self._decoded({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
        return np.split(vectors, ends[:-1])

    def positions(self, places: Sequence[Place]) -> dict[int, NDArray[np.int64]]:
        """Return places, in any order, as ascending positions by segment.

        Raises:
            CorruptIndexError: A place is not in any segment. Compiled kernels do not check bounds.
        """
        if not places:
            return {}
        table = np.array(places)
        if table.dtype.kind != "i":
            raise CorruptIndexError(
                "The places of documents in the catalog are damaged. Restore the index from a copy."
            )
        table = table[np.lexsort((table[:, 1], table[:, 0]))]
        numbers, positions = table[:, 0], np.ascontiguousarray(table[:, 1], np.int64)
        starts = np.flatnonzero(numbers[1:] != numbers[:-1]) + 1
        by_segment = dict(zip(numbers[[0, *starts]].tolist(), np.split(positions, starts), strict=True))
        for number, some in by_segment.items():
            if number not in self.segments or some[0] < 0 or some[-1] >= self.segments[number].entry.documents:
                raise CorruptIndexError(
                    f"The catalog has documents at places that do not exist, from ({number}, {some[0]}) to "
                    f"({number}, {some[-1]}). Restore the index from a copy."
                )
        return by_segment

    def rotated(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Return the vectors of columns of a segment in rotated coordinates, (tokens, dim)."""
        if "vectors" in columns:
            return rotated(columns["vectors"])
        codec, codebook = self.coding
        return codec.decode(columns, codebook)

    @property
    def coding(self) -> tuple[Codec, Codebook]:
        """The codec and the codebook of compressed segments."""
        if self.codec is None or self.codebook is None:
            raise CorruptIndexError(
                "The catalog has compressed segments, but no codebook. Restore the index from a copy."
            )
        return self.codec, self.codebook


class Snapshots:
    """Opens snapshots, mapping only the files that the latest one has not mapped.

    Args:
        root: The directory of the index.
        dim: Dimension of the token vectors.
    """

    def __init__(self, root: Path, dim: int) -> None:
        self._root = root
        self._dim = dim
        self._latest = Snapshot(-1, dim, None, None, None, None, {}, {})
        self._mutex = threading.RLock()  # reentrant: a signal handler may call `at` while its thread is in `at`

    def at(self, reader: Reader) -> Snapshot:
        """Return the snapshot of the commit that the reader sees.

        Raises:
            ColumnsMissingError: A file is missing.
            CorruptIndexError: A file is damaged.
        """
        generation = reader.generation
        if self._latest.generation == generation:
            return self._latest
        with self._mutex:
            latest = self._latest
            bits, record = reader.setting("bits"), reader.setting("codebook")
            codec = None if bits is None else codec_for(self._dim, bits)
            entry = None if record is None else CodebookEntry.from_json(record)
            files, codebook = latest.codebook_files, latest.codebook
            if entry != latest.codebook_entry:
                files, codebook = (None, None) if entry is None else open_codebook(self._root, entry, self._dim)
            known = {segment.entry: segment for segment in latest.segments.values()}
            centroids = 0 if entry is None else entry.centroids
            segments = {
                number: known.get(found) or open_segment(self._root, found, self._dim, codec, centroids)
                for number, found in reader.segments().items()
            }
            live: dict[int, NDArray[np.int64]] = {}
            snapshot = Snapshot(generation, self._dim, codec, entry, files, codebook, segments, live)
            deleted = snapshot.positions(reader.tombstones())
            for number, segment in segments.items():
                live[number] = _all_but(segment.entry.documents, deleted.get(number))
            if generation > self._latest.generation:  # not if another thread has read a later commit meanwhile
                self._latest = snapshot
            return snapshot


def _all_but(documents: int, deleted: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Return the positions from 0 to the number of documents, without the deleted ones."""
    if deleted is None:
        return np.arange(documents, dtype=np.int64)
    is_live = np.ones(documents, bool)
    is_live[deleted] = False
    return np.asarray(np.flatnonzero(is_live), np.int64)
