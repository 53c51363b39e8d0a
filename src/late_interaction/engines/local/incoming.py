"""The documents of one upsert, gathered beside the catalog until one short transaction adds them all."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from late_interaction.engines.local.document_rows import DocumentRow, field_rows
from late_interaction.errors import DuplicateIdError

if TYPE_CHECKING:
    from late_interaction.engines.base import Record

__all__ = ["Incoming"]

# SQLite keeps temporary tables in memory while they are small and in an unlinked file after that. They belong to one
# connection, take no lock on the catalog, and vanish with the connection.
_TABLES = """
CREATE TEMPORARY TABLE IF NOT EXISTS incoming (
    position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, text TEXT NOT NULL, encoded_text TEXT,
    metadata TEXT NOT NULL, root INTEGER, checksum INTEGER NOT NULL, image TEXT, thumbnail BLOB);
CREATE TEMPORARY TABLE IF NOT EXISTS incoming_fields (
    path TEXT NOT NULL, kind INTEGER NOT NULL, value NOT NULL, is_element INTEGER NOT NULL, position INTEGER NOT NULL);
"""


class Incoming:
    """Documents on their way into the catalog.

    Args:
        connection: The connection that will add them. It must not be in a transaction.

    Attributes:
        ids: Of the documents, in order.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.ids: list[str] = []
        self._connection = connection
        connection.executescript(_TABLES)
        connection.execute("BEGIN")  # of the temporary tables alone: nothing of the catalog is read or written

    def append(self, record: Record, position: int) -> None:
        """Take a document whose vectors are at this position of the new segment.

        Raises:
            DuplicateIdError: A document of the same id was taken before.
        """
        row = DocumentRow.of(record.document, record.root)
        try:
            self._connection.execute(f"INSERT INTO incoming VALUES (?{', ?' * len(row)})", (position, *row))
        except sqlite3.IntegrityError:
            raise DuplicateIdError(f"The id {row.id!r} is given twice in one call. Nothing was added.") from None
        fields = [(*field, position) for field in field_rows(record.document.metadata)]
        self._connection.executemany("INSERT INTO incoming_fields VALUES (?, ?, ?, ?, ?)", fields)
        self.ids.append(row.id)

    def finish(self) -> None:
        """End the gathering, so that the connection can begin the transaction that adds the documents."""
        self._connection.execute("COMMIT")
