"""Upgrade a catalog of an older format, inside the first write."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from late_interaction.engines.local.catalog.document_rows import DocumentRow, field_rows
from late_interaction.engines.local.catalog.filter_sql import MAX_JSON_BYTES, MAX_PATH_BYTES
from late_interaction.engines.local.catalog.schema import ADDED_COLUMNS, FORMAT_VERSION, statement_of
from late_interaction.engines.records import LEGACY_ROOT

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from late_interaction.documents import Document

__all__ = ["bring_up_to_date"]

_FORMAT_WITH_CHECKSUMS = 4
_FORMAT_WITH_TRUNCATED = 6
_DOCUMENTS_AT_ONCE = 256

_LONG_FIELDS = (
    "SELECT DISTINCT document FROM fields WHERE document BETWEEN ? AND ? AND "
    f"(length(CAST(path AS BLOB)) > {MAX_PATH_BYTES} OR (kind = 4 AND length(CAST(value AS BLOB)) > {MAX_JSON_BYTES}))"
)


def bring_up_to_date(connection: sqlite3.Connection, version: int) -> None:
    """Upgrade a catalog of this older version to `FORMAT_VERSION`, inside a transaction of the writer.

    Its words for lexical search stay as they are: splitting all texts again would take minutes in a large index.

    Raises:
        CorruptIndexError: A document is damaged. A new checksum would conceal that.
    """
    if version < _FORMAT_WITH_CHECKSUMS:
        _upgrade_documents(connection, version)
    if version < _FORMAT_WITH_TRUNCATED:
        connection.execute(statement_of("truncated"))  # of older documents it is not known
    connection.execute("INSERT OR REPLACE INTO settings VALUES ('format_version', ?)", (json.dumps(FORMAT_VERSION),))


def _upgrade_documents(connection: sqlite3.Connection, version: int) -> None:
    """Add what version 4 has: checksums, roots, recorded names, short fields."""
    if version < 3:
        connection.execute(statement_of("images"))
    for column in ADDED_COLUMNS:
        connection.execute(f"ALTER TABLE documents ADD COLUMN {column}")
    connection.execute(statement_of("spare_names"))
    last: int | None = None
    while rows := _next_documents(connection, last):
        _add_checksums(connection, rows)
        last = rows[-1][0]
    connection.execute("INSERT OR IGNORE INTO settings VALUES ('bits', 'null')")  # version 1 does not have it


def _next_documents(connection: sqlite3.Connection, after: int | None) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT row, id, text, encoded_text, metadata, NULL, NULL, image, thumbnail "
        "FROM documents LEFT JOIN images ON images.document = documents.row "
        f"WHERE {'1' if after is None else 'row > ?'} ORDER BY row LIMIT {_DOCUMENTS_AT_ONCE}",
        () if after is None else (after,),
    ).fetchall()


def _add_checksums(connection: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> None:
    numbers = [number for number, *_ in rows]
    with_long_fields = {number for (number,) in connection.execute(_LONG_FIELDS, (numbers[0], numbers[-1]))}
    changes = []
    for number, *columns in rows:
        stored = DocumentRow(*columns)
        document = stored.document()
        new = stored.with_root(_legacy_root(document))
        changes.append((new.root, new.checksum, number))
        if number in with_long_fields:
            _replace_fields(connection, number, document.metadata)
    connection.executemany("UPDATE documents SET root = ?, checksum = ? WHERE row = ?", changes)


def _replace_fields(connection: sqlite3.Connection, number: int, metadata: Mapping[str, Any]) -> None:
    connection.execute("DELETE FROM fields WHERE document = ?", (number,))
    connection.executemany(
        "INSERT OR IGNORE INTO fields VALUES (?, ?, ?, ?, ?)", ((*field, number) for field in field_rows(metadata))
    )


def _legacy_root(document: Document) -> int | None:
    """Return `LEGACY_ROOT` for a document that the command line has read, as its id and metadata show, else None."""
    source, passage = document.metadata.get("source"), document.metadata.get("passage")
    if not isinstance(source, str) or type(passage) is not int:
        return None
    names = (f"{source}#{passage}", f"{source}#page={document.metadata.get('page')}")
    return LEGACY_ROOT if document.id in names else None
