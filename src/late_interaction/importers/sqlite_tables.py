"""Read one table of an SQLite database, which may come from a stranger.

The database is opened read-only, and an authorizer allows nothing but reading columns of that table. The caller bounds
the number of rows of each query, so a damaged tree of pages cannot make it endless. Rows are read one after the other.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from late_interaction.importers.files import damaged, file_path, has_file, open_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["SqliteTable", "open_table", "quoted"]

_HEADER_BYTES = 100
_MAX_COLUMNS = 2000
"""The limit of SQLite, unless it is built with another one."""
_MAX_DEFINITION_LENGTH = 2**20
"""Characters of the statement that defines the table: the default of a column counts for every row that lacks it."""
_FUNCTIONS = {"abs", "count", "length", "max", "sum", "typeof"}


@dataclass(frozen=True)
class SqliteTable:
    """A table. Made by `open_table`.

    Attributes:
        path: The file.
        name: The name of the table.
        columns: The names of its columns.
    """

    path: Path
    name: str
    columns: tuple[str, ...]

    def rows(self, query: str, *parameters: int) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query, which must limit their number.

        Raises:
            CorruptIndexError: The database is damaged.
        """
        with _opened(self.path) as database:
            database.set_authorizer(self._authorize)
            yield from database.execute(query, parameters)

    def _authorize(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        is_allowed = (
            action == sqlite3.SQLITE_SELECT
            or (action == sqlite3.SQLITE_READ and first in (self.name, ""))
            or (action == sqlite3.SQLITE_FUNCTION and second in _FUNCTIONS)
        )
        return sqlite3.SQLITE_OK if is_allowed else sqlite3.SQLITE_DENY


def open_table(folder: Path, name: str, table: str, *, key: str) -> SqliteTable:
    """Open a table of a database that must have no other table, view or trigger.

    Args:
        folder: The folder of the source.
        name: The name of the file.
        table: The name of the table.
        key: The column that must be its primary key.

    Raises:
        CorruptIndexError: The file is missing or not a complete database, the database or the table has another form,
            or a transaction is unfinished.
    """
    path = file_path(folder, name)
    for log in (f"{name}-journal", f"{name}-wal"):
        if has_file(folder, log) and (folder / log).stat().st_size:
            raise damaged(path, f"has an unfinished transaction ({log}), which the tool that wrote it must complete")
    _check_size(folder, name)
    with _opened(path) as database:
        query = "SELECT type, name, rootpage > 0, length(sql) FROM sqlite_master WHERE type <> 'index' LIMIT 2"
        entries = database.execute(query).fetchall()
        if [entry[:3] for entry in entries] != [("table", table, 1)]:  # a virtual table has no page
            raise damaged(path, f"must contain the table {table!r} alone, got {entries!a:.200}")
        if entries[0][3] > _MAX_DEFINITION_LENGTH:
            raise damaged(path, f"defines its table by more than {_MAX_DEFINITION_LENGTH:,} characters")
        columns = database.execute(f"PRAGMA table_xinfo({quoted(table)})").fetchmany(_MAX_COLUMNS + 1)
    keys = [column for _, column, _, _, _, is_key, _ in columns if is_key]
    if len(columns) > _MAX_COLUMNS or keys != [key] or any(hidden for *_, hidden in columns):
        raise damaged(path, f"must have at most {_MAX_COLUMNS:,} ordinary columns and the primary key {key!r}")
    return SqliteTable(path, table, tuple(column for _, column, *_ in columns))


def _check_size(folder: Path, name: str) -> None:
    """Refuse a database whose file is shorter than its header says, since SQLite takes what is missing for zeros."""
    with open_file(folder, name) as file:
        header = file.read(_HEADER_BYTES)
        size = os.fstat(file.fileno()).st_size
    page_bytes = int.from_bytes(header[16:18], "big")  # 1 stands for 65,536
    pages = int.from_bytes(header[28:32], "big")
    if len(header) < _HEADER_BYTES or size < pages * (65_536 if page_bytes == 1 else page_bytes):
        raise damaged(folder / name, f"is truncated: it has {size:,} bytes")


def quoted(name: str) -> str:
    """Return a name as SQL."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database; ``immutable`` also keeps SQLite from reading and writing logs beside it."""
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        # Rows may be read by another thread than the one that asked for them, but never by two at once.
        with closing(sqlite3.connect(uri, uri=True, check_same_thread=False)) as database:
            database.execute("PRAGMA trusted_schema=OFF")
            yield database
    except (sqlite3.Error, UnicodeDecodeError, OverflowError, MemoryError) as error:
        raise damaged(path, f"is not a complete SQLite database of the expected form ({error!s:.200})") from None
