"""Changing the catalog of a closed index behind its back, with the checksums of what was changed made right or not.

The checksums are computed here by their definition in the format, not by the code under test.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from contextlib import closing, contextmanager
from pathlib import Path


@contextmanager
def catalog_of(root):
    """A connection to the catalog of an index, committed at the end; triggers and references do not act."""
    with closing(sqlite3.connect(Path(root) / "catalog.sqlite")) as connection:
        yield connection
        connection.commit()


def change(root, statement, *parameters, sealed=True):
    """Change rows of the catalog; the checksum of the settings is made right unless ``sealed`` is false."""
    with catalog_of(root) as connection:
        cursor = connection.execute(statement, parameters)
        if sealed:
            seal(connection)
        return cursor.rowcount


def seal(connection):
    """Make the checksum of the settings right, where there is one."""
    rows = connection.execute("SELECT key, value FROM settings WHERE key <> 'checksum' ORDER BY key").fetchall()
    if all(isinstance(text, str) for row in rows for text in row):
        checksum = zlib.crc32(json.dumps(rows).encode())
        connection.execute("UPDATE settings SET value = ? WHERE key = 'checksum'", (str(checksum),))


def document_checksum(document_id, text, encoded_text, metadata, root, image, thumbnail):
    """The checksum that format 4 defines for a document."""
    optional = [encoded_text, image, thumbnail]
    parts = [document_id, text, encoded_text, metadata, image, thumbnail]
    encoded = [b"" if part is None else part.encode() if isinstance(part, str) else part for part in parts]
    present = ", ".join(str(part is not None) for part in optional)
    head = f"{root} ({present}) [{', '.join(str(len(part)) for part in encoded)}]".encode()
    return zlib.crc32(head + b"".join(encoded))


def seal_documents(root):
    """Make the checksums of all documents right."""
    with catalog_of(root) as connection:
        rows = connection.execute(
            "SELECT row, id, text, encoded_text, metadata, root, image, thumbnail "
            "FROM documents LEFT JOIN images ON document = row"
        ).fetchall()
        changes = [(document_checksum(*columns), row) for row, *columns in rows]
        connection.executemany("UPDATE documents SET checksum = ? WHERE row = ?", changes)


def read_setting(root, key):
    """The JSON of a setting, or None."""
    with catalog_of(root) as connection:
        row = connection.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]


def set_setting(root, key, value, *, sealed=True):
    """Replace the JSON of a setting."""
    change(root, "UPDATE settings SET value = ? WHERE key = ?", value, key, sealed=sealed)
