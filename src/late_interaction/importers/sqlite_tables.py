"""Read one table of an SQLite database, which may come from a stranger.

The database is opened read-only, and an authorizer allows nothing but reading columns of that table. The caller bounds
the rows of each query, so a damaged tree of pages cannot make it endless.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from late_interaction.importers.files import damaged, file_path, has_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["SqliteTable", "open_table", "quoted"]

_MAX_COLUMNS = 2000
"""The limit of SQLite, unless it is built with another one."""
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

    def rows(self, query: str, *parameters: int | str) -> list[tuple[Any, ...]]:
        """Return the rows of a query, which must limit their number.

        Raises:
            CorruptIndexError: The database is damaged.
        """
        with _opened(self.path) as database:
            database.set_authorizer(self._authorize)
            return database.execute(query, parameters).fetchall()

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
    with _opened(path) as database:
        entries = database.execute("SELECT type, name FROM sqlite_master WHERE type <> 'index' LIMIT 2").fetchall()
        if entries != [("table", table)]:
            raise damaged(path, f"must contain the table {table!r} alone, got {entries!a:.200}")
        columns = database.execute(f"PRAGMA table_xinfo({quoted(table)})").fetchmany(_MAX_COLUMNS + 1)
    keys = [column for _, column, _, _, _, is_key, _ in columns if is_key]
    if len(columns) > _MAX_COLUMNS or keys != [key] or any(hidden for *_, hidden in columns):
        raise damaged(path, f"must have at most {_MAX_COLUMNS:,} ordinary columns and the primary key {key!r}")
    return SqliteTable(path, table, tuple(column for _, column, *_ in columns))


def quoted(name: str) -> str:
    """Return a name as SQL."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database; ``immutable`` also keeps SQLite from reading and writing logs beside it."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            database.execute("PRAGMA trusted_schema=OFF")
            yield database
    except (sqlite3.Error, UnicodeDecodeError, OverflowError, MemoryError) as error:
        raise damaged(path, f"is not a complete SQLite database of the expected form ({error!s:.200})") from None
