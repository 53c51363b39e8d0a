"""Names and durability of the files of a local index.

::

    my-index/
      catalog.sqlite          the only source of truth (see catalog.py)
      writer.lock             held by the one writer
      segments/NAME/          immutable columns of one segment (see segment.py)
        offsets.npy  vectors.npy                              flat: vectors as they came
        offsets.npy  codes.npy  scales.npy  residuals.npy     coded: compressed
      codebooks/NAME/         immutable centroids (see codebook.py)
        centroids.npy  scales.npy

A directory that the catalog does not name is garbage: what a crash or a merge has left.
"""

from __future__ import annotations

import os
import shutil
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from late_interaction.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "CATALOG",
    "CODEBOOKS",
    "LOCK",
    "SEGMENTS",
    "checksum",
    "collect_garbage",
    "copy_directories",
    "removed_on_failure",
    "sync_directory",
    "sync_file",
]

CATALOG = "catalog.sqlite"
LOCK = "writer.lock"
SEGMENTS = "segments"
CODEBOOKS = "codebooks"


def sync_file(path: Path) -> None:
    """Make the content of a file survive power loss."""
    with path.open("r+b") as file:  # Windows flushes only what is open for writing
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive power loss. Windows has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def checksum(path: Path) -> int:
    """CRC-32 of a file's bytes: finds flipped bits and torn writes, not an adversary."""
    crc = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            crc = zlib.crc32(chunk, crc)
    return crc


def copy_directories(root: Path, target: Path, names: set[str]) -> None:
    """Copy the directories of segments and codebooks of these names, durably."""
    for parent in (SEGMENTS, CODEBOOKS):
        (target / parent).mkdir(parents=True, exist_ok=True)
        for name in sorted(names):
            if (root / parent / name).is_dir():
                copied = Path(shutil.copytree(root / parent / name, target / parent / name))
                for file in copied.iterdir():
                    sync_file(file)
                sync_directory(copied)
        sync_directory(target / parent)


@contextmanager
def removed_on_failure(directory: Path) -> Iterator[None]:
    """What is written into a new or empty directory in here goes again if it cannot be finished.

    Raises:
        StorageError: For an `OSError`.
    """
    try:
        yield
    except BaseException as error:
        shutil.rmtree(directory, ignore_errors=True)
        if isinstance(error, OSError) and not isinstance(error, StorageError):
            raise StorageError(f"{directory} could not be written: {error}.") from error
        raise


def collect_garbage(root: Path, live: set[str]) -> None:
    """Remove the directories of segments and codebooks whose names are not ``live``. For the writer alone.

    A reader that still maps such files keeps them on POSIX; on Windows their removal fails and is tried again by the
    next writer.
    """
    for parent in (root / SEGMENTS, root / CODEBOOKS):
        for path in parent.iterdir() if parent.is_dir() else ():
            if path.name not in live:
                shutil.rmtree(path, ignore_errors=True)
