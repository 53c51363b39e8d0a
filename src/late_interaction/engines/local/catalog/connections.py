"""Pool connections to the catalog. They belong to one process, and are closed before it forks."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING

from late_interaction.engines.local.catalog.filter_sql import LOWERED
from late_interaction.engines.local.catalog.sqlite_errors import readable_schema
from late_interaction.errors import IndexClosedError, StorageError
from late_interaction.forking import hold_across_forks

if TYPE_CHECKING:
    from late_interaction.engines.local.storage.location import Location

__all__ = ["Connection", "Connections"]

_BUSY_TIMEOUT_MS = 30_000
_MAX_IDLE_CONNECTIONS = 8
_POLL_SECONDS = 0.001

_inherited: list[sqlite3.Connection] = []  # from the parent process: neither used nor closed in a child


class Connection(sqlite3.Connection):
    """A connection that weak references can refer to.

    Attributes:
        is_denied: Whether SQLite could open the file only for reading, although it was to be written.
    """

    is_denied = False


class Connections:
    """A pool of connections to one catalog. Any thread may take one, and a signal may interrupt any method.

    SQLite connections must not be used across a fork: a child inherits SQLite's record of the locks of this process,
    but not the locks. So a fork waits until no thread is in a transaction, and closes idle connections first. If a
    connection is open all the same, of a scan for example, the child cannot use the index.

    Args:
        location: The directory of the index.
        read_only: Open connections for reading, also on a read-only file system.
    """

    def __init__(self, location: Location, *, read_only: bool) -> None:
        self.read_only = read_only
        self._location = location
        self._path = location.root / "catalog.sqlite"
        self._idle: deque[Connection] = deque()  # appending and popping are atomic
        self._open: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._lasting: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._gate = threading.RLock()  # held by a thread that forks
        self._is_closed = False
        self._has_inherited = False
        hold_across_forks(self)

    def take(self, *, lasting: bool = False) -> Connection:
        """Return a connection outside of any transaction.

        Args:
            lasting: The user of this package decides how long it is held, so a fork does not wait for it.

        Raises:
            IndexClosedError: The index is closed.
            IndexReplacedError: The path leads to another index now.
            StorageError: This process was forked while a transaction was open, or the catalog cannot be opened.
        """
        if self._has_inherited:
            raise StorageError(
                f"{self._path}: this process was forked during a scan, a one_state() block or a long write, so it "
                "cannot use the index. Fork at another time, or start the process with the method 'spawn'."
            )
        with self._gate:
            if self._is_closed:
                raise IndexClosedError("The index is closed. Open it again.")
            self._location.check()
            connection = self._idle.pop() if self._idle else self._connect()
            self._open.add(connection)
            if lasting:
                self._lasting.add(connection)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Return a connection to the pool, rolling back an open transaction."""
        if connection not in self._open:
            _inherited.append(connection)
            return
        if connection.in_transaction:
            connection.rollback()
        is_single_use = connection.is_denied or self._directory_is_read_only()  # permissions may change
        if self._is_closed or len(self._idle) >= _MAX_IDLE_CONNECTIONS or is_single_use:
            connection.close()
            return
        self._lasting.discard(connection)
        self._idle.append(connection)
        if self._is_closed:  # by another thread or a signal handler
            self._close_idle()

    def drop(self, connection: Connection) -> None:
        """Close a connection after an error."""
        if connection in self._open:
            connection.close()
        else:
            _inherited.append(connection)

    def close(self) -> None:
        """Close all idle connections. A connection in use is closed when it is given back."""
        self._is_closed = True
        self._close_idle()

    def hold(self, timeout: float) -> bool:
        """Close idle connections and wait for those in use. Called before a fork.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether this thread now prevents others from taking connections.
        """
        end = time.monotonic() + timeout
        if not self._gate.acquire(timeout=timeout):
            return False
        self._close_idle()
        while time.monotonic() < end and any(map(_is_open, self._open - self._lasting)):
            time.sleep(_POLL_SECONDS)
            self._close_idle()
        return True

    def release(self) -> None:
        """Let other threads take connections again. Called in the parent after a fork."""
        self._gate.release()

    def renew(self, *, held: bool) -> None:
        """Discard inherited connections. Called in a child after a fork, with what `hold` returned."""
        self._has_inherited = not held or any(map(_is_open, self._open))
        _inherited.extend(self._idle)
        self._open, self._lasting = weakref.WeakSet(), weakref.WeakSet()
        self._idle = deque()
        self._gate = threading.RLock()
        self.read_only = True

    def _close_idle(self) -> None:
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:  # another thread has taken the last one
                return

    def _connect(self) -> Connection:
        connection = sqlite3.connect(
            f"{self._path.as_uri()}?{self._mode()}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            factory=Connection,
        )
        try:
            with readable_schema(self._path):
                connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
                connection.execute("PRAGMA foreign_keys = ON")
                connection.create_function(LOWERED, 1, str.lower, deterministic=True)
                connection.execute("PRAGMA synchronous = FULL")
            self._location.check()  # again: the directory may have been replaced meanwhile
            connection.is_denied = not self.read_only and not self._may_write()
        except BaseException:
            connection.close()
            raise
        return connection

    def _mode(self) -> str:
        """Return the URI parameters with which SQLite opens the file.

        If there is a log of commits, SQLite needs a shared-memory file, which it may have to create.
        """
        if not self.read_only:
            return "mode=rw"
        log, shared_memory = (self._path.with_name(self._path.name + suffix) for suffix in ("-wal", "-shm"))
        if not self._directory_is_read_only():
            return "mode=ro"
        if not log.exists() or not log.stat().st_size:
            return "mode=ro&immutable=1"
        if shared_memory.exists():  # another process, which may write here, has the index open
            return "mode=ro"
        raise StorageError(
            f"{self._path} was not closed: its last commits are still in {log.name}, and its directory is read-only. "
            "Open and close the index once where it can be written, then copy it."
        )

    def _may_write(self) -> bool:
        """Return whether this process may write all files that SQLite writes."""
        files = [self._path, *(self._path.with_name(self._path.name + suffix) for suffix in ("-wal", "-shm"))]
        return all(os.access(path, os.W_OK) for path in (self._path.parent, *filter(os.path.lexists, files)))

    def _directory_is_read_only(self) -> bool:
        """Return whether this process may not create files beside the catalog, as on a read-only file system.

        How a connection must be opened then depends on whether a writer is running, so each transaction opens its own.
        """
        return self.read_only and not os.access(self._path.parent, os.W_OK)


def _is_open(connection: Connection) -> bool:
    try:
        connection.total_changes  # noqa: B018  # the cheapest attribute that raises on a closed connection
    except sqlite3.ProgrammingError:
        return False
    return True
