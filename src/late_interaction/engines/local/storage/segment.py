"""A segment: the token vectors of some documents, in immutable memory-mapped columns.

``offsets`` (documents + 1; i64) is where the tokens of each document begin, and where the last end, in the other
columns. An uncompressed segment has the token vectors: ``vectors`` (tokens, dim; f16). A compressed one has the number
of the centroid of each token, ``codes`` (tokens; u16), and the columns of the codec. The residual codec has ``scales``
(tokens; f16), ``along`` (tokens; u8; since format 5) and ``residuals`` (tokens, bytes; u8); codes alone (since format
7) have none. If it is large enough, it has posting lists (since format 7; see `postings`): ``posting_starts`` (blocks,
centroids + 1; u32) and ``postings`` (n; u16).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.engines.local.postings import LISTS, STARTS, Postings, are_worthwhile, columns_for, stored_columns
from late_interaction.engines.local.postings.building import append_postings, differing_block
from late_interaction.engines.local.storage.columns import ColumnFile, ColumnFolder, ColumnWriter, is_count
from late_interaction.engines.local.storage.files import SEGMENTS, is_name
from late_interaction.errors import CorruptIndexError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from late_interaction.engines.local.quantization.codecs import Codec

__all__ = [
    "CompressedSegment",
    "Segment",
    "SegmentEntry",
    "UncompressedSegment",
    "in_blocks",
    "open_segment",
    "tokens_of",
]

_UNCOMPRESSED_FILES = ["offsets.npy", "vectors.npy"]
_COMPRESSED_FILES = ["along.npy", "codes.npy", "offsets.npy", "residuals.npy", "scales.npy"]
_CODES_ALONE_FILES = ["codes.npy", "offsets.npy"]
_COMPRESSED_FILES_BEFORE_5 = ["codes.npy", "offsets.npy", "residuals.npy", "scales.npy"]
_POSTING_FILES = [f"{STARTS}.npy", f"{LISTS}.npy"]
_ALLOWED_FILES = (
    _UNCOMPRESSED_FILES,
    _COMPRESSED_FILES_BEFORE_5,
    _COMPRESSED_FILES,
    sorted([*_COMPRESSED_FILES, *_POSTING_FILES]),
    _CODES_ALONE_FILES,
    sorted([*_CODES_ALONE_FILES, *_POSTING_FILES]),
)


@dataclass(frozen=True)
class SegmentEntry:
    """The entry of a segment in the catalog.

    Attributes:
        name: The name of its directory.
        documents: The number of documents, deleted ones included.
        tokens: The number of their tokens.
        files: Its columns.
    """

    name: str
    documents: int
    tokens: int
    files: tuple[ColumnFile, ...]

    def problem(self) -> str | None:
        """Return what is wrong with the entry: names that no release writes, or numbers out of range; None if sound."""
        names = sorted(str(file.name) for file in self.files)
        if not is_name(self.name):
            return f"the name {self.name!r:.80}"
        if names not in _ALLOWED_FILES:
            return f"the files {', '.join(names) or 'none'!r:.200}"
        if not (is_count(self.documents) and is_count(self.tokens) and all(file.is_sound for file in self.files)):
            return "a number out of range"
        return None

    @property
    def is_compressed(self) -> bool:
        """Whether its vectors are compressed."""
        return any(file.name == "codes.npy" for file in self.files)

    @property
    def has_postings(self) -> bool:
        """Whether it has posting lists."""
        return any(file.name == f"{LISTS}.npy" for file in self.files)


class Segment(ColumnFolder):
    """A segment open for reading.

    Attributes:
        entry: Its entry in the catalog.

    Raises:
        ColumnsMissingError: A file is missing.
        CorruptIndexError: A file is not a regular file, or has another size, type or shape than the catalog says.
    """

    def __init__(self, root: Path, entry: SegmentEntry, columns: Mapping[str, tuple[Any, tuple[int, ...]]]) -> None:
        offsets = {"offsets": (np.int64, (entry.documents + 1,))}
        super().__init__(root / SEGMENTS / entry.name, entry.files, {**offsets, **columns})
        self.entry = entry
        self._offsets = self.columns["offsets"]

    @property
    @abstractmethod
    def token_columns(self) -> dict[str, NDArray[Any]]:
        """The columns of the tokens."""
        ...

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Where the tokens of each document begin, and where the last end, (documents + 1,), ascending.

        Raises:
            CorruptIndexError: They are not ascending from 0 to the number of tokens. Compiled kernels do not check.
        """
        return self._sound(self._offsets)

    @cached_property
    def longest(self) -> int:
        """The number of tokens of the longest document."""
        return int(np.diff(self.offsets).max(initial=0))

    @cached_property
    def empty(self) -> NDArray[np.int64]:
        """The positions of the documents without tokens, ascending."""
        return np.flatnonzero(self.offsets[1:] == self.offsets[:-1])

    def lengths(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of tokens of some documents, (n,)."""
        return np.asarray(self.offsets[positions + 1] - self.offsets[positions])

    def read(self, positions: NDArray[np.int64], *, once: bool = False) -> tuple[list[int], dict[str, NDArray[Any]]]:
        """Return the lengths of some documents, given by ascending positions, and the columns of their tokens.

        Args:
            positions: The documents, (n,).
            once: Read the files instead of mapped pages, which would fill memory. For a pass through the whole segment
                by the writer: for others, the files may have been removed.
        """
        starts, ends = self.offsets[positions], self.offsets[positions + 1]
        lengths = ends - starts
        first, last = int(starts[0]), int(ends[-1])
        columns = {
            name: self.rows(name, first, last) if once else column[first:last]
            for name, column in self.token_columns.items()
        }
        if last - first > lengths.sum():
            wanted = np.zeros(last - first, bool)
            wanted[tokens_of(starts - first, lengths)] = True
            columns = {name: column[wanted] for name, column in columns.items()}
        return lengths.tolist(), columns

    def problems(self) -> list[str]:
        """Return what is wrong with the files: their checksums and the order of their numbers."""
        return super().problems() or self._order_problems()

    def _sound(self, column: NDArray[Any]) -> NDArray[Any]:
        if problems := self._order_problems():
            raise CorruptIndexError(f"{problems[0]} Restore the index from a copy.")
        return column

    def _order_problems(self) -> list[str]:
        offsets = self._offsets
        if offsets[0] != 0 or offsets[-1] != self.entry.tokens or (offsets[1:] < offsets[:-1]).any():
            return [f"{self.path / 'offsets.npy'} does not partition the {self.entry.tokens} tokens."]
        return []


class UncompressedSegment(Segment):
    """A segment of uncompressed vectors."""

    def __init__(self, root: Path, entry: SegmentEntry, dim: int) -> None:
        super().__init__(root, entry, {"vectors": (np.float16, (entry.tokens, dim))})
        self.vectors = self.columns["vectors"]

    @property
    def token_columns(self) -> dict[str, NDArray[Any]]:
        """The token vectors."""
        return {"vectors": self.vectors}

    def document(self, position: int) -> NDArray[np.float16]:
        """Return the token vectors of one document, (tokens, dim)."""
        return self.vectors[self.offsets[position] : self.offsets[position + 1]]


class CompressedSegment(Segment):
    """A segment of compressed vectors.

    Args:
        root: The directory of the index.
        entry: Its entry in the catalog.
        codec: The codec of the index.
        centroids: The number of centroids in the codebook.

    Attributes:
        is_current: Whether it has the columns that the codec writes today.
    """

    def __init__(self, root: Path, entry: SegmentEntry, codec: Codec, centroids: int) -> None:
        columns = {"codes": (np.uint16, ()), **codec.columns}
        if not any(file.name == "along.npy" for file in entry.files):
            columns.pop("along", None)
        columns = {name: (kind, (entry.tokens, *row)) for name, (kind, row) in columns.items()}
        super().__init__(root, entry, {**columns, **_posting_columns(root, entry, centroids)})
        self._centroids = centroids
        self._codec_columns = {name: self.columns[name] for name in columns if name != "codes"}
        self._codes = self.columns["codes"]
        self.is_current = self._codec_columns.keys() == codec.columns.keys()

    @cached_property
    def codes(self) -> NDArray[np.uint16]:
        """The centroid of each token, (tokens,).

        Raises:
            CorruptIndexError: A number is beyond the centroids of the codebook. Compiled kernels do not check.
        """
        return self._sound(self._codes)

    @cached_property
    def token_columns(self) -> dict[str, NDArray[Any]]:
        """The centroid of each token, ``codes``, and the columns of the codec."""
        return {"codes": self.codes, **self._codec_columns}

    @cached_property
    def postings(self) -> Postings | None:
        """The posting lists; None if it has none.

        Raises:
            CorruptIndexError: Where the lists begin is damaged. Compiled kernels do not check.
        """
        if not self.entry.has_postings:
            return None
        postings = Postings(self.columns[STARTS], self.columns[LISTS])
        if not postings.are_consistent:
            raise CorruptIndexError(
                f"{self.path / STARTS}.npy does not partition the {len(postings.lists)} entries of its posting lists. "
                "Restore the index from a copy."
            )
        return postings

    @property
    def lacks_postings(self) -> bool:
        """Whether it has no posting lists and should have."""
        entry = self.entry
        return (
            self.is_current
            and not entry.has_postings
            and are_worthwhile(entry.documents, entry.tokens, self._centroids)
        )

    def write_postings(
        self, exclusively: Callable[[Callable[[], ColumnWriter]], ColumnWriter]
    ) -> tuple[ColumnFile, ...]:
        """Write posting lists beside the other columns, durably; return their entries.

        Readers see them once the catalog names them. Until then, another call replaces them.

        Args:
            exclusively: Calls a function while no one else writes to the index or closes it. Then files are replaced:
                those of an engine that has been opened since must stay.
        """
        columns = columns_for(self._centroids)
        with exclusively(partial(ColumnWriter, self.path.parent, self.path.name, columns, is_new=False)) as writer:
            append_postings(writer, self.codes, self.offsets, self._centroids)
            return writer.finish()

    def posting_problems(self) -> list[str]:
        """Compare the posting lists with the codes; return what is wrong with them."""
        if self.postings is None or (block := differing_block(self.postings, self.codes, self.offsets)) is None:
            return []
        return [f"The posting lists of {self.path} are not those of its codes, from block {block} on."]

    def _order_problems(self) -> list[str]:
        if self._codes.max(initial=0) >= max(self._centroids, 1):
            return [f"{self.path / 'codes.npy'} refers to centroids beyond the {self._centroids} of the codebook."]
        return super()._order_problems()


def _posting_columns(root: Path, entry: SegmentEntry, centroids: int) -> dict[str, tuple[Any, tuple[int, ...]]]:
    """Return the type and the shape of the columns of posting lists; none if the segment has no posting lists."""
    if not entry.has_postings:
        return {}
    sizes = {file.name: file.content_size for file in entry.files}
    return stored_columns(
        root / SEGMENTS / entry.name,
        entry.documents,
        entry.tokens,
        centroids,
        (sizes[f"{STARTS}.npy"], sizes[f"{LISTS}.npy"]),
    )


def in_blocks(segment: Segment, positions: NDArray[np.int64], tokens: int) -> Iterator[NDArray[np.int64]]:
    """Yield ascending positions in blocks of documents that together have about this many tokens."""
    if len(positions):
        before = np.cumsum(segment.lengths(positions))
        yield from np.split(positions, np.flatnonzero(np.diff(before // tokens)) + 1)


def tokens_of(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers ``start, start + 1, …`` of the tokens of each document, one document after the other."""
    before = np.cumsum(lengths) - lengths
    return np.asarray(np.arange(lengths.sum()) + np.repeat(starts - before, lengths), np.int64)


def open_segment(root: Path, entry: SegmentEntry, dim: int, codec: Codec | None, centroids: int) -> Segment:
    """Open the segment of an entry.

    Args:
        root: The directory of the index.
        entry: Its entry in the catalog.
        dim: Dimension of the token vectors.
        codec: The codec of the index; None if it keeps vectors exact.
        centroids: The number of centroids in the codebook; 0 without a codebook.

    Raises:
        ColumnsMissingError: A file is missing.
        CorruptIndexError: A file is damaged, or the segment is compressed and the index has no codec or codebook.
    """
    if not entry.is_compressed:
        return UncompressedSegment(root, entry, dim)
    if codec is None or not centroids:
        raise CorruptIndexError(
            f"The segment {entry.name} is compressed, but the catalog has no codebook or no setting 'bits'. "
            "Restore the index from a copy."
        )
    return CompressedSegment(root, entry, codec, centroids)
