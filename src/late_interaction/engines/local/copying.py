"""Write a copy of an index into another directory."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from late_interaction.engines.local.storage.files import (
    CATALOG,
    CODEBOOKS,
    COPIED_COMMIT,
    LAST_COMMIT,
    LOCK,
    SEGMENTS,
    SET_ASIDE,
    copy_file,
    disk_errors,
    is_name,
    make_directories,
    remove_directory,
    sync_directory,
    sync_file,
)
from late_interaction.engines.local.storage.locking import WriterLock
from late_interaction.engines.local.storage.regular_files import open_regular
from late_interaction.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from late_interaction.engines.local.snapshot import Snapshot
    from late_interaction.engines.local.storage.columns import ColumnFolder

__all__ = ["check_target", "copied_to", "copy_folders"]

_COMMITS_OF_AN_INDEX = 1 << 30  # many more than one makes; numbers of different indexes are farther apart
_OF_A_COPY = {CATALOG, f"{CATALOG}-wal", f"{CATALOG}-shm", SEGMENTS, CODEBOOKS, LOCK, COPIED_COMMIT}
_OF_A_WRITTEN_COPY = {*_OF_A_COPY, LAST_COMMIT, SET_ASIDE}


def check_target(root: Path, target: Path, *, may_be_earlier_copy: int | None = None) -> bool:
    """Check that an index can be copied into a directory, and return whether an earlier copy of it is there.

    Args:
        root: The directory of the index.
        target: The directory to copy to.
        may_be_earlier_copy: The number of the last commit of the index, if an earlier copy of it may be there.

    Raises:
        InvalidRequestError: The target is inside of the index, or is not an empty or missing directory.
        StorageError: The target cannot be read.
    """
    with disk_errors(target):
        if Path(os.path.realpath(target)).is_relative_to(os.path.realpath(root)):
            raise InvalidRequestError(f"{target} is inside the index {root}. Name a directory outside of it.")
        if os.path.lexists(target) and (not target.is_dir() or any(target.iterdir())):
            if may_be_earlier_copy is None:
                allowed = "Name a directory that is empty or does not exist."
            elif target.is_dir() and _is_earlier_copy(target, may_be_earlier_copy):
                return True
            elif target.is_dir() and _is_earlier_copy(target, may_be_earlier_copy, _OF_A_WRITTEN_COPY):
                allowed = "This copy was written to, so it is not replaced: delete it, or name another directory."
            else:
                allowed = "It may have a copy of this index that was not written to since; this is none. Name another."
            raise InvalidRequestError(f"{target} is not an empty directory. {allowed}")
    return False


@contextmanager
def copied_to(target: Path, snapshot: Snapshot, *, replaces: bool) -> Iterator[Path]:
    """Yield the directory into which an index is to be copied.

    An earlier copy is replaced when the new one, beside it, is complete, by two renames. A crash between them leaves
    nothing under its name, and both copies beside it. On error, what was written is removed.

    Args:
        target: The directory to copy to.
        snapshot: The state that is copied.
        replaces: An earlier copy is there; else the directory is empty or missing. See `check_target`.

    Raises:
        InvalidRequestError: The directory is not empty.
        IndexLockedError: Another process is writing an index there.
        StorageError: The directory cannot be written.
    """
    with disk_errors(target):
        place = Path(os.path.realpath(target))
        suffix = secrets.token_hex(4)
        written = place.with_name(f"{place.name}.new-{suffix}") if replaces else target
        with _reserved(written, snapshot.names):
            yield written
            _note_commit(written, snapshot.generation)
            if replaces:
                WriterLock(place).release()  # or an error, if somebody writes there
                if not _is_earlier_copy(place, snapshot.generation):
                    raise InvalidRequestError(f"{place} is not an earlier copy any more. Nothing was copied.")
                _exchange(place, written, place.with_name(f"{place.name}.old-{suffix}"))


def _exchange(place: Path, new: Path, old: Path) -> None:
    """Put a new copy in the place of an earlier one, which is renamed and then removed."""
    place.rename(old)
    try:
        new.rename(place)
    except BaseException:
        with suppress(OSError):
            old.rename(place)
        raise
    sync_directory(place.parent)
    names = [name for parent in (SEGMENTS, CODEBOOKS) for name in _names_in(old / parent) if is_name(name)]
    _remove(old, names)
    remove_directory(old, (COPIED_COMMIT, f"{CATALOG}-wal", f"{CATALOG}-shm"))


def _is_earlier_copy(target: Path, commit: int, known: Collection[str] = _OF_A_COPY) -> bool:
    """Return whether a directory has a copy of an earlier state of an index, and nothing else, unchanged.

    Commit numbers of an index increase from a random number, so they tell it from others. The first write to a copy
    adds a file that copying does not make.

    Args:
        target: The directory.
        commit: The number of the last commit of the index.
        known: The names of the files it may have: those that copying makes; also those of a copy that was written to.
    """
    names = _names_in(target)
    if CATALOG not in names or COPIED_COMMIT not in names or not names.issubset(known):
        return False
    with open_regular(target / COPIED_COMMIT) as file:
        digits = file.read(32)
    return digits.isdigit() and 0 <= commit - int(digits) < _COMMITS_OF_AN_INDEX


def _names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def _note_commit(target: Path, commit: int) -> None:
    """Write, durably, which commit of the index a copy has."""
    (target / COPIED_COMMIT).write_bytes(str(commit).encode())
    sync_file(target / COPIED_COMMIT)
    sync_directory(target)


@contextmanager
def _reserved(target: Path, names: Iterable[str]) -> Iterator[None]:
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
    for name in (
        COPIED_COMMIT,
        CATALOG,
        f"{CATALOG}.new",
        f"{CATALOG}.new-journal",
        f"{CATALOG}.new-wal",
        f"{CATALOG}.new-shm",
    ):
        (target / name).unlink(missing_ok=True)
    for parent in (SEGMENTS, CODEBOOKS):
        for name in names:
            remove_directory(target / parent / name)
        remove_directory(target / parent, ())
    (target / LOCK).unlink(missing_ok=True)
