"""Columns on disk: plain ``.npy`` files in a directory of their own, written once, then mapped.

Readable with ``numpy.load``. The catalog knows the size and checksum of each, so a column that is not what it was is
never taken for data.
"""

from __future__ import annotations

import math
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from late_interaction.engines.local.files import checksum, remove_directory, sync_directory, sync_file
from late_interaction.errors import CorruptIndexError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray
    from typing_extensions import Self

__all__ = ["ColumnFile", "ColumnFolder", "ColumnWriter", "ColumnsMissingError"]

_HEADER_BYTES = 128


class ColumnsMissingError(CorruptIndexError):
    """A file is not there. A reader may be looking at a state that a merge has just replaced."""


@dataclass(frozen=True)
class ColumnFile:
    """What the catalog knows of a file."""

    name: str
    size: int
    checksum: int


class ColumnWriter:
    """Streams columns into a new directory; memory stays that of what is appended.

    As a context manager it removes the directory unless `finish` was reached.

    Args:
        parent: Where the directory is made.
        name: Of the directory; recorded in the catalog (see `names.Names`).
        columns: By name, the type of an element and the shape of a row, ``()`` for a plain column.
    """

    def __init__(self, parent: Path, name: str, columns: Mapping[str, tuple[Any, tuple[int, ...]]]) -> None:
        self.name = name
        self._path = parent / self.name
        self._columns = {name: (np.dtype(dtype), row) for name, (dtype, row) in columns.items()}
        self._rows = dict.fromkeys(columns, 0)
        self._files: dict[str, BinaryIO] = {}
        self._finished = False
        with self._disk_errors():
            self._path.mkdir()
            for name, (dtype, row) in self._columns.items():
                self._files[name] = (self._path / f"{name}.npy").open("wb")
                self._files[name].write(npy_header((0, *row), dtype))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._finished:
            for file in self._files.values():
                with suppress(OSError):  # what is buffered is of no use, and a full disk would not take it
                    file.close()
            remove_directory(self._path)

    def append(self, **rows: NDArray[Any]) -> None:
        """Append rows to some columns."""
        with self._disk_errors():
            for name, values in rows.items():
                self._files[name].write(np.ascontiguousarray(values, dtype=self._columns[name][0]).data)
                self._rows[name] += len(values)

    def finish(self) -> tuple[ColumnFile, ...]:
        """Make the files durable. They exist for readers once the catalog names them."""
        written = []
        with self._disk_errors():
            for name, (dtype, row) in self._columns.items():
                file = self._files[name]
                file.seek(0)
                file.write(npy_header((self._rows[name], *row), dtype))
                file.close()
                path = self._path / f"{name}.npy"
                sync_file(path)
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
            raise StorageError(f"{self._path} could not be written: {error}. The last commit stands.") from error


class ColumnFolder:
    """A directory of columns open for reading.

    Raises:
        ColumnsMissingError: A file is missing.
        CorruptIndexError: A file has another size than the catalog says.
    """

    def __init__(self, path: Path, files: tuple[ColumnFile, ...]) -> None:
        self.path = path
        self.files = files
        self._mapped: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}
        for file in files:
            self._check_size(file)

    def column(self, name: str, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
        """A column of this type and shape, mapped from its file.

        Raises:
            CorruptIndexError: The file holds something else.
        """
        path = self.path / f"{name}.npy"
        dtype = np.dtype(dtype)
        self._mapped[name] = dtype, shape[1:]
        header = npy_header(shape, dtype)
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

    def rows(self, name: str, first: int, last: int) -> NDArray[Any]:
        """Rows of a column that `column` has mapped, read from its file."""
        dtype, row = self._mapped[name]
        size = math.prod(row)
        offset = _HEADER_BYTES + first * size * dtype.itemsize
        values = np.fromfile(self.path / f"{name}.npy", dtype, (last - first) * size, offset=offset)
        return values.reshape(last - first, *row)

    def problems(self) -> list[str]:
        """What is wrong with the files, byte by byte.

        Raises:
            ColumnsMissingError: A file is not there.
        """
        try:
            for file in self.files:
                self._check_size(file)
                if checksum(self.path / file.name) != file.checksum:
                    return [f"{self.path / file.name} is damaged: its checksum is not the one the catalog recorded."]
        except FileNotFoundError:
            raise _missing(self.path) from None
        except ColumnsMissingError:
            raise
        except CorruptIndexError as error:  # of another size: what is mapped must not be touched
            return [str(error)]
        return []

    def _check_size(self, file: ColumnFile) -> None:
        path = self.path / file.name
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            raise _missing(path) from None
        if size != file.size:
            raise CorruptIndexError(
                f"{path} has {size} bytes, the catalog expects {file.size}. Restore the index from a copy."
            )


def npy_header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """A version 1.0 ``.npy`` header of always the same size, so that it can be rewritten once the shape is known."""
    text = repr({"descr": dtype.str, "fortran_order": False, "shape": shape})
    return (
        b"\x93NUMPY\x01\x00"
        + (_HEADER_BYTES - 10).to_bytes(2, "little")
        + text.ljust(_HEADER_BYTES - 11).encode()
        + b"\n"
    )


def _missing(path: Path) -> ColumnsMissingError:
    return ColumnsMissingError(f"{path} is missing. Restore the index from a copy.")
