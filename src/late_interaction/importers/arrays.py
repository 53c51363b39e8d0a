"""Read ``.npy``, ``.npz`` and ``.safetensors`` files of a foreign index: numbers alone, never pickled objects.

The shape that a file claims is compared with its size before anything is mapped or read.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np

from late_interaction.errors import CorruptIndexError
from late_interaction.importers.files import damaged, open_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from io import FileIO
    from pathlib import Path

    from numpy.typing import NDArray

    Shape: TypeAlias = Sequence[int | None]

__all__ = [
    "FLOATS",
    "INTEGERS",
    "Npz",
    "Safetensors",
    "check_array",
    "open_npz",
    "open_safetensors",
    "read_npy",
    "to_float32",
]

FLOATS = ("float16", "float32", "float64")
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")

_MAX_MEMBER_BYTES = 2**30
"""Bytes of one array of an ``.npz``, which is decompressed in memory."""
_MAX_MEMBERS = 1_000_000
_MAX_HEADER_BYTES = 64 * 2**20  # of a safetensors file; those of large models have a few MB
_SAFETENSORS_TYPES = {
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
    "BF16": "<u2",
    "I8": "i1",
    "U8": "u1",
    "I16": "<i2",
    "U16": "<u2",
    "I32": "<i4",
    "U32": "<u4",
    "I64": "<i8",
    "U64": "<u8",
}


def read_npy(
    folder: Path, name: str, *, dtypes: Collection[str] = FLOATS, shape: Shape | None = None, map_file: bool = True
) -> NDArray[Any]:
    """Return the array of an ``.npy`` file, mapped from the file and read-only.

    Args:
        folder: The folder of the source.
        name: The name of the file, as for `files.open_file`.
        dtypes: Names of the types that it may have.
        shape: The shape that it must have, None for any length; None for any shape.
        map_file: Map the file; else read it into memory.

    Raises:
        CorruptIndexError: The file is missing, truncated, holds objects, or has another type or shape.
    """
    path = folder / name
    with open_file(folder, name) as file:
        dtype, found, order = _npy_header(path, file)
        check_array(path, dtype.name, found, dtypes, shape)
        start, size = file.tell(), math.prod(found) * dtype.itemsize
        stored = os.fstat(file.fileno()).st_size
        if stored != start + size:
            raise damaged(path, f"has {stored:,} bytes, and its header claims {start + size:,}")
        if not size:
            return np.empty(found, dtype)
        if map_file:  # by the descriptor that was checked: np.memmap would open the path again
            buffer: Any = mmap.mmap(file.fileno(), stored, access=mmap.ACCESS_READ)
            flat = np.frombuffer(buffer, dtype, offset=start)
        else:
            flat = np.fromfile(file, dtype)
    return flat.reshape(found, order=order)


@contextmanager
def open_npz(folder: Path, name: str) -> Iterator[Npz]:
    """Open an ``.npz`` file.

    Raises:
        CorruptIndexError: The file is missing, or is not a complete zip file of ``.npy`` files.
    """
    path = folder / name
    with open_file(folder, name) as file:
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
            raise damaged(path, f"is not a complete .npz file ({error})") from None
        with archive:
            members = archive.infolist()
            if len(members) > _MAX_MEMBERS or any(not one.filename.endswith(".npy") for one in members):
                raise damaged(path, f"must contain only .npy files, and at most {_MAX_MEMBERS:,}")
            if len({one.filename for one in members}) < len(members):
                raise damaged(path, "contains two arrays of one name")
            yield Npz(path, archive)


class Npz:
    """The arrays of an open ``.npz`` file.

    Attributes:
        names: Their names, in the order of the file.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._archive = archive
        self.names = tuple(one.filename.removesuffix(".npy") for one in archive.infolist())

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape that an array claims.

        Raises:
            CorruptIndexError: It is damaged, or holds objects.
        """
        place = self._path / name
        with self._converted_errors(place), self._archive.open(f"{name}.npy") as file:
            return _npy_header(place, file)[1]

    def read(self, name: str, *, dtypes: Collection[str] = FLOATS, shape: Shape | None = None) -> NDArray[Any]:
        """Return an array, read into memory.

        Raises:
            CorruptIndexError: It is damaged, larger than 1 GiB, holds objects, or has another type or shape.
        """
        place = self._path / name  # for errors
        with self._converted_errors(place), self._archive.open(f"{name}.npy") as file:
            dtype, found, order = _npy_header(place, file)
            check_array(place, dtype.name, found, dtypes, shape)
            size = math.prod(found) * dtype.itemsize
            if size > _MAX_MEMBER_BYTES:
                raise damaged(place, f"has {size:,} bytes, and at most {_MAX_MEMBER_BYTES:,} are read")
            content = file.read(size + 1)
        if len(content) != size:
            raise damaged(place, f"has another size than the {size:,} bytes that its header claims")
        return np.frombuffer(content, dtype).reshape(found, order=order)

    @contextmanager
    def _converted_errors(self, place: Path) -> Iterator[None]:
        try:
            yield
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, KeyError) as error:
            raise damaged(place, f"cannot be decompressed ({error})") from None


@dataclass(frozen=True)
class _Entry:
    """A tensor of a safetensors file: its type, its shape, and where its bytes begin."""

    kind: str
    shape: tuple[int, ...]
    start: int


class Safetensors:
    """The tensors of an open ``.safetensors`` file, mapped from it.

    Attributes:
        names: Their names, in the order of the header.
    """

    def __init__(self, path: Path, buffer: mmap.mmap | bytes, entries: dict[str, _Entry]) -> None:
        self._path = path
        self._buffer = buffer
        self._entries = entries
        self.names = tuple(entries)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return self._entries[name].shape

    def read(self, name: str, *, dtypes: Collection[str] = (*FLOATS, "bfloat16"), shape: Shape | None = None) -> Any:
        """Return a tensor, mapped from the file; of bfloat16, in memory as float32.

        Raises:
            CorruptIndexError: It has another type or shape.
        """
        entry = self._entries[name]
        dtype = np.dtype(_SAFETENSORS_TYPES[entry.kind])
        is_bfloat = entry.kind == "BF16"
        check_array(self._path / name, "bfloat16" if is_bfloat else dtype.name, entry.shape, dtypes, shape)
        array = np.frombuffer(self._buffer, dtype, math.prod(entry.shape), entry.start).reshape(entry.shape)
        return from_bfloat16(array) if is_bfloat else array


@contextmanager
def open_safetensors(folder: Path, name: str) -> Iterator[Safetensors]:
    """Open a ``.safetensors`` file. Arrays that were read stay valid after the block.

    Raises:
        CorruptIndexError: The file is missing, truncated, or its header claims what the file does not have.
    """
    path = folder / name
    with open_file(folder, name) as file:
        stored = os.fstat(file.fileno()).st_size
        length = int.from_bytes(_exactly(path, file, 8), "little")
        if not 2 <= length <= min(_MAX_HEADER_BYTES, stored - 8):
            raise damaged(path, f"is not a safetensors file: it claims a header of {length:,} bytes")
        entries = _safetensors_entries(path, _exactly(path, file, length), 8 + length, stored)
        buffer = mmap.mmap(file.fileno(), stored, access=mmap.ACCESS_READ)
    yield Safetensors(path, buffer, entries)


def to_float32(array: NDArray[Any]) -> NDArray[np.float32]:
    """Return numbers as float32; what is beyond its range becomes infinity."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(array, np.float32)


