"""The files of a local index: their names, and durable writing, copying and removal.

::

    my-index/
      catalog.sqlite          documents, metadata and settings (see schema.py); SQLite adds -wal and -shm files
      last-commit             the number of the last commit (see last_commit.py)
      writer.lock             locked by the writer (see locking.py)
      copied-commit           in a copy: the number of the commit of the index that was copied (see copying.py)
      segments/NAME/          immutable columns of one segment (see segment.py)
        offsets.npy  vectors.npy                              uncompressed
        offsets.npy  codes.npy  scales.npy  along.npy  residuals.npy     compressed
        posting_starts.npy  postings.npy                                 compressed, and large enough
      codebooks/NAME/         immutable centroids and the common direction (see codebook.py)
        centroids.npy  scales.npy  direction.npy
      set-aside/              files of commits that were lost with a damaged log (see recovery.py)

Every NAME is recorded in the catalog before its directory is made. So a directory that the catalog does not know was
made by someone else, and is left alone.
"""

from __future__ import annotations

import os
import re
import stat
import zlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from late_interaction.engines.local.storage.regular_files import open_regular
from late_interaction.errors import LateInteractionError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import FileIO
    from pathlib import Path

__all__ = [
    "CATALOG",
    "CODEBOOKS",
    "COLUMN_FILES",
    "COPIED_COMMIT",
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
    "remove_directory",
    "storage_error",
    "sync_directory",
    "sync_file",
    "write_all",
]

CATALOG = "catalog.sqlite"
LAST_COMMIT = "last-commit"
LOCK = "writer.lock"
COPIED_COMMIT = "copied-commit"
SEGMENTS = "segments"
CODEBOOKS = "codebooks"
SET_ASIDE = "set-aside"

_COLUMNS = (
    *("offsets", "vectors", "codes", "scales", "along", "residuals", "posting_starts", "postings"),
    *("centroids", "direction"),
)
COLUMN_FILES = frozenset(f"{column}.npy" for column in _COLUMNS)

_NAME = re.compile(r"[0-9a-f]{16}")
_CHUNK_BYTES = 1 << 20


def is_name(name: object) -> bool:
    """Return whether this has the form of the name of a segment or a codebook."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def is_directory(path: Path) -> bool:
    """Return whether this is a directory and not a symbolic link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def sync_file(path: Path) -> None:
    """Make the content of a file survive power loss."""
    with path.open("r+b") as file:  # Windows flushes only files that are open for writing
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive power loss. A no-op on Windows, which lacks the call."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directories(path: Path) -> None:
    """Make a directory and its missing parents durably."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync_directory(folder.parent)


def checksum(path: Path) -> int:
    """Return the CRC-32 of a file. It detects flipped bits and torn writes, not deliberate changes."""
    with open_regular(path) as file:
        return checksum_of(file)


def checksum_of(file: FileIO) -> int:
    """Return the CRC-32 of the rest of an open file."""
    crc = 0
    while chunk := file.read(_CHUNK_BYTES):
        crc = zlib.crc32(chunk, crc)
    return crc


def write_all(file: FileIO, content: bytes | bytearray | memoryview) -> None:
    """Write all bytes of the content. One system call may write fewer."""
    remaining = memoryview(content)
    while remaining:
        remaining = remaining[file.write(remaining) :]


def copy_file(source: Path, target: Path) -> None:
    """Copy a regular file to a new one and make its content durable. The caller syncs the directory."""
    with open_regular(source) as read, target.open("xb") as written:
        while chunk := read.read(_CHUNK_BYTES):
            written.write(chunk)
        written.flush()
        os.fsync(written.fileno())


def remove_directory(path: Path, names: Iterable[str] = COLUMN_FILES) -> bool:
    """Remove these files and then their directory; return whether nothing of that name is left.

    With any other file in it, the directory stays. On POSIX, a reader that has mapped a file can still read it. On
    Windows, the removal fails, and the next writer tries again. Symbolic links are not followed.
    """
    if is_directory(path):
        for name in names:
            with suppress(OSError):
                (path / name).unlink()
        with suppress(OSError):
            path.rmdir()
    return not os.path.lexists(path)


def storage_error(what: Path | str, reason: object) -> StorageError:
    """Return the error that something could not be read or written."""
    return StorageError(f"{what}: {reason}. The last commit is unchanged.")


@contextmanager
def disk_errors(what: Path | str) -> Iterator[None]:
    """Convert errors of the operating system into `StorageError`."""
    try:
        yield
    except LateInteractionError:  # some are errors of the operating system too
        raise
    except OSError as error:
        raise storage_error(what, error.strerror or error) from error
