"""Open the files of a foreign index, which may come from a stranger, and read JSON and text from them.

A name that a source contains is a name inside its folder, or it is refused: no path outside the folder is opened, also
not through a symbolic link. Pipes, devices and sparse files are refused. What a file claims is compared with its size
before memory is taken for it. Arrays are read by `late_interaction.importers.arrays`, files of torch by
`late_interaction.importers.torch_files`.
"""

from __future__ import annotations

import gzip
import json
import os
import stat
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from late_interaction.errors import CorruptIndexError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO
    from pathlib import Path

__all__ = [
    "damaged",
    "file_names",
    "file_path",
    "has_file",
    "open_file",
    "read_gzip_json",
    "read_json",
    "read_lines",
]

_MAX_JSON_BYTES = 64 * 2**20  # parsed, that can take some 25 times as much memory
_MAX_NAMES = 1_000_000
"""Files of a folder, at most."""
_MAX_LINE_BYTES = 64 * 2**20
_BLOCK_BYTES = 1 << 20
_MIN_SPARSE_BYTES = 1 << 20  # smaller files may have any holes
_MAX_COMPRESSION = 8  # a compressing file system may store a file in its size divided by this
_STAT_BLOCK_BYTES = 512  # unit of `st_blocks`
_FLAGS = sum(getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC"))

_Kind = TypeVar("_Kind")


def damaged(path: Path, what: str) -> CorruptIndexError:
    """Return the error about a file or folder of a source.

    Args:
        path: The file or folder.
        what: What is wrong, to follow the path, without a full stop.
    """
    return CorruptIndexError(f"{path} {what}. Copy the source again, or name another one.")


def file_names(folder: Path, *, below: str = "") -> list[str]:
    """Return the sorted names of the files, and of the links to files, in a folder or in one right below it.

    Hidden files are left out.

    Args:
        folder: The folder of the source.
        below: The name of a folder in it. If there is none, there are no names.
    """
    place = folder if not below else folder / _plain(folder, below)
    names = []
    try:
        with os.scandir(place) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.is_file():
                    names.append(entry.name)
                if len(names) > _MAX_NAMES:
                    raise damaged(place, f"contains more than {_MAX_NAMES:,} files")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StorageError(f"{place} could not be read: {error.strerror or error}.") from error
    return sorted(names)


def has_file(folder: Path, name: str) -> bool:
    """Return whether there is a file, or a link to one, of this name in the folder."""
    try:
        return (folder / _plain(folder, name)).is_file()
    except OSError:
        return False


@contextmanager
def open_file(folder: Path, name: str) -> Iterator[FileIO]:
    """Open a file of the folder for reading, unbuffered.

    Args:
        folder: The folder of the source.
        name: The name of the file, or of a file in a folder right below: ``embeddings/embeddings_0.pt``.

    Raises:
        CorruptIndexError: It is missing, leads outside of the folder, is sparse, or is not a regular file.
        StorageError: It cannot be opened or read.
    """
    path = folder / _plain(folder, name)
    try:
        with os.fdopen(_descriptor(folder, path), "rb", buffering=0) as file:
            yield file
    except FileNotFoundError:
        raise damaged(path, "is missing") from None
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{path} could not be read: {error.strerror or error}.") from error


def file_path(folder: Path, name: str) -> Path:
    """Return the real path of a file for a library that opens files by their paths, checked as `open_file` checks it.

    Raises:
        CorruptIndexError: As for `open_file`.
        StorageError: As for `open_file`.
    """
    with open_file(folder, name):
        return (folder / name).resolve()


def read_json(folder: Path, name: str, kind: type[_Kind], *, max_bytes: int = _MAX_JSON_BYTES) -> _Kind:
    """Return the content of a JSON file.

    Args:
        folder: The folder of the source.
        name: The name of the file, as for `open_file`.
        kind: The type that it must have: `dict` or `list`.
        max_bytes: How large the file may be.

    Raises:
        CorruptIndexError: The file is missing, too large, not JSON in UTF-8, or of another type.
    """
    path = folder / name
    with open_file(folder, name) as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise damaged(path, f"is too large: {size:,} bytes, at most {max_bytes:,} are read")
        return _parsed(path, file.readall() or b"", kind)


def read_gzip_json(folder: Path, name: str, kind: type[_Kind]) -> _Kind:
    """Return the content of a JSON file that is compressed by gzip.

    Args:
        folder: The folder of the source.
        name: The name of the file, as for `open_file`.
        kind: The type that it must have: `dict` or `list`.

    Raises:
        CorruptIndexError: As for `read_json`, or it is not a complete gzip file.
    """
    path = folder / name
    content = bytearray()
    with open_file(folder, name) as file:
        try:
            with gzip.GzipFile(fileobj=file, mode="rb") as stream:
                while block := stream.read(_BLOCK_BYTES):
                    content += block
                    if len(content) > _MAX_JSON_BYTES:
                        raise damaged(path, f"decompresses to more than {_MAX_JSON_BYTES:,} bytes")
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise damaged(path, f"is not a complete gzip file ({error})") from None
    return _parsed(path, bytes(content), kind)


def read_lines(folder: Path, name: str) -> Iterator[str]:
    """Yield the lines of a text file in UTF-8, without line breaks. Memory is bounded by a line.

    Raises:
        CorruptIndexError: The file is missing, a line is too long, or it is not UTF-8.
    """
    path = folder / name
    with open_file(folder, name) as file:
        remaining = b""
        number = 1
        while block := file.read(_BLOCK_BYTES):
            *lines, remaining = (remaining + block).split(b"\n")
            for line in lines:
                yield _decoded(path, line, number)
                number += 1
            if len(remaining) > _MAX_LINE_BYTES:
                raise damaged(path, f"has more than {_MAX_LINE_BYTES:,} bytes in line {number}")
        if remaining:
            yield _decoded(path, remaining, number)


def _plain(folder: Path, name: str) -> str:
    """Return a name inside the folder.

    Raises:
        CorruptIndexError: It may lead outside of the folder.
    """
    parts = name.split("/")
    if len(parts) > 2 or any(part in ("", ".", "..") or set(part) & set("\\:\0") for part in parts):
        raise damaged(folder, f"names the file {name!a:.120}, which is not a name inside the folder")
    return name


def _descriptor(folder: Path, path: Path) -> int:
    """Open a file for reading and return its descriptor, which the caller closes."""
    try:
        real, root = path.resolve(strict=True), folder.resolve(strict=True)
    except FileNotFoundError:
        raise
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise damaged(path, f"cannot be opened ({error})") from None
    if not real.is_relative_to(root):
        raise damaged(path, "is a symbolic link that leads outside of the source, which is not followed")
    descriptor = os.open(real, os.O_RDONLY | _FLAGS)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise damaged(path, "is not a regular file, so reading it might never end")
        if _is_sparse(descriptor, status):
            raise damaged(path, f"is sparse: its size is {status.st_size:,} bytes, and far fewer are stored")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _is_sparse(descriptor: int, status: os.stat_result) -> bool:
    blocks = getattr(status, "st_blocks", None)
    if blocks is None or status.st_size <= max(_MIN_SPARSE_BYTES, _MAX_COMPRESSION * _STAT_BLOCK_BYTES * blocks):
        return False
    if not hasattr(os, "SEEK_HOLE"):
        return True
    has_hole = os.lseek(descriptor, 0, os.SEEK_HOLE) < status.st_size
    os.lseek(descriptor, 0, os.SEEK_SET)
    return has_hole


def _parsed(path: Path, content: bytes, kind: type[_Kind]) -> _Kind:
    try:
        value: Any = json.loads(content.decode("utf-8-sig"), parse_constant=_refused)
    except (ValueError, RecursionError) as error:  # also UnicodeDecodeError
        raise damaged(path, f"is not JSON in UTF-8 ({error})") from None
    if not isinstance(value, kind):
        raise damaged(path, f"must contain a JSON {kind.__name__}, not a {type(value).__name__}")
    return value


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is not a number of JSON")


def _decoded(path: Path, line: bytes, number: int) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise damaged(path, f"is not UTF-8 ({error.reason}, in line {number})") from None
