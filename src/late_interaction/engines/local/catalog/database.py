"""The catalog: one SQLite database that defines what the index contains.

It contains documents, metadata, the words for lexical search, segments, tombstones and settings. The columns of token
vectors are in segment files, which belong to the index only while the catalog names them. A commit of the catalog is a
commit of the index. In WAL mode, any number of readers in any process each see one consistent commit while one writer
writes. With ``synchronous=FULL``, a commit that has returned survives power loss.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, TypeVar

from late_interaction.engines.local.catalog.connections import Connections
from late_interaction.engines.local.catalog.migration import bring_up_to_date
from late_interaction.engines.local.catalog.reader import Reader
from late_interaction.engines.local.catalog.schema import FORMAT_VERSION, SCHEMA
from late_interaction.engines.local.catalog.settings import language_of
from late_interaction.engines.local.catalog.sqlite_errors import index_error
from late_interaction.engines.local.catalog.writer import Writer
from late_interaction.engines.local.storage.files import CATALOG, storage_error, sync_directory, sync_file
from late_interaction.engines.local.storage.names import RESERVED_NAMES
from late_interaction.engines.local.storage.regular_files import check_catalog_files
from late_interaction.errors import LateInteractionError
from late_interaction.words import tokenizer_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from late_interaction.engines.local.catalog.connections import Connection
    from late_interaction.engines.local.storage.location import Location

__all__ = ["FORMAT_VERSION", "Catalog"]

_Result = TypeVar("_Result")

_CHECKPOINT_TIMEOUT_MS = 50  # how long a checkpoint waits for running searches
_GENERATION_BITS = 52  # below 2**53, which every JSON parser represents exactly


class Catalog:
    """The catalog of an index. Any thread may call any method.

    Args:
        location: The directory of the index.
        read_only: Open without writing anything, also on a read-only file system.

    Attributes:
        path: The database file.
        dim: Dimension of the token vectors.
        bits: Bits per dimension of a compressed vector; None if vectors stay exact.
        language: Language of the stems of lexical search; None for no stems.

    Raises:
        CorruptIndexError: The file is not a catalog, or has a newer format.
        StorageError: The file cannot be opened.
    """

    def __init__(self, location: Location, *, read_only: bool) -> None:
        self.path = location.root / CATALOG
        self._connections = Connections(location, read_only=read_only)
        try:
            check_catalog_files(self.path)
            with self.reading() as reader:
                reader.check_schema(self.path)
                settings = reader.settings()
            self.dim: int = settings["dim"]
            self.bits: int | None = settings.get("bits")
            self.language = language_of(settings.get("words"))
        except BaseException:
            self.close()
            raise

    @staticmethod
    def create(root: Path, *, dim: int, bits: int | None, language: str | None) -> None:
        """Create the catalog of an empty index. The caller must hold the writer lock.

        It is written under another name and then renamed, so that a crash leaves either none or a complete one.
        """
        unfinished = root / f"{CATALOG}.new"
        with _converted_errors(unfinished):
            unfinished.unlink(missing_ok=True)
            with closing(sqlite3.connect(unfinished, isolation_level=None)) as connection:
                connection.executescript(SCHEMA)
                words = {"language": language, "tokenizer": tokenizer_for(language).version}
                settings = {"format_version": FORMAT_VERSION, "dim": dim, "bits": bits, "words": words}
                rows = [(key, json.dumps(value)) for key, value in settings.items()]
                connection.executemany("INSERT INTO settings VALUES (?, ?)", rows)
                _renew(connection)
            _put_in_place(unfinished, root)

    def copy(self, root: Path) -> None:
        """Write a copy of the last commit into another directory, with its own commit number and names."""
        unfinished = root / f"{CATALOG}.new"
        with (
            self.errors(),
            _converted_errors(unfinished),
            closing(sqlite3.connect(unfinished, isolation_level=None)) as target,
        ):
            connection = self._connections.take()
            connection.backup(target)
            self._connections.give_back(connection)
            if Reader(target).has_spare_names:
                _renew(target)
        _put_in_place(unfinished, root)

    @contextmanager
    def reading(self, *, lasting: bool = False) -> Iterator[Reader]:
        """Open a read transaction for a ``with`` block: every query in it sees the last commit.

        Args:
            lasting: The user of this package decides how long the block lasts.
        """
        with self.errors():
            connection = self.begin_reading(lasting=lasting)
        try:
            with self.errors():
                yield Reader(connection)
        except BaseException:
            self._connections.drop(connection)
            raise
        self.end_reading(connection)

    def begin_reading(self, *, lasting: bool = False) -> Connection:
        """Return a connection in a read transaction. Pass it to `end_reading` in the end."""
        connection = self._connections.take(lasting=lasting)
        try:
            connection.execute("BEGIN")
        except BaseException:
            connection.close()
            raise
        return connection

    def end_reading(self, connection: Connection, *, is_clean: bool = True) -> None:
        """End the read transaction of a connection, and close the connection unless it can be used again."""
        if is_clean:
            self._connections.give_back(connection)
        else:
            self._connections.drop(connection)

    def commit(
        self, change: Callable[[Writer], _Result], before_commit: Callable[[], object], *, after: int = 0
    ) -> tuple[_Result, int]:
        """Make a change in one transaction, rolled back on any error. The caller must hold the writer lock.

        Args:
            change: Makes the change.
            before_commit: Called after all writes and before the commit. If it raises, nothing is committed.
            after: A number that the commit number must exceed.

        Returns:
            What ``change`` returned, and the number of the commit.
        """
        with self.errors():
            connection = self._connections.take()
            try:
                connection.execute("BEGIN IMMEDIATE")
                writer = Writer(connection)
                generation = writer.generation if writer.has_spare_names else _new_generation()
                if writer.version < FORMAT_VERSION:
                    bring_up_to_date(connection, writer.version)
                    writer = Writer(connection)
                result = change(writer)
                generation = max(generation, after) + 1
                writer.finish(generation)
                before_commit()
                connection.execute("COMMIT")
            except BaseException:
                try:
                    # Closing alone rolls back when the last cursor is gone, which an exception that is kept may hold.
                    connection.rollback()
                finally:
                    connection.close()
                raise
            self._connections.give_back(connection)
            return result, generation

    def checkpoint(self, *, waits: bool = True) -> bool:
        """Move the log into the database file durably and truncate it; return whether it is empty.

        If a later part of the log is damaged, SQLite returns to the state that an earlier part describes. A truncated
        log describes none.

        Args:
            waits: Wait a moment for running searches. Meanwhile, other threads cannot commit.
        """
        with self.errors():
            connection = self._connections.take()
            try:
                _, in_log, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                is_busy = in_log != moved
                if not is_busy:
                    connection.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_TIMEOUT_MS if waits else 0}")
                    is_busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                connection.close()  # it has another timeout than those of the pool
            return not is_busy

    def integrity_problems(self) -> list[str]:
        """Return what SQLite finds wrong with the database file."""
        with self.reading() as reader:
            try:
                return [f"{self.path}: {problem}" for problem in reader.integrity_problems()]
            except sqlite3.DatabaseError as error:
                return [f"{self.path}: {error}"]

    def close(self) -> None:
        """Close all idle connections. A connection in use is closed when its block ends."""
        self._connections.close()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Convert errors of SQLite and of the operating system into errors of this package."""
        with _converted_errors(self.path):
            yield


@contextmanager
def _converted_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except LateInteractionError:
        raise
    except sqlite3.Error as error:
        converted = index_error(error, path)
        if converted is None:
            raise
        raise converted from error
    except OSError as error:
        raise storage_error(path, error.strerror or error) from error


def _new_generation() -> int:
    """Return a random number from which the commits of a catalog are counted, so that no two catalogs share one."""
    return secrets.randbits(_GENERATION_BITS)


def _renew(connection: sqlite3.Connection) -> None:
    """Give a catalog its own commit number and names, and set WAL mode."""
    connection.execute("PRAGMA journal_mode = DELETE")  # so that closing the file leaves no log behind
    connection.execute("BEGIN")
    writer = Writer(connection)
    writer.forget_names(writer.spare_names())
    writer.reserve_names(RESERVED_NAMES)
    writer.finish(_new_generation())
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")


def _put_in_place(unfinished: Path, root: Path) -> None:
    sync_file(unfinished)
    unfinished.replace(root / CATALOG)
    sync_directory(root)
