"""Columns on disk: ``.npy`` files in a directory of their own, written once, then mapped.

``numpy.load`` can read them. The catalog records the size and the checksum of each file.
"""

from __future__ import annotations

import math
import mmap
import os
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.engines.local.storage.files import (
    checksum,
    checksum_of,
    remove_directory,
    storage_error,
    sync_directory,
    write_all,
)
from late_interaction.engines.local.storage.regular_files import opened_folder
from late_interaction.errors import CorruptIndexError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from numpy.typing import NDArray
    from typing_extensions import Self

__all__ = ["ColumnFile", "ColumnFolder", "ColumnWriter", "ColumnsMissingError", "is_count"]

_HEADER_BYTES = 128
_MAX_COUNT = 2**48


class ColumnsMissingError(CorruptIndexError):
    """A file is missing. A reader may have read the catalog before a merge replaced the file."""


@dataclass(frozen=True)
class ColumnFile:
    """The entry of a file in the catalog.

    Attributes:
        name: The name of the file.
        size: Its size in bytes.
        checksum: The CRC-32 of its bytes.
    """

    name: str
    size: int
    checksum: int

    @property
    def content_size(self) -> int:
        """The bytes of the elements."""
        return self.size - _HEADER_BYTES

    @property
    def is_sound(self) -> bool:
        """Whether the size and the checksum are in range."""
        return is_count(self.size) and is_count(self.checksum) and self.checksum < 2**32


def is_count(value: object) -> bool:
    """Return whether this is an integer in the range of counts and sizes."""
    return type(value) is int and 0 <= value < _MAX_COUNT


