"""The catalog: one SQLite database that alone says what the index holds.

Documents, metadata, the words for lexical search, segments, tombstones and settings live here; the columns of token
vectors live in segment files that count only while the catalog names them. A commit of the catalog is a commit of the
index. WAL mode lets any number of readers, in any process, each see one consistent state while one writer works;
``synchronous=FULL`` makes a returned commit survive power loss.
"""

from __future__ import annotations

import json
import os
import queue
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, TypeVar

from late_interaction.engines.local.files import CATALOG, sync_directory, sync_file
from late_interaction.engines.local.migration import bring_up_to_date
from late_interaction.engines.local.regular_files import check_catalog_files
from late_interaction.engines.local.rows import Reader
from late_interaction.engines.local.schema import FORMAT_VERSION, SCHEMA
from late_interaction.engines.local.sqlite_errors import index_error, readable_schema
from late_interaction.engines.local.where import LOWERED
from late_interaction.engines.local.writer import Writer
from late_interaction.errors import IndexClosedError, IndexNotFoundError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["FORMAT_VERSION", "Catalog"]

_Result = TypeVar("_Result")

_BUSY_TIMEOUT_MS = 30_000


class Catalog:
    """The catalog of the index in a directory.

    Connections are pooled: each read or write takes one, so any thread may call.

    Args:
        root: The directory of the index.
        read_only: Open without writing anything, also on a read-only file system.

    Raises:
        IndexNotFoundError: There is no catalog.
        CorruptIndexError: The file is not a catalog, or is of a newer format.
    """

    def __init__(self, root: Path, *, read_only: bool) -> None:
        self.path = root / CATALOG
        self.read_only = read_only
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._closed = False
        if not self.path.is_file():
            raise IndexNotFoundError(f"There is no index at {root} (no {CATALOG}).")
        try:
            check_catalog_files(self.path)
            with self.reading() as reader:
                reader.check_schema(self.path)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def create(root: Path, *, dim: int, bits: int | None) -> None:
        """Create the catalog of an empty index, unless there is one. The writer lock must be held.

        It is made under another name and then renamed, so that a crash leaves none or a whole one.
        """
        path, unfinished = root / CATALOG, root / f"{CATALOG}.new"
        if path.exists():
            return
        unfinished.unlink(missing_ok=True)
        with closing(sqlite3.connect(unfinished, isolation_level=None)) as connection:
            connection.executescript(SCHEMA)
            settings = {"format_version": FORMAT_VERSION, "dim": dim, "bits": bits, "generation": 0}
            rows = [(key, json.dumps(value)) for key, value in settings.items()]
            connection.executemany("INSERT INTO settings VALUES (?, ?)", rows)
            Writer(connection).seal()
            connection.execute("PRAGMA journal_mode = WAL")
        sync_file(unfinished)
        unfinished.replace(path)
        sync_directory(root)

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """A consistent view of the last commit, for as long as the block lasts."""
        with self._connection() as connection:
            connection.execute("BEGIN")
            try:
                yield Reader(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def gathering(self) -> Iterator[sqlite3.Connection]:
        """A connection outside of any transaction, for `Incoming` and then `commit`."""
        with self._connection() as connection:
            try:
                yield connection
            except BaseException:
                connection.close()
                raise

    def commit(self, change: Callable[[Writer], _Result], connection: sqlite3.Connection | None = None) -> _Result:
        """Make a change in one transaction, undone when it raises. The writer lock must be held."""
        if connection is None:
            with self._connection() as connection:
                return self.commit(change, connection)
        connection.execute("BEGIN IMMEDIATE")
        try:
            writer = Writer(connection)
            if writer.version < FORMAT_VERSION:
                bring_up_to_date(connection, writer.version)
                writer = Writer(connection)
            result = change(writer)
            writer.set_setting("generation", writer.generation + 1)
            writer.seal()
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        return result

    def copy(self, root: Path) -> None:
        """Write a copy of the last commit into another directory. It is made under another name and then renamed."""
        unfinished = root / f"{CATALOG}.new"
        with self._connection() as connection, closing(sqlite3.connect(unfinished)) as target:
            connection.backup(target)
        sync_file(unfinished)
        unfinished.replace(root / CATALOG)
        sync_directory(root)

    def integrity_problems(self) -> list[str]:
        """What SQLite finds wrong with the database file."""
        with self._connection() as connection:
            try:
                rows = connection.execute("PRAGMA integrity_check").fetchall()
                rows += [(f"broken reference in {row[0]}",) for row in connection.execute("PRAGMA foreign_key_check")]
            except sqlite3.DatabaseError as error:
                return [f"{self.path}: {error}"]
        return [f"{self.path}: {row[0]}" for row in rows if row[0] != "ok"]

    def close(self) -> None:
        """Close all idle connections; one in use is closed when its block ends."""
        self._closed = True
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        if self._closed:
            raise IndexClosedError("The index is closed. Open it again.")
        connection = None
        try:
            connection = self._take()
            yield connection
        except sqlite3.DatabaseError as error:
            meaning = index_error(error, self.path)
            if meaning is None:
                raise
            raise meaning from error
        finally:
            if connection is not None:
                if self._closed or self._in_guest_mode() or not _is_open(connection):
                    connection.close()
                else:
                    self._idle.put(connection)
                    if self._closed:  # meanwhile
                        self.close()

    def _take(self) -> sqlite3.Connection:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.resolve().as_uri()}?{self._mode()}", uri=True, isolation_level=None, check_same_thread=False
        )
        with readable_schema(self.path):
            connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.create_function(LOWERED, 1, str.lower, deterministic=True)
            connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _mode(self) -> str:
        """How SQLite may open the file: beside a log of commits it needs a shared-memory file, if need be a new one."""
        if not self.read_only:
            return "mode=rw"
        log, shared_memory = (self.path.with_name(self.path.name + suffix) for suffix in ("-wal", "-shm"))
        if not self._in_guest_mode():
            return "mode=ro"
        if not log.exists() or not log.stat().st_size:
            return "mode=ro&immutable=1"
        if shared_memory.exists():  # a writer is at work who may do what we may not
            return "mode=ro"
        raise StorageError(
            f"{self.path} was not closed: its last commits are still in {log.name}, and nothing can be written "
            "here. Open and close the index once where it can be written, then copy it."
        )

    def _in_guest_mode(self) -> bool:
        """Whether this process may not make files beside the catalog, as on a read-only file system.

        What is right for a connection then depends on whether a writer is at work, so each transaction opens its own.
        """
        return self.read_only and not os.access(self.path.parent, os.W_OK)


def _is_open(connection: sqlite3.Connection) -> bool:
    try:
        return not connection.in_transaction
    except sqlite3.ProgrammingError:
        return False
