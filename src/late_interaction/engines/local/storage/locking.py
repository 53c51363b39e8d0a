"""The writer lock: at most one process writes an index.

It is ``flock`` on ``writer.lock``, or a lock on its first byte on Windows. It is implemented here, not by a library,
for three reasons. The lock belongs to the open file, which a forked child inherits, so the child must close the file
without unlocking it. The file may be removed or replaced, which the writer must notice before each commit. And the
garbage collector must release a lock that no object refers to, also after an interrupt.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

from late_interaction.engines.local.storage.files import LOCK
from late_interaction.engines.local.storage.regular_files import open_regular
from late_interaction.errors import IndexLockedError

if TYPE_CHECKING:
    from io import FileIO
    from pathlib import Path

__all__ = ["WriterLock"]

_ATTEMPTS = 8  # a failed copy may remove the file between opening and locking it


_held_here: weakref.WeakSet[WriterLock] = weakref.WeakSet()  # for the message of IndexLockedError


class WriterLock:
    """Acquires the writer lock of a directory, and holds it until it is released or garbage-collected.

    Args:
        root: The directory, which must exist.

    Raises:
        IndexLockedError: Another object holds the lock, in this process or another.
        OSError: The file cannot be created or locked.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / LOCK
        self._file: FileIO | None = None
        for _ in range(_ATTEMPTS):
            file = open_regular(self._path, create=True)
            if not _locked(file):
                is_here = any(lock.is_on(file) for lock in list(_held_here))
                file.close()
                where = (
                    "in this process already, and cannot be shared (with another device=, by LocalEngine.open, or in a "
                    "directory that was moved since): close that object first"
                    if is_here
                    else "by another process"
                )
                raise IndexLockedError(
                    f"The index at {root} is open for writing {where}. To search beside a writer, open it with "
                    "read_only=True."
                )
            self._file = file
            if self.is_held:
                _held_here.add(self)
                return
            self.release()
        raise IndexLockedError(f"{self._path} is repeatedly removed by another process. Stop that process.")

    @property
    def is_held(self) -> bool:
        """Whether the lock still protects the directory: its file was not removed or replaced."""
        if self._file is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), os.lstat(self._path))
        except OSError:
            return False

    def is_on(self, file: FileIO) -> bool:
        """Return whether this object locks the file that is open here."""
        return self._file is not None and os.path.samestat(os.fstat(self._file.fileno()), os.fstat(file.fileno()))

    def release(self) -> None:
        """Release the lock. Releasing it twice is allowed."""
        if self._file is not None:
            self._file.close()  # which unlocks: no other process has it open, since forked children close it
            self._file = None

    abandon = release
    """Close the file in a forked child. The parent has the file open too, so it keeps the lock."""


if os.name == "nt":
    import msvcrt

    def _locked(file: FileIO) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True

else:
    import fcntl

    def _locked(file: FileIO) -> bool:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
