"""Bringing a catalog of an older format up to date, inside the first write."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from late_interaction.engines.local.schema import FORMAT_VERSION

if TYPE_CHECKING:
    import sqlite3

__all__ = ["bring_up_to_date"]

_IMAGES = """
CREATE TABLE images (
    document INTEGER PRIMARY KEY REFERENCES documents ON DELETE CASCADE, image TEXT NOT NULL, thumbnail BLOB)
"""


def bring_up_to_date(connection: sqlite3.Connection, version: int) -> None:
    """Give a catalog of this older version what `FORMAT_VERSION` has. Runs inside a transaction of the writer."""
    if version < 3:
        connection.execute(_IMAGES)
    connection.execute("ALTER TABLE documents ADD COLUMN root INTEGER")
    connection.execute("ALTER TABLE documents ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0")
    connection.execute("CREATE TABLE spare_names (name TEXT PRIMARY KEY, is_retired INTEGER NOT NULL) WITHOUT ROWID")
    connection.execute("INSERT OR REPLACE INTO settings VALUES ('format_version', ?)", (json.dumps(FORMAT_VERSION),))