def from_bfloat16(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the numbers of which these are the bits in bfloat16: the upper half of float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def check_array(
    path: Path, dtype: str, found: Sequence[int], dtypes: Collection[str], expected: Shape | None = None
) -> None:
    """Refuse an array of another type or shape than expected.

    Args:
        path: The file, for the error.
        dtype: The name of its type.
        found: Its shape.
        dtypes: Names of the types that it may have.
        expected: The shape that it must have, None for any length; None for any shape.

    Raises:
        CorruptIndexError: It has another one.
    """
    if dtype not in dtypes:
        raise damaged(path, f"must contain numbers of type {', '.join(dtypes)}, not {dtype}")
    if expected is None:
        return
    is_like = len(found) == len(expected) and all(
        wanted in (None, length) for length, wanted in zip(found, expected, strict=True)
    )
    if not is_like:
        wanted = ", ".join("any" if length is None else str(length) for length in expected)
        raise damaged(path, f"must have the shape ({wanted}), not {tuple(found)}")


def _npy_header(path: Path, file: FileIO | IO[bytes]) -> tuple[np.dtype[Any], tuple[int, ...], Any]:
    """Read the header; return the type, the shape and the order, ``C`` or ``F``."""
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version} of the format")
        shape, is_fortran, dtype = read(file)
    except CorruptIndexError:
        raise
    except Exception as error:  # noqa: BLE001  # of a damaged header, errors of many types
        raise damaged(path, f"is not an .npy file ({error!s:.200})") from None
    if dtype.hasobject or dtype.fields is not None or dtype.kind not in "fiub":
        raise damaged(path, f"holds {dtype!s:.80}, not numbers; objects are never loaded")
    if any(length < 0 for length in shape):
        raise damaged(path, f"claims the shape {shape}")
    return dtype, shape, "F" if is_fortran else "C"


def _exactly(path: Path, file: FileIO, size: int) -> bytes:
    content = file.read(size)
    if content is None or len(content) != size:
        raise damaged(path, "is truncated")
    return content


def _safetensors_entries(path: Path, header: bytes, start: int, stored: int) -> dict[str, _Entry]:
    """Return the tensors that a header names, which must lie one after the other up to the end of the file."""
    try:
        values = json.loads(header)
        values.pop("__metadata__", None)
        entries = {name: _safetensors_entry(value, start) for name, value in values.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise damaged(path, f"has an invalid safetensors header ({error!s:.200})") from None
    end = start
    for entry in sorted(entries.values(), key=lambda entry: entry.start):
        if entry.start != end:
            raise damaged(path, "has tensors that overlap, or bytes that belong to no tensor")
        end += math.prod(entry.shape) * np.dtype(_SAFETENSORS_TYPES[entry.kind]).itemsize
    if end != stored:
        raise damaged(path, f"has {stored:,} bytes, and its header claims {end:,}")
    return entries


def _safetensors_entry(value: Any, start: int) -> _Entry:
    kind, shape, (first, last) = value["dtype"], value["shape"], value["data_offsets"]
    if kind not in _SAFETENSORS_TYPES:
        raise ValueError(f"numbers of type {kind!r:.40}; known are {', '.join(_SAFETENSORS_TYPES)}")
    if not isinstance(shape, list) or any(type(length) is not int or length < 0 for length in (*shape, first, last)):
        raise ValueError("a shape or offset that is not a number")
    if math.prod(shape) * np.dtype(_SAFETENSORS_TYPES[kind]).itemsize != last - first:
        raise ValueError(f"the shape {shape!r:.80} and offsets that do not fit it")
    return _Entry(kind, tuple(shape), start + first)
