"""Names, kinds and durability of the files of a local index.

::

    my-index/
      catalog.sqlite          documents and what belongs to them (see schema.py); -wal and -shm are SQLite's
      last-commit             the number of the last commit (see last_commit.py)
      writer.lock             held by the one writer
      segments/NAME/          immutable columns of one segment (see segment.py)
        offsets.npy  vectors.npy                              flat: vectors as they came
        offsets.npy  codes.npy  scales.npy  residuals.npy     coded: compressed
      codebooks/NAME/         immutable centroids (see codebook.py)
        centroids.npy  scales.npy
      set-aside/              what a damaged log left behind (see recovery.py)

Every NAME was recorded in the catalog before its directory was made, so what the catalog does not know is somebody
else's and is left alone.
"""

from __future__ import annotations

import os
import re
import stat
import zlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from late_interaction.errors import CorruptIndexError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import FileIO
    from pathlib import Path

__all__ = [
    "CATALOG",
    "CODEBOOKS",
    "COLUMN_FILES",
    "LAST_COMMIT",
    "LOCK",
    "SEGMENTS",
    "SET_ASIDE",
    "checksum",
    "checksum_of",
    "copy_file",
    "disk_errors",
    "is_directory",
    "is_name",
    "make_directories",
    "open_regular",
    "remove_directory",
    "sync_directory",
    "sync_file",
    "write_all",
]

CATALOG = "catalog.sqlite"
LAST_COMMIT = "last-commit"
LOCK = "writer.lock"
SEGMENTS = "segments"
CODEBOOKS = "codebooks"
SET_ASIDE = "set-aside"

COLUMN_FILES = frozenset(
    f"{column}.npy" for column in ("offsets", "vectors", "codes", "scales", "residuals", "centroids")
)

_NAME = re.compile(r"[0-9a-f]{16}")
_CHUNK_BYTES = 1 << 20
_OPEN_FLAGS = sum(getattr(os, flag, 0) for flag in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_NOINHERIT"))


def is_name(name: object) -> bool:
    """Return whether this may be the name of a segment or a codebook."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def open_regular(path: Path, *, create: bool = False) -> FileIO:
    """Open a file for reading, or for reading and writing where it may be created.

    Nothing but a regular file is opened: a symbolic link is not followed, and a pipe does not block.

    Raises:
        CorruptIndexError: It is something else.
        OSError: It cannot be opened.
    """
    flags = _OPEN_FLAGS | (os.O_RDWR | os.O_CREAT if create else os.O_RDONLY)
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise CorruptIndexError(_not_regular(path)) from None
        raise
    file = os.fdopen(descriptor, "r+b" if create else "rb", buffering=0)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise CorruptIndexError(_not_regular(path))
    return file


def _not_regular(path: Path) -> str:
    return f"{path} is not a regular file. Restore the index from a copy."


def is_directory(path: Path) -> bool:
    """Return whether this is a directory itself, not a symbolic link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def sync_file(path: Path) -> None:
    """Make the content of a file survive power loss."""
    with path.open("r+b") as file:  # Windows flushes only what is open for writing
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive power loss. A no-op on Windows, which has no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directories(path: Path) -> None:
    """Make a directory and its missing parents, durably."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync_directory(folder.parent)


def checksum(path: Path) -> int:
    """Return the CRC-32 of a file's bytes: it finds flipped bits and torn writes, not an adversary."""
    with open_regular(path) as file:
        return checksum_of(file)


def checksum_of(file: FileIO) -> int:
    """Return the CRC-32 of what is left in a file."""
    crc = 0
    while chunk := file.read(_CHUNK_BYTES):
        crc = zlib.crc32(chunk, crc)
    return crc


def write_all(file: FileIO, content: bytes | bytearray | memoryview) -> None:
    """Write everything, which one system call may not do."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def copy_file(source: Path, target: Path) -> None:
    """Copy a regular file to a new one, durably but for its entry in the directory."""
    with open_regular(source) as read, target.open("xb") as written:
        while chunk := read.read(_CHUNK_BYTES):
            written.write(chunk)
        written.flush()
        os.fsync(written.fileno())


def remove_directory(path: Path, names: Iterable[str] = COLUMN_FILES) -> bool:
    """Remove a directory and these files in it; return whether it is gone.

    Anything else in it stays, and so does the directory. A reader that maps such a file keeps it on POSIX; on Windows
    the removal fails, to be tried again by the next writer. Symbolic links are not followed.
    """
    if is_directory(path):
        for name in names:
            with suppress(OSError):
                (path / name).unlink()
        with suppress(OSError):
            path.rmdir()
    return not os.path.lexists(path)


@contextmanager
def disk_errors(what: Path | str) -> Iterator[None]:
    """Report an error of the operating system as a `StorageError`."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{what}: {error.strerror or error}. The last commit stands.") from error
