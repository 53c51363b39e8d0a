"""The catalog: one SQLite database that alone says what the index holds.

Documents, metadata, the words for lexical search, segments, tombstones and settings live here; the columns of token
vectors live in segment files that count only while the catalog names them. A commit of the catalog is a commit of the
index. WAL mode lets any number of readers, in any process, each see one consistent state while one writer works;
``synchronous=FULL`` makes a returned commit survive power loss.
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
from late_interaction.engines.local.catalog.sqlite_errors import index_error
from late_interaction.engines.local.catalog.writer import Writer
from late_interaction.engines.local.storage.files import CATALOG, sync_directory, sync_file
from late_interaction.engines.local.storage.names import IN_RESERVE
from late_interaction.engines.local.storage.regular_files import check_catalog_files
from late_interaction.errors import LateInteractionError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from late_interaction.engines.local.catalog.connections import Connection
    from late_interaction.engines.local.storage.location import Location

__all__ = ["FORMAT_VERSION", "Catalog"]

_Result = TypeVar("_Result")

_EMPTYING_MS = 50  # how long a checkpoint waits for searches that are under way
_GENERATION_BITS = 52  # below 2**53, so that every JSON reader keeps it


class Catalog:
    """The catalog of the index in a directory. Any thread may call.

    Args:
        location: Of the index.
        read_only: Open without writing anything, also on a read-only file system.

    Attributes:
        path: Of the database file.
        dim: Dimension of the token vectors.
        bits: For each dimension of a compressed vector; None if vectors stay exact.

    Raises:
        CorruptIndexError: The file is not a catalog, or is of a newer format.
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
        except BaseException:
            self.close()
            raise

    @staticmethod
    def create(root: Path, *, dim: int, bits: int | None) -> None:
        """Create the catalog of an empty index. The writer lock must be held.

        It is made under another name and then renamed, so that a crash leaves none or a whole one.
        """
        unfinished = root / f"{CATALOG}.new"
        with _reported(unfinished):
            unfinished.unlink(missing_ok=True)
            with closing(sqlite3.connect(unfinished, isolation_level=None)) as connection:
                connection.executescript(SCHEMA)
                settings = {"format_version": FORMAT_VERSION, "dim": dim, "bits": bits}
                rows = [(key, json.dumps(value)) for key, value in settings.items()]
                connection.executemany("INSERT INTO settings VALUES (?, ?)", rows)
                _renew(connection)
            _put_in_place(unfinished, root)

    def copy(self, root: Path) -> None:
        """Write a copy of the last commit into another directory, with a generation and names of its own."""
        unfinished = root / f"{CATALOG}.new"
        with (
            self.errors(),
            _reported(unfinished),
            closing(sqlite3.connect(unfinished, isolation_level=None)) as target,
        ):
            connection = self._connections.take()
            connection.backup(target)
            self._connections.give_back(connection)
            if Reader(target).version == FORMAT_VERSION:
                _renew(target)
        _put_in_place(unfinished, root)

    @contextmanager
    def reading(self, *, lasting: bool = False) -> Iterator[Reader]:
        """Give a consistent view of the last commit, for as long as the block lasts.

        Args:
            lasting: The block is as long as users of this package like.
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
        """Return a connection in a read transaction, for `end_reading`."""
        connection = self._connections.take(lasting=lasting)
        try:
            connection.execute("BEGIN")
        except BaseException:
            connection.close()
            raise
        return connection

    def end_reading(self, connection: Connection) -> None:
        """End the transaction."""
        self._connections.give_back(connection)

    def commit(
        self, change: Callable[[Writer], _Result], before_commit: Callable[[], object], *, after: int = 0
    ) -> tuple[_Result, int]:
        """Make a change in one transaction, undone when anything raises. The writer lock must be held.

        Args:
            change: Makes it.
            before_commit: Called when everything is written: the last chance to raise.
            after: A number that the commit's own must exceed.

        Returns:
            What ``change`` returned, and the number of the commit.
        """
        with self.errors():
            connection = self._connections.take()
            try:
                connection.execute("BEGIN IMMEDIATE")
                writer = Writer(connection)
                if writer.version < FORMAT_VERSION:
                    bring_up_to_date(connection, writer.version)
                    writer = Writer(connection)
                    generation = _new_generation()
                else:
                    generation = writer.generation
                result = change(writer)
                generation = max(generation, after) + 1
                writer.finish(generation)
                before_commit()
                connection.execute("COMMIT")
            except BaseException:
                connection.close()  # and so roll back: by one call that no signal divides
                raise
            self._connections.give_back(connection)
            return result, generation

    def checkpoint(self) -> bool:
        """Move the log into the database file, durably, and empty it; return whether nothing is left in it.

        A log that is kept would bring back old pages, should its later part be damaged.
        """
        with self.errors():
            connection = self._connections.take()
            try:
                _, in_log, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                is_busy = in_log != moved
                if not is_busy:
                    connection.execute(f"PRAGMA busy_timeout = {_EMPTYING_MS}")
                    is_busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                connection.close()  # and its timeout with it
            return not is_busy

    def integrity_problems(self) -> list[str]:
        """What SQLite finds wrong with the database file."""
        with self.reading() as reader:
            try:
                return [f"{self.path}: {problem}" for problem in reader.integrity_problems()]
            except sqlite3.DatabaseError as error:
                return [f"{self.path}: {error}"]

    def close(self) -> None:
        """Close all idle connections; one in use is closed when its block ends."""
        self._connections.close()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Report errors of SQLite and of the operating system as errors of this package."""
        with _reported(self.path):
            yield


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except LateInteractionError:
        raise
    except sqlite3.Error as error:
        meaning = index_error(error, path)
        if meaning is None:
            raise
        raise meaning from error
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}. The last commit stands.") from error


def _new_generation() -> int:
    """Return the first number of a catalog's commits, unlike that of any other catalog."""
    return secrets.randbits(_GENERATION_BITS)


def _renew(connection: sqlite3.Connection) -> None:
    """Give a catalog a generation and names of its own, and bring it into WAL mode."""
    connection.execute("PRAGMA journal_mode = DELETE")  # so that closing it leaves nothing to be done
    connection.execute("BEGIN")
    writer = Writer(connection)
    writer.forget_names(writer.spare_names())
    writer.reserve_names(IN_RESERVE)
    writer.finish(_new_generation())
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")


def _put_in_place(unfinished: Path, root: Path) -> None:
    sync_file(unfinished)
    unfinished.replace(root / CATALOG)
    sync_directory(root)
