"""The lock of the one writer.

It is ``flock`` on ``writer.lock`` (the first byte of it on Windows), taken here and not by a library, for three
reasons: the lock belongs to the open file, which a forked child inherits, so the child must close it without
unlocking; the file may be removed or replaced under the writer, who must notice before each commit; and a lock that
nobody holds any more is released by the garbage collector, also after an interrupt.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

from late_interaction.engines.local.storage.files import LOCK, open_regular
from late_interaction.errors import IndexLockedError

if TYPE_CHECKING:
    from io import FileIO
    from pathlib import Path

__all__ = ["WriterLock"]

_ATTEMPTS = 8  # the file may be removed between opening and locking it, by a copy that failed


_held_here: weakref.WeakSet[WriterLock] = weakref.WeakSet()  # for the message of IndexLockedError


class WriterLock:
    """The right to write in a directory, for as long as the object is held.

    Args:
        root: The directory, which must exist.

    Raises:
        IndexLockedError: Another object has it, in this process or another.
        OSError: The file cannot be made or locked.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / LOCK
        self._file: FileIO | None = None
        for _ in range(_ATTEMPTS):
            file = open_regular(self._path, create=True)
            if not _locked(file):
                is_here = any(lock.is_on(file) for lock in list(_held_here))
                file.close()
                where = "in this process already: use that object, or close it" if is_here else "by another process"
                raise IndexLockedError(
                    f"The index at {root} is open for writing {where}. To search beside a writer, open it with "
                    "read_only=True."
                )
            self._file = file
            if self.is_held:
                _held_here.add(self)
                return
            self.release()
        raise IndexLockedError(f"{self._path} is removed again and again by another process.")

    @property
    def is_held(self) -> bool:
        """Whether the lock still protects the directory: the file it is on is still the one of that name."""
        if self._file is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), os.lstat(self._path))
        except OSError:
            return False

    def is_on(self, file: FileIO) -> bool:
        """Return whether this is the lock on an open file."""
        return self._file is not None and os.path.samestat(os.fstat(self._file.fileno()), os.fstat(file.fileno()))

    def release(self) -> None:
        """Let others write. Releasing twice is no error."""
        if self._file is not None:
            self._file.close()  # no other process has this open file: forked children close theirs
            self._file = None

    abandon = release
    """Close the file in a forked child. The parent, which has it open too, keeps the lock."""


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
