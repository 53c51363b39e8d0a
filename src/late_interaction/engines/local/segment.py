"""A segment: the token vectors of the documents of one commit, in immutable memory-mapped columns.

Columns are plain ``.npy`` files, readable with ``numpy.load``: ``offsets`` (documents + 1, i64) says where each
document's tokens begin in ``vectors`` (tokens, dim; f16).
"""

from __future__ import annotations

import secrets
import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.engines.local.files import SEGMENTS, checksum, sync_directory, sync_file
from late_interaction.errors import CorruptIndexError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

__all__ = ["ColumnFile", "Segment", "SegmentEntry", "SegmentMissingError", "SegmentWriter"]


class SegmentMissingError(CorruptIndexError):
    """A segment's file is not there. A reader may be looking at a state that a merge has just replaced."""


@dataclass(frozen=True)
class ColumnFile:
    """What the catalog knows of one file of a segment."""

    name: str
    size: int
    checksum: int


@dataclass(frozen=True)
class SegmentEntry:
    """What the catalog knows of a segment."""

    name: str
    documents: int
    tokens: int
    files: tuple[ColumnFile, ...]


class SegmentWriter:
    """Streams documents into a new segment directory; memory stays that of one document.

    As a context manager it removes the directory unless `finish` was reached.
    """

    def __init__(self, root: Path, dim: int) -> None:
        self.name = secrets.token_hex(8)
        self.documents = 0
        self.tokens = 0
        self._path = root / SEGMENTS / self.name
        self._dim = dim
        self._offsets = [0]
        self._finished = False
        with _disk_errors(self._path):
            self._path.mkdir()
            self._file = (self._path / "vectors.npy").open("wb")
            self._file.write(_npy_header((0, dim), np.dtype(np.float16)))

    def __enter__(self) -> SegmentWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._finished:
            with suppress(OSError):  # what is buffered is of no use, and a full disk would not take it
                self._file.close()
            shutil.rmtree(self._path, ignore_errors=True)

    def append(self, vectors: NDArray[np.floating[Any]]) -> int:
        """Append one document, (tokens, dim); its position in the segment."""
        with _disk_errors(self._path):
            self._file.write(np.ascontiguousarray(vectors, dtype=np.float16).data)
        self.tokens += len(vectors)
        self._offsets.append(self.tokens)
        self.documents += 1
        return self.documents - 1

    def finish(self) -> SegmentEntry:
        """Make the files durable. They exist for readers once the catalog names them."""
        with _disk_errors(self._path):
            self._file.seek(0)
            self._file.write(_npy_header((self.tokens, self._dim), np.dtype(np.float16)))
            self._file.close()
            offsets = np.array(self._offsets, np.int64)
            (self._path / "offsets.npy").write_bytes(_npy_header(offsets.shape, offsets.dtype) + offsets.tobytes())
            files = []
            for path in sorted(self._path.iterdir()):
                sync_file(path)
                files.append(ColumnFile(path.name, path.stat().st_size, checksum(path)))
            sync_directory(self._path)
            sync_directory(self._path.parent)
        self._finished = True
        return SegmentEntry(self.name, self.documents, self.tokens, tuple(files))


class Segment:
    """A segment open for reading.

    Raises:
        CorruptIndexError: A file is missing, has another size than the catalog says, or is not a column.
    """

    def __init__(self, root: Path, entry: SegmentEntry, dim: int) -> None:
        self.entry = entry
        self.path = root / SEGMENTS / entry.name
        for file in entry.files:
            _check_size(self.path / file.name, file)
        self.offsets = self._column("offsets", (entry.documents + 1,), np.dtype(np.int64))
        self.vectors = self._column("vectors", (entry.tokens, dim), np.dtype(np.float16))

    def _column(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        path = self.path / f"{name}.npy"
        header = _npy_header(shape, dtype)
        try:
            with path.open("rb") as file:
                found = file.read(len(header))
                if found == header and 0 not in shape:
                    column = np.memmap(file, dtype, mode="r", offset=len(header), shape=shape)
                    return column.view(np.ndarray)
        except FileNotFoundError:
            raise _missing(path) from None
        if found != header:
            raise CorruptIndexError(
                f"{path} is no column of {dtype} {shape}, which the catalog expects. Restore the index from a copy."
            )
        return np.empty(shape, dtype)  # an empty file cannot be mapped

    def document(self, position: int) -> NDArray[np.float16]:
        """The stored token vectors of one document, (tokens, dim)."""
        return self.vectors[self.offsets[position] : self.offsets[position + 1]]

    def problems(self) -> list[str]:
        """What is wrong with the files, byte by byte.

        Raises:
            SegmentMissingError: A file is not there.
        """
        try:
            for file in self.entry.files:
                _check_size(self.path / file.name, file)
                if checksum(self.path / file.name) != file.checksum:
                    return [f"{self.path / file.name} is damaged: its checksum is not the one the catalog recorded."]
        except FileNotFoundError:
            raise _missing(self.path) from None
        except SegmentMissingError:
            raise
        except CorruptIndexError as error:  # of another size: what is mapped must not be touched
            return [str(error)]
        if self.offsets[0] != 0 or self.offsets[-1] != self.entry.tokens or (np.diff(self.offsets) < 0).any():
            return [f"{self.path / 'offsets.npy'} does not partition the {self.entry.tokens} tokens."]
        return []


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path} could not be written: {error}. The last commit stands.") from error


def _missing(path: Path) -> SegmentMissingError:
    return SegmentMissingError(f"{path} is missing. Restore the index from a copy.")


def _check_size(path: Path, file: ColumnFile) -> None:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise _missing(path) from None
    if size != file.size:
        raise CorruptIndexError(
            f"{path} has {size} bytes, the catalog expects {file.size}. Restore the index from a copy."
        )


def _npy_header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """A version 1.0 ``.npy`` header of always 128 bytes, so that it can be rewritten once the shape is known."""
    text = repr({"descr": dtype.str, "fortran_order": False, "shape": shape})
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117).encode() + b"\n"
