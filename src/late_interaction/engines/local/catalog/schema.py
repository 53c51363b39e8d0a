"""The tables of the catalog, by format version, and the check that a catalog has exactly these."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from late_interaction.errors import CorruptIndexError
from late_interaction.words.tokenizer import MARKS

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

__all__ = [
    "ADDED_COLUMNS",
    "FORMAT_VERSION",
    "SCHEMA",
    "TOKENIZER",
    "WORDS",
    "check_schema",
    "create_words",
    "statement_of",
]

FORMAT_VERSION = 7
"""The format version, which increases when the meaning of anything on disk changes. Newer versions are refused.

1: exact vectors only. 2: compressed vectors; the settings ``bits`` and ``codebook``. 3: page images, in the table
``images``. 4: a checksum and a root for each document, a checksum of the settings, digests instead of long paths and
values in ``fields``, the names of directories that may be removed, and ``images`` in every catalog. 5: words of
lexical search that this package splits itself, in ``words`` and ``document_words``, with the setting ``words``. 6:
which documents had longer texts than the encoder read, in ``truncated``. 7: posting lists of compressed segments, in
two more of their files; ``bits`` may be 3, and 0 for codes alone. An index of an older version can be read, and the
first write upgrades it. Words of version 4 and older stay as they are, without that setting, until
`LocalEngine.compact` replaces them.
"""

WORDS = "exact, forms"
"""The columns of ``words``, which are those of `Tokenizer.document`."""

TOKENIZER = f"ascii tokenchars '{MARKS}'"
"""Splits words at spaces: all other characters in them are letters and digits, or not ASCII."""

_SETTINGS = "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"

ADDED_COLUMNS = ("root INTEGER", "checksum INTEGER NOT NULL DEFAULT 0")
"""What version 4 adds to ``documents``. ALTER TABLE leaves the same text in the schema as `SCHEMA` has."""

_DOCUMENTS = """CREATE TABLE documents (
    row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    segment INTEGER NOT NULL REFERENCES segments, position INTEGER NOT NULL,
    text TEXT NOT NULL, encoded_text TEXT, metadata TEXT NOT NULL{added},
    UNIQUE (segment, position))"""

# (type, name, table): statement. The statements are compared with those that SQLite stores, character by character.
_OBJECTS = {
    ("table", "settings", "settings"): _SETTINGS,
    ("table", "segments", "segments"): """CREATE TABLE segments (
    segment INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, documents INTEGER NOT NULL, tokens INTEGER NOT NULL)""",
    ("table", "segment_files", "segment_files"): """CREATE TABLE segment_files (
    segment INTEGER NOT NULL REFERENCES segments ON DELETE CASCADE, name TEXT NOT NULL,
    size INTEGER NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (segment, name)) WITHOUT ROWID""",
    ("table", "tombstones", "tombstones"): """CREATE TABLE tombstones (
    segment INTEGER NOT NULL REFERENCES segments ON DELETE CASCADE, position INTEGER NOT NULL,
    PRIMARY KEY (segment, position)) WITHOUT ROWID""",
    (
        "table",
        "spare_names",
        "spare_names",
    ): "CREATE TABLE spare_names (name TEXT PRIMARY KEY, is_retired INTEGER NOT NULL) WITHOUT ROWID",
    ("table", "documents", "documents"): _DOCUMENTS.format(added="".join(f", {column}" for column in ADDED_COLUMNS)),
    ("table", "images", "images"): """CREATE TABLE images (
    document INTEGER PRIMARY KEY REFERENCES documents ON DELETE CASCADE, image TEXT NOT NULL, thumbnail BLOB)""",
    (
        "table",
        "truncated",
        "truncated",
    ): "CREATE TABLE truncated (document INTEGER PRIMARY KEY REFERENCES documents ON DELETE CASCADE)",
    ("table", "fields", "fields"): """CREATE TABLE fields (
    path TEXT NOT NULL, kind INTEGER NOT NULL, value NOT NULL, is_element INTEGER NOT NULL,
    document INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
    PRIMARY KEY (path, kind, value, is_element, document)) WITHOUT ROWID""",
    ("index", "fields_of_document", "fields"): "CREATE INDEX fields_of_document ON fields (document)",
    ("table", "document_words", "document_words"): """CREATE TABLE document_words (
    document INTEGER PRIMARY KEY REFERENCES documents ON DELETE CASCADE, words BLOB NOT NULL)""",
    ("table", "words", "words"): f"""CREATE VIRTUAL TABLE words USING fts5 (
    {WORDS}, content='', tokenize="{TOKENIZER}")""",
}

_LEGACY_WORDS = {
    (
        "view",
        "passages",
        "passages",
    ): "CREATE VIEW passages (row, text) AS SELECT row, coalesce(encoded_text, text) FROM documents",
    ("table", "words", "words"): """CREATE VIRTUAL TABLE words USING fts5 (
    text, content='passages', content_rowid='row', tokenize='porter unicode61 remove_diacritics 2')""",
    ("trigger", "document_added", "documents"): """CREATE TRIGGER document_added AFTER INSERT ON documents BEGIN
    INSERT INTO words (rowid, text) VALUES (new.row, coalesce(new.encoded_text, new.text));
