"""The tables of the catalog, by format version."""

from __future__ import annotations

__all__ = ["FORMAT_VERSION", "SCHEMA"]

FORMAT_VERSION = 4
"""Raised when the meaning of anything on disk changes. A newer version than this is refused, never guessed at.

1: exact vectors alone. 2: also compressed ones; the settings ``bits`` and ``codebook``. 3: also page images, in the
table ``images``. 4: a checksum and a root for each document, a checksum over the settings, the names of directories
that may be removed, and ``images`` in every catalog. An index of an older version is read as it is, and brought up to
this one by the first write.
"""

SCHEMA = """
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE segments (
    segment INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, documents INTEGER NOT NULL, tokens INTEGER NOT NULL);
CREATE TABLE segment_files (
    segment INTEGER NOT NULL REFERENCES segments ON DELETE CASCADE, name TEXT NOT NULL,
    size INTEGER NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (segment, name)) WITHOUT ROWID;
CREATE TABLE tombstones (
    segment INTEGER NOT NULL REFERENCES segments ON DELETE CASCADE, position INTEGER NOT NULL,
    PRIMARY KEY (segment, position)) WITHOUT ROWID;
CREATE TABLE spare_names (name TEXT PRIMARY KEY, is_retired INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE documents (
    row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    segment INTEGER NOT NULL REFERENCES segments, position INTEGER NOT NULL,
    text TEXT NOT NULL, encoded_text TEXT, metadata TEXT NOT NULL, root INTEGER, checksum INTEGER NOT NULL DEFAULT 0,
    UNIQUE (segment, position));
CREATE TABLE images (
    document INTEGER PRIMARY KEY REFERENCES documents ON DELETE CASCADE, image TEXT NOT NULL, thumbnail BLOB);
CREATE TABLE fields (
    path TEXT NOT NULL, kind INTEGER NOT NULL, value NOT NULL, is_element INTEGER NOT NULL,
    document INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
    PRIMARY KEY (path, kind, value, is_element, document)) WITHOUT ROWID;
CREATE INDEX fields_of_document ON fields (document);

CREATE VIEW passages (row, text) AS SELECT row, coalesce(encoded_text, text) FROM documents;
CREATE VIRTUAL TABLE words USING fts5 (
    text, content='passages', content_rowid='row', tokenize='porter unicode61 remove_diacritics 2');
CREATE TRIGGER document_added AFTER INSERT ON documents BEGIN
    INSERT INTO words (rowid, text) VALUES (new.row, coalesce(new.encoded_text, new.text));
END;
CREATE TRIGGER document_removed AFTER DELETE ON documents BEGIN
    INSERT INTO words (words, rowid, text) VALUES ('delete', old.row, coalesce(old.encoded_text, old.text));
END;
"""
