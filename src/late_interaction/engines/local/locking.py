"""The lock of the one writer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import filelock

from late_interaction.engines.local.files import LOCK, SEGMENTS, sync_directory
from late_interaction.errors import IndexLockedError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["release_lock", "take_lock"]

_open_here: set[Path] = set()  # indexes this process holds the writer lock of, for the message of IndexLockedError


def release_lock(root: Path, lock: filelock.BaseFileLock) -> None:
    """Let others write."""
    _open_here.discard(root)
    lock.release()


def take_lock(root: Path, *, create: bool) -> filelock.BaseFileLock:
    """Become the writer of the index in a directory, which is made if it is to be created.

    Raises:
        IndexLockedError: There is one already.
        StorageError: The directory cannot be written to.
    """
    lock = filelock.FileLock(root / LOCK, timeout=0, thread_local=False)
    try:
        if create:
            missing = [folder for folder in (root, *root.parents) if not folder.exists()]
            root.mkdir(parents=True, exist_ok=True)
            for folder in missing:
                sync_directory(folder.parent)
        (root / SEGMENTS).mkdir(exist_ok=True)  # a copy may have left out an empty directory
        lock.acquire()
    except filelock.Timeout:
        where = "in this process already: use that object, or close it" if root in _open_here else "by another process"
        raise IndexLockedError(
            f"The index at {root} is open for writing {where}. To search beside a writer, open it with read_only=True."
        ) from None
    except OSError as error:
        raise StorageError(
            f"Nothing can be written in {root} ({error.strerror}). "
            "To search an index there, open it with read_only=True."
        ) from error
    _open_here.add(root)
    return lock