END""",
    ("trigger", "document_removed", "documents"): """CREATE TRIGGER document_removed AFTER DELETE ON documents BEGIN
    INSERT INTO words (words, rowid, text) VALUES ('delete', old.row, coalesce(old.encoded_text, old.text));
END""",
}

# Objects that SQLite creates by itself: the indexes behind UNIQUE, and the tables of FTS5.
_AUTOMATIC = {
    ("index", "sqlite_autoindex_segments_1", "segments"): None,
    ("index", "sqlite_autoindex_documents_1", "documents"): None,
    ("index", "sqlite_autoindex_documents_2", "documents"): None,
    ("table", "words_data", "words_data"): "CREATE TABLE 'words_data'(id INTEGER PRIMARY KEY, block BLOB)",
    (
        "table",
        "words_idx",
        "words_idx",
    ): "CREATE TABLE 'words_idx'(segid, term, pgno, PRIMARY KEY(segid, term)) WITHOUT ROWID",
    ("table", "words_docsize", "words_docsize"): "CREATE TABLE 'words_docsize'(id INTEGER PRIMARY KEY, sz BLOB)",
    ("table", "words_config", "words_config"): "CREATE TABLE 'words_config'(k PRIMARY KEY, v) WITHOUT ROWID",
}

SCHEMA = ";\n".join(_OBJECTS.values()) + ";"
"""The statements that create the tables of `FORMAT_VERSION`."""


def _rows_of(version: int, *, has_legacy_words: bool) -> frozenset[tuple[str, str, str, str | None]]:
    """Return the rows of ``sqlite_master`` in a catalog of this version, with the words of this or an older one."""
    objects = {**_OBJECTS, **_AUTOMATIC}
    if has_legacy_words:
        del objects["table", "document_words", "document_words"]
        objects.update(_LEGACY_WORDS)
    if version < 6:
        del objects["table", "truncated", "truncated"]
    if version < 4:
        del objects["table", "spare_names", "spare_names"]
        objects["table", "documents", "documents"] = _DOCUMENTS.format(added="")
    if version < 3:
        del objects["table", "images", "images"]
    return frozenset((*key, statement) for key, statement in objects.items())


_LEGACY_ROWS = {version: _rows_of(version, has_legacy_words=True) for version in range(1, FORMAT_VERSION + 1)}
_ROWS = {version: _rows_of(version, has_legacy_words=False) for version in range(5, FORMAT_VERSION + 1)}


def create_words(connection: sqlite3.Connection) -> None:
    """Replace the tables of words, of whichever version, by empty ones of `FORMAT_VERSION`."""
    for kind, name, _ in reversed(_LEGACY_WORDS):
        connection.execute(f"DROP {kind.upper()} IF EXISTS {name}")
    connection.execute("DROP TABLE IF EXISTS document_words")
    for name in ("document_words", "words"):
        connection.execute(statement_of(name))


def statement_of(name: str) -> str:
    """Return the statement that creates a table of `FORMAT_VERSION`."""
    return _OBJECTS["table", name, name]


def check_schema(connection: sqlite3.Connection, path: Path) -> int:
    """Check that a catalog has exactly the tables of its format; return its format version.

    Views and triggers of an attacker would run inside the queries of this package, possibly for ever. So this is the
    first query of a connection. It reads only ``sqlite_master``, and ``settings`` once that is known to be a table.

    Raises:
        CorruptIndexError: The file is not a catalog, has a newer format, or has other tables, views or triggers.
    """
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master LIMIT ?"
    found = connection.execute(query, (2 * len(_OBJECTS) + len(_AUTOMATIC),)).fetchall()
    version = None
    if ("table", "settings", "settings", _SETTINGS) in found:
        version = _stored_version(connection)
    if version not in _LEGACY_ROWS:
        raise CorruptIndexError(
            f"{path} is not a catalog that this release can read (format version {version!r}, known up to "
            f"{FORMAT_VERSION}). Upgrade late-interaction if a newer release wrote it."
        )
    has_words = version in _ROWS and _has_setting(connection, "words")
    expected = _ROWS[version] if has_words else _LEGACY_ROWS[version]
    if len(found) != len(expected) or frozenset(found) != expected:
        names = sorted({str(row[1]) for row in frozenset(found) ^ expected})
        raise CorruptIndexError(
            f"{path} is damaged or was changed by another program: format {version} does not have these tables, views, "
            f"indexes and triggers. Missing, added or changed: {', '.join(names)}. Restore the index from a copy."
        )
    return version


def _stored_version(connection: sqlite3.Connection) -> int | None:
    rows = connection.execute("SELECT value FROM settings WHERE key = 'format_version'").fetchall()
    try:
        version = json.loads(rows[0][0])
    except (IndexError, TypeError, ValueError, RecursionError):
        return None
    return version if type(version) is int else None


def _has_setting(connection: sqlite3.Connection, key: str) -> bool:
    return connection.execute("SELECT 1 FROM settings WHERE key = ?", (key,)).fetchone() is not None
