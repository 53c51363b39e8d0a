"""Write a copy of an index into another directory."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from late_interaction.engines.local.storage.files import (
    CATALOG,
    CODEBOOKS,
    LOCK,
    SEGMENTS,
    copy_file,
    disk_errors,
    make_directories,
    remove_directory,
    sync_directory,
)
from late_interaction.engines.local.storage.locking import WriterLock
from late_interaction.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from late_interaction.engines.local.storage.columns import ColumnFolder

__all__ = ["check_target", "copy_folders", "reserved"]


def check_target(root: Path, target: Path) -> None:
    """Check that an index can be copied into a directory.

    Args:
        root: The directory of the index.
        target: The directory to copy to.

    Raises:
        InvalidRequestError: The target is inside of the index, or is not an empty or missing directory.
        StorageError: The target cannot be read.
    """
    with disk_errors(target):
        if Path(os.path.realpath(target)).is_relative_to(os.path.realpath(root)):
            raise InvalidRequestError(f"{target} is inside the index {root}. Name a directory outside of it.")
        if os.path.lexists(target) and (not target.is_dir() or any(target.iterdir())):
            raise InvalidRequestError(
                f"{target} is not an empty directory. Name a directory that is empty or does not exist."
            )


@contextmanager
def reserved(target: Path, names: Iterable[str]) -> Iterator[None]:
    """Create a directory and hold its writer lock while an index is copied there; on error, remove what was written.

    Args:
        target: The directory to copy to.
        names: The names of the segments and codebooks that are copied.

    Raises:
        InvalidRequestError: The directory is not empty.
        IndexLockedError: Another process is writing an index there.
        StorageError: The directory cannot be written.
    """
    is_new = not target.exists()
    with disk_errors(target):
        make_directories(target)
        lock = WriterLock(target)
        try:
            if any(path.name != LOCK for path in target.iterdir()):
                raise InvalidRequestError(f"{target} is not empty any more. Nothing was copied.")
            try:
                yield
            except BaseException:
                _remove(target, names)
                if is_new:
                    remove_directory(target, ())
                raise
        finally:
            lock.release()


def copy_folders(folders: Iterable[ColumnFolder], target: Path) -> None:
    """Copy the directories of segments and codebooks durably."""
    for parent in (SEGMENTS, CODEBOOKS):
        make_directories(target / parent)
    for folder in folders:
        copied = target / folder.path.parent.name / folder.path.name
        copied.mkdir()
        for file in folder.files:
            copy_file(folder.path / file.name, copied / file.name)
        sync_directory(copied)
        sync_directory(copied.parent)


def _remove(target: Path, names: Iterable[str]) -> None:
    for name in (CATALOG, f"{CATALOG}.new", f"{CATALOG}.new-journal", f"{CATALOG}.new-wal", f"{CATALOG}.new-shm"):
        (target / name).unlink(missing_ok=True)
    for parent in (SEGMENTS, CODEBOOKS):
        for name in names:
            remove_directory(target / parent / name)
        remove_directory(target / parent, ())
    (target / LOCK).unlink(missing_ok=True)
