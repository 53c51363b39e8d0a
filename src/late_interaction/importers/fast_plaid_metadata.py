"""Read ``metadata.db`` of fast-plaid.

It has one table, ``METADATA``, with a column for each key and with ``_subset_``, the number of the document, as its
primary key. The numbers go from 0 without gaps.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from late_interaction.importers.files import damaged, has_file
from late_interaction.importers.sqlite_tables import SqliteTable, open_table, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Metadata", "open_metadata"]

_FILE = "metadata.db"
_NUMBER = "_subset_"
_MAX_VALUE_LENGTH = 16 * 2**20
"""Characters of a text, or bytes of a binary value."""


class Metadata:
    """The metadata of all documents. Made by `open_metadata`.

    Attributes:
        notes: What is left out, as sentences for the user.
    """

    def __init__(self, table: SqliteTable, documents: int, notes: tuple[str, ...]) -> None:
        self._table = table
        self._documents = documents
        self.notes = notes

    def read(self, start: int = 0) -> Iterator[dict[str, Any]]:
        """Yield the metadata of each document from position ``start`` on, without what is NULL or not JSON.

        Raises:
            CorruptIndexError: The database is damaged.
        """
        keys = _keys(self._table)
        names = ", ".join(map(quoted, (_NUMBER, *keys)))
        query = f"SELECT {names} FROM METADATA WHERE _subset_ >= ? ORDER BY _subset_ LIMIT ?"
        rows = self._table.rows(query, start, self._documents - start)
        for expected in range(start, self._documents):
            number, *values = next(rows, (None,))
            if number != expected:
                raise damaged(self._table.path, f"does not have the row {expected:,}")
            yield {key: value for key, value in zip(keys, values, strict=True) if _is_storable(value)}


def open_metadata(folder: Path, documents: int) -> Metadata | None:
    """Open the metadata of an index. None if it has none.

    Args:
        folder: The folder of the index.
        documents: The number of its documents.

    Raises:
        CorruptIndexError: The file is not a database of fast-plaid or damaged, a value is too large, or it has another
            number of documents.
    """
    if not has_file(folder, _FILE):
        return None
    table = open_table(folder, _FILE, "METADATA", key=_NUMBER)
    query = "SELECT count(*) FROM (SELECT _subset_ FROM METADATA LIMIT ?)"
    [(rows,)] = table.rows(query, documents + 1)
    if rows != documents:
        raise damaged(
            table.path,
            f"has {f'{rows:,}' if rows < documents else 'more'} rows for {documents:,} documents. fast-plaid writes "
            f"the rows first, so it was perhaps interrupted. To import without metadata, leave {_FILE} out of a copy",
        )
    return Metadata(table, documents, tuple(note for key in _keys(table) for note in _inspected(table, key, documents)))


def _keys(table: SqliteTable) -> list[str]:
    return [name for name in table.columns if name != _NUMBER]


def _inspected(table: SqliteTable, key: str, documents: int) -> Iterator[str]:
    """Yield a note if a column has values that are not JSON.

    Raises:
        CorruptIndexError: A value is too large.
    """
    query = (
        "SELECT sum(typeof(value) = 'blob' OR (typeof(value) = 'real' AND abs(value) > 1.7976931348623157e308)), "
        f"max(length(value)) FROM (SELECT {quoted(key)} AS value FROM METADATA LIMIT ?)"
    )
    [(unstorable, longest)] = table.rows(query, documents)
    if (longest or 0) > _MAX_VALUE_LENGTH:
        raise damaged(table.path, f"has {longest:,} characters in the column {key!a:.80}, at most 16 Mi are read")
    if unstorable:
        yield (
            f"The column {key!r:.80} of {_FILE} has {unstorable:,} binary or infinite values, which are not JSON. "
            "They are left out."
        )


def _is_storable(value: object) -> bool:
    return isinstance(value, (int, str)) or (isinstance(value, float) and math.isfinite(value))
