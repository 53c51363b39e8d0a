"""Write transactions: the checks before a commit, and what every commit writes besides its change."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, TypeVar

from late_interaction.engines.local.storage.files import disk_errors
from late_interaction.engines.local.storage.last_commit import LastCommit
from late_interaction.engines.local.storage.names import Names
from late_interaction.errors import (
    IndexClosedError,
    IndexLockedError,
    IndexReplacedError,
    InvalidRequestError,
)
from late_interaction.forking import renew_in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from late_interaction.engines.local.catalog.database import Catalog
    from late_interaction.engines.local.catalog.writer import Writer
    from late_interaction.engines.local.storage.location import Location
    from late_interaction.engines.local.storage.locking import WriterLock

__all__ = ["Transactions"]

_Result = TypeVar("_Result")


class Transactions:
    """The write transactions of the process that holds the writer lock. Any thread may commit; one does at a time.

    No code of a caller runs inside a transaction, except in a signal handler. A handler that interrupts a commit cannot
    commit itself, since it would wait for the thread that it interrupts.

    Args:
        location: The directory of the index.
        catalog: The catalog.
        lock: The writer lock.

    Attributes:
        names: Names for new directories.
    """

    def __init__(self, location: Location, catalog: Catalog, lock: WriterLock) -> None:
        self.names = Names(location.root, _reserving(weakref.ref(self)))
        self._location = location
        self._catalog = catalog
        self._lock = lock
        self._last_commit = LastCommit(location.root)
        self._process = os.getpid()
        self._removed: list[str] = []
        self._is_committing = False
        self._is_closed = False
        self._make_mutex()
        renew_in_child(self._leave_to_parent)

    @property
    def is_inherited(self) -> bool:
        """Whether this process was forked from the writer."""
        return os.getpid() != self._process

    def check(self) -> None:
        """Check that this process may write.

        Raises:
            IndexLockedError: The process was forked from the writer.
            IndexClosedError: The index is closed.
            IndexReplacedError: The path leads to another index, or the lock file was removed or replaced.
        """
        self.check_process()
        is_held = self._lock.is_held  # before `_is_closed`: a signal handler may close the index between any two lines
        if self._is_closed:
            raise IndexClosedError("The index is closed. Open it again.")
        self._location.check()
        if not is_held:
            raise IndexReplacedError(
                f"The lock file of the index at {self._location.root} was removed or replaced, so another process may "
                "be writing. Nothing was written. Open the index again."
            )

    def check_process(self) -> None:
        """Raise `IndexLockedError` if this process was forked from the writer."""
        if self.is_inherited:
            raise IndexLockedError(
                f"The index at {self._location.root} is open for writing in the process {self._process}, from which "
                "this process was forked. Here it can only be read. Write in that process, or close the index before "
                "the fork."
            )

    def commit(self, change: Callable[[Writer], _Result], *, after: int = 0) -> _Result:
        """Make a change in one transaction, rolled back on any error. Once this returns, the change is durable.

        Args:
            change: Makes the change.
            after: A number that the commit number must exceed.

        Returns:
            What ``change`` returned.

        Raises:
            InvalidRequestError: Called by a signal handler that interrupted a commit in this thread.
            StorageError: A file cannot be written.
        """
        self.check()
        removed = list(self._removed)

        def change_and_names(writer: Writer) -> tuple[_Result, list[str]]:
            result = change(writer)
            writer.forget_names(removed)
            return result, writer.reserve_names(self.names.missing)

        with self._mutex:
            if self._is_committing:
                raise InvalidRequestError(
                    "A signal handler or a finalizer cannot write to an index while it interrupts a write to it."
                )
            try:
                self._is_committing = True
                (result, names), number = self._catalog.commit(change_and_names, self.check, after=after)
                with disk_errors(self._location.root):
                    self._last_commit.write(number)
            finally:
                self._is_committing = False
                if self._is_closed:  # by a signal handler
                    self._last_commit.close()
            self.names.add(names)
            self._removed = [name for name in self._removed if name not in removed]
        return result

    def forget(self, names: Iterable[str]) -> None:
        """Delete the records of names whose directories are removed, in the next commit."""
        self._removed.extend(names)

    def hold(self) -> AbstractContextManager[bool]:
        """Return a mutex: inside its ``with`` block, no other thread commits."""
        return self._mutex

    def exclusively(self, work: Callable[[], _Result]) -> _Result:
        """Do something while no other thread commits or closes the index; raise as `check` if it is closed."""
        with self._mutex:
            self.check()
            return work()

    def close(self) -> None:
        """Wait for a commit of another thread, then refuse further ones. Closing twice is allowed."""
        with self._mutex:
            self._is_closed = True
            if not self._is_committing:  # else by the commit that a signal handler interrupts, when it ends
                self._last_commit.close()

    def _leave_to_parent(self) -> None:
        """Close the files that only the parent may use. Called in a forked child."""
        self._make_mutex()
        self._lock.abandon()
        self._last_commit.close()

    def _make_mutex(self) -> None:
        self._mutex = threading.RLock()  # reentrant, so that a signal handler may close the index


def _reserving(reference: weakref.ref[Transactions]) -> Callable[[], object]:
    """Return a function that reserves names by a commit.

    A reference cycle would keep the writer lock until the next garbage collection.
    """

    def reserve() -> None:
        transactions = reference()
        if transactions is not None:
            transactions.commit(lambda _: None)

    return reserve
