"""Connections to the catalog: pooled, of this process alone, gone before a fork."""

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
_MAX_IDLE = 8
_POLL_SECONDS = 0.001


_inherited: list[sqlite3.Connection] = []  # by a child: neither used nor closed there


class Connection(sqlite3.Connection):
    """A connection that can be referred to weakly.

    Attributes:
        is_denied: Whether SQLite could only open it for reading, since the file may not be written at the moment.
    """

    is_denied = False


class Connections:
    """Hands out connections to one catalog. Any thread may take one; a signal may interrupt it anywhere.

    SQLite must not be carried across a fork: a child inherits its notes of which locks this process holds, and not the
    locks. So a fork waits until no thread is in a transaction, and idle connections are closed before it. A child that
    has inherited an open one all the same, of a scan for example, is refused.

    Args:
        location: Of the index.
        read_only: Open without writing anything, also on a read-only file system.
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
        self._is_spoiled = False
        hold_across_forks(self)

    def take(self, *, lasting: bool = False) -> Connection:
        """Return a connection outside of any transaction.

        Args:
            lasting: It is held as long as the caller of this package likes, so a fork does not wait for it.

        Raises:
            IndexClosedError: The index is closed.
            IndexReplacedError: The path leads to another index now.
            StorageError: This process was forked while a transaction was open.
        """
        if self._is_spoiled:
            raise StorageError(
                f"{self._path}: this process was forked while a scan, one_state() or a long write of the index was "
                "open, so it cannot use the index. Fork at another time, or start the process by 'spawn'."
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
        """Take back a connection, rolling back what it has begun."""
        if connection not in self._open:
            _inherited.append(connection)
            return
        if connection.in_transaction:
            connection.rollback()
        is_of_no_use = connection.is_denied or self._in_guest_mode()  # the next transaction may be allowed more
        if self._is_closed or len(self._idle) >= _MAX_IDLE or is_of_no_use:
            connection.close()
            return
        self._lasting.discard(connection)
        self._idle.append(connection)
        if self._is_closed:  # meanwhile
            self._close_idle()

    def drop(self, connection: Connection) -> None:
        """Close a connection after an error."""
        if connection in self._open:
            connection.close()
        else:
            _inherited.append(connection)

    def close(self) -> None:
        """Close all idle connections; one in use is closed when it is given back."""
        self._is_closed = True
        self._close_idle()

    def hold(self, timeout: float) -> bool:
        """Before a fork: close what is idle and wait for what is in use."""
        end = time.monotonic() + timeout
        if not self._gate.acquire(timeout=timeout):
            return False
        self._close_idle()
        while time.monotonic() < end and any(map(_is_open, self._open - self._lasting)):
            time.sleep(_POLL_SECONDS)
            self._close_idle()
        return True

    def release(self) -> None:
        """In the parent, after a fork."""
        self._gate.release()

    def renew(self, *, held: bool) -> None:
        """In a child, after a fork: no connection may be inherited."""
        self._is_spoiled = not held or any(map(_is_open, self._open))
        _inherited.extend(self._idle)
        self._open, self._lasting = weakref.WeakSet(), weakref.WeakSet()
        self._idle = deque()
        self._gate = threading.RLock()
        self.read_only = True

    def _close_idle(self) -> None:
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:  # another thread was faster
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
            self._location.check()  # or another index may have come between
            connection.is_denied = not self.read_only and not self._may_write()
        except BaseException:
            connection.close()
            raise
        return connection

    def _mode(self) -> str:
        """How SQLite may open the file: beside a log of commits it needs a shared-memory file, if need be a new one."""
        if not self.read_only:
            return "mode=rw"
        log, shared_memory = (self._path.with_name(self._path.name + suffix) for suffix in ("-wal", "-shm"))
        if not self._in_guest_mode():
            return "mode=ro"
        if not log.exists() or not log.stat().st_size:
            return "mode=ro&immutable=1"
        if shared_memory.exists():  # a writer is at work who may do what we may not
            return "mode=ro"
        raise StorageError(
            f"{self._path} was not closed: its last commits are still in {log.name}, and nothing can be written "
            "here. Open and close the index once where it can be written, then copy it."
        )

    def _may_write(self) -> bool:
        """Return whether this process may write everything that SQLite writes."""
        files = [self._path, *(self._path.with_name(self._path.name + suffix) for suffix in ("-wal", "-shm"))]
        return all(os.access(path, os.W_OK) for path in (self._path.parent, *filter(os.path.lexists, files)))

    def _in_guest_mode(self) -> bool:
        """Return whether this process may not make files beside the catalog, as on a read-only file system.

        How a connection must be opened then depends on whether a writer is at work, so each transaction opens its own.
        """
        return self.read_only and not os.access(self._path.parent, os.W_OK)


def _is_open(connection: Connection) -> bool:
    try:
        connection.total_changes  # noqa: B018  # the cheapest question that a closed one does not answer
    except sqlite3.ProgrammingError:
        return False
    return True