class ColumnWriter:
    """Streams columns into a new directory. Rows are not kept in memory.

    As a context manager, it removes the directory unless `finish` has returned. A forked child leaves the files to its
    parent. Writes are unbuffered, so the child has nothing that it could write a second time.

    Args:
        parent: The directory in which the new one is made.
        name: The name of the directory, which the catalog has recorded (see `names.Names`).
        columns: By name, the type of an element and the shape of a row, ``()`` for one element per row.
        is_new: Whether to make the directory. Otherwise the columns are added to one that the catalog names, in place
            of files that an earlier attempt has left there. They stay if they are not finished.
    """

    def __init__(
        self, parent: Path, name: str, columns: Mapping[str, tuple[Any, tuple[int, ...]]], *, is_new: bool = True
    ) -> None:
        self.name = name
        self._path = parent / self.name
        self._is_new = is_new
        self._columns: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}
        self._rows: dict[str, int] = {}
        self._files: dict[str, FileIO] = {}
        self._finished = False
        self._process = os.getpid()
        with self._disk_errors():
            if is_new:
                self._path.mkdir()
            else:
                for column in columns:
                    (self._path / f"{column}.npy").unlink(missing_ok=True)
        self.add_columns(columns)

    def add_columns(self, columns: Mapping[str, tuple[Any, tuple[int, ...]]]) -> None:
        """Begin more columns."""
        with self._disk_errors():
            for name, (dtype, row) in columns.items():
                self._columns[name] = np.dtype(dtype), row
                self._rows[name] = 0
                self._files[name] = FileIO(self._path / f"{name}.npy", "xb")
                write_all(self._files[name], npy_header((0, *row), np.dtype(dtype)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._finished and os.getpid() == self._process:
            for file in self._files.values():
                file.close()
            if self._is_new:
                remove_directory(self._path)

    def append(self, **rows: NDArray[Any]) -> None:
        """Append rows to some columns."""
        with self._disk_errors():
            for name, values in rows.items():
                write_all(
                    self._files[name],
                    np.ascontiguousarray(values, self._columns[name][0]).reshape(-1).view(np.uint8).data,
                )
                self._rows[name] += len(values)

    def written(self, name: str) -> NDArray[Any]:
        """Return the rows that were appended to a column, mapped from its file."""
        dtype, row = self._columns[name]
        shape = self._rows[name], *row
        with self._disk_errors(), FileIO(self._path / f"{name}.npy") as file:
            return _mapped(file, _HEADER_BYTES + math.prod(shape) * dtype.itemsize, shape, dtype)

    def finish(self) -> tuple[ColumnFile, ...]:
        """Make the files durable; return their entries. Readers see them once the catalog names them."""
        written = []
        with self._disk_errors():
            for name, (dtype, row) in self._columns.items():
                file = self._files[name]
                file.seek(0)
                write_all(file, npy_header((self._rows[name], *row), dtype))
                os.fsync(file.fileno())
                file.close()
                path = self._path / f"{name}.npy"
                written.append(ColumnFile(path.name, path.stat().st_size, checksum(path)))
            sync_directory(self._path)
            sync_directory(self._path.parent)
        self._finished = True
        return tuple(written)

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise storage_error(f"{self._path} could not be written", error) from error


class ColumnFolder:
    """A directory of columns open for reading.

    Args:
        path: The directory.
        files: The entries of its files in the catalog.
        columns: By name, the type of an element and the shape that the catalog expects; exactly one for each file.

    Attributes:
        columns: The columns by name, mapped from their files.

    Raises:
        ColumnsMissingError: A file is missing.
        CorruptIndexError: A file is not a regular file, or has another size, type or shape than the catalog says.
    """

    def __init__(
        self, path: Path, files: tuple[ColumnFile, ...], columns: Mapping[str, tuple[Any, tuple[int, ...]]]
    ) -> None:
        self.path = path
        self.files = files
        self._shapes = {name: (np.dtype(dtype), shape) for name, (dtype, shape) in columns.items()}
        by_name = {file.name: file for file in files}
        if by_name.keys() != {f"{name}.npy" for name in columns}:
            raise CorruptIndexError(
                f"The catalog lists other files of {path} than a folder of its kind has. Restore the index from a copy."
            )
        with _missing_files(path), opened_folder(path) as open_file:
            self.columns = {}
            for name in self._shapes:
                file = by_name[f"{name}.npy"]
                with FileIO(open_file(file.name)) as stream:
                    self.columns[name] = self._mapped(name, file, stream)

    def rows(self, name: str, first: int, last: int) -> NDArray[Any]:
        """Return the rows of a column from ``first`` up to ``last``, read from its file."""
        dtype, (_, *row) = self._shapes[name]
        size = math.prod(row)
        with self._opened(f"{name}.npy") as stream:
            stream.seek(_HEADER_BYTES + first * size * dtype.itemsize)
            values = np.fromfile(stream, dtype, (last - first) * size)
        if values.size != (last - first) * size:
            raise CorruptIndexError(f"{self.path / name}.npy is truncated. Restore the index from a copy.")
        return values.reshape(last - first, *row)

    def problems(self) -> list[str]:
        """Compare the files with their sizes and checksums; return what is wrong with the first that differs.

        Raises:
            ColumnsMissingError: A file is missing.
            StorageError: A file cannot be read.
        """
        try:
            for file in self.files:
                with self._opened(file.name) as stream:
                    self._check_size(file, stream)  # first: pages beyond the end of a mapped file must not be read
                    if checksum_of(stream) != file.checksum:
                        return [
                            f"{self.path / file.name} is damaged: its checksum is not the one the catalog recorded."
                        ]
        except ColumnsMissingError:
            raise
        except CorruptIndexError as error:
            return [str(error)]
        return []

    @contextmanager
    def _opened(self, name: str) -> Iterator[FileIO]:
        with _missing_files(self.path), opened_folder(self.path) as open_file, FileIO(open_file(name)) as stream:
            yield stream

    def _mapped(self, name: str, file: ColumnFile, stream: FileIO) -> NDArray[Any]:
        self._check_size(file, stream)
        dtype, shape = self._shapes[name]
        header = npy_header(shape, dtype)
        if stream.read(len(header)) != header or file.size != len(header) + math.prod(shape) * dtype.itemsize:
            raise CorruptIndexError(
                f"{self.path / file.name} is not a column of {dtype} {shape}, as the catalog expects. "
                "Restore the index from a copy."
            )
        return _mapped(stream, file.size, shape, dtype)

    def _check_size(self, file: ColumnFile, stream: FileIO) -> None:
        size = os.fstat(stream.fileno()).st_size
        if size != file.size:
            raise CorruptIndexError(
                f"{self.path / file.name} has {size} bytes, the catalog expects {file.size}. "
                "Restore the index from a copy."
            )


def _mapped(file: FileIO, size: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the rows of an open file of this size, mapped."""
    if 0 in shape:
        return np.empty(shape, dtype)  # mapping no rows fails
    # By its descriptor: np.memmap would resolve the path again, and takes longer.
    mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, dtype, offset=_HEADER_BYTES).reshape(shape)


def npy_header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """Return a version 1.0 ``.npy`` header. Its size is fixed, so that it can be rewritten once the shape is known."""
    text = repr({"descr": dtype.str, "fortran_order": False, "shape": shape})
    return (
        b"\x93NUMPY\x01\x00"
        + (_HEADER_BYTES - 10).to_bytes(2, "little")
        + text.ljust(_HEADER_BYTES - 11).encode()
        + b"\n"
    )


@contextmanager
def _missing_files(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        name = Path(error.filename or path).name  # the name of a file, of the directory, or of its parent
        missing = path / name if name.endswith(".npy") else path
        raise ColumnsMissingError(f"{missing} is missing. Restore the index from a copy.") from None
    except (StorageError, CorruptIndexError):
        raise
    except OSError as error:
        raise StorageError(f"{path} could not be read: {error}.") from error
