"""A catalog has the tables, views and triggers of its format and no others; nothing of a stranger's is executed."""

from __future__ import annotations

import shutil
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from late_interaction.engines import LocalEngine
from late_interaction.errors import CorruptIndexError
from tests.engines.catalogs import catalog_of, change, seal
from tests.engines.helpers import DIM, record

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture(scope="module")
def sound(make_directory):
    root = make_directory("sound") / "index"
    with LocalEngine.open(root, dim=DIM) as engine:
        engine.upsert([record(f"d{n}", n=n) for n in range(5)])
    return root


@pytest.fixture
def index(sound, tmp_path):
    return Path(shutil.copytree(sound, tmp_path / "index"))


def replaced_table(name, by):
    return [f"ALTER TABLE {name} RENAME TO other", *by]


def edited(name, old, new):
    """Edit the statement that SQLite keeps, as an editor of the file could."""
    return [
        "PRAGMA writable_schema = ON",
        f"UPDATE sqlite_master SET sql = replace(sql, '{old}', '{new}') WHERE name = '{name}'",
    ]


CHANGES = {
    "an endless view": [f"CREATE VIEW v AS {ENDLESS}"],
    "an endless trigger": [
        f"CREATE TRIGGER t AFTER UPDATE ON settings BEGIN DELETE FROM documents WHERE row = ({ENDLESS}); END"
    ],
    "a trigger that changes writes": [
        "CREATE TRIGGER t AFTER INSERT ON documents BEGIN UPDATE documents SET text = 'x' WHERE row = new.row; END"
    ],
    "a temporary-looking table": ["CREATE TABLE incoming (id)"],
    "an index": ["CREATE INDEX i ON documents (text)"],
    "a table of statistics": ["ANALYZE"],
    "an extra column": ["ALTER TABLE documents ADD COLUMN more"],
    "a generated column": [f"ALTER TABLE settings ADD COLUMN g AS ({'1'})"],
    "no words": ["DROP TABLE words"],
    "no stored words": ["DROP TABLE document_words"],
    "no index": ["DROP INDEX fields_of_document"],
    "no images": ["DROP TABLE images"],
    "no spare_names": ["DROP TABLE spare_names"],
    "a view in the place of settings": replaced_table(
        "settings", [f"CREATE VIEW settings (key, value) AS SELECT 'format_version', ({ENDLESS})"]
    ),
    "a view in the place of tombstones": replaced_table(
        "tombstones", [f"CREATE VIEW tombstones (segment, position) AS SELECT 1, ({ENDLESS})"]
    ),
    "another tokenizer": edited("words", "ascii tokenchars", "porter ascii tokenchars"),
    "another content": edited("words", "content=''''", "content=''settings''"),
    "words of an older format": ["DELETE FROM settings WHERE key = 'words'"],
    "another collation": edited("documents", "id TEXT", "id TEXT COLLATE NOCASE"),
    "a table of words_data": ["CREATE VIRTUAL TABLE other USING fts5 (text)"],
}

LEGACY_CHANGES = {
    "no words": ["DROP TABLE words"],
    "no trigger": ["DROP TRIGGER document_added"],
    "no view": ["DROP VIEW passages"],
    "another view": [
        "DROP VIEW passages",
        f"CREATE VIEW passages (row, text) AS SELECT row, ({ENDLESS}) FROM documents",
    ],
    "an endless view": [f"CREATE VIEW v AS {ENDLESS}"],
    "another tokenizer": edited("words", "porter unicode61", "ascii"),
    "another content": edited("words", "passages", "settings"),
    "words of a newer format": ["INSERT INTO settings VALUES ('words', '{\"language\": null, \"tokenizer\": null}')"],
}


def tampered(root, statements):
    with closing(sqlite3.connect(root / "catalog.sqlite", isolation_level=None)) as connection:
        connection.execute("PRAGMA legacy_alter_table = ON")
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("what", CHANGES)
def test_another_schema_is_refused_before_it_runs(index, what, read_only):
    tampered(index, CHANGES[what])
    for _ in range(2):  # and not IndexLockedError
        with pytest.raises(CorruptIndexError, match=r"catalog\.sqlite"):
            LocalEngine.open(index, read_only=read_only)


@pytest.fixture(scope="module")
def legacy(make_directory):
    """An index of the newest format that still has the words of an older one."""
    folder = make_directory("legacy")
    with tarfile.open(Path(__file__).parent / "fixtures" / "format_3.tar.gz") as archive:
        archive.extractall(folder)
    with LocalEngine.open(folder / "format_3") as engine:
        engine.upsert([record("new")])
    return folder / "format_3"


@pytest.mark.parametrize("what", [*LEGACY_CHANGES])
def test_the_words_of_an_older_format_are_held_to_it(legacy, tmp_path, what):
    index = Path(shutil.copytree(legacy, tmp_path / "index"))
    tampered(index, LEGACY_CHANGES[what])
    with pytest.raises(CorruptIndexError, match=r"words|passages|document_added|catalog\.sqlite"):
        LocalEngine.open(index)


@pytest.mark.parametrize("what", ["an endless view", "no words", "another view"])
def test_older_formats_are_held_to_theirs(tmp_path, what):
    with tarfile.open(Path(__file__).parent / "fixtures" / "format_3.tar.gz") as archive:
        archive.extractall(tmp_path)
    tampered(tmp_path / "format_3", LEGACY_CHANGES[what])
    with pytest.raises(CorruptIndexError, match="format 3"):
        LocalEngine.open(tmp_path / "format_3")


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_format_number_that_is_not_that_of_the_tables(index, version):
    change(index, "UPDATE settings SET value = ? WHERE key = 'format_version'", str(version))
    with pytest.raises(CorruptIndexError, match="spare_names"):
        LocalEngine.open(index)


def test_the_names_are_in_the_message(index):
    tampered(index, ["CREATE VIEW surprise AS SELECT 1", "DROP TABLE document_words"])
    with pytest.raises(CorruptIndexError, match=r"document_words, surprise\. Restore the index from a copy"):
        LocalEngine.open(index)


def test_a_repaired_catalog_opens(index):
    """What makes it refused is the schema alone."""
    tampered(index, CHANGES["an index"])
    with catalog_of(index) as connection:
        connection.execute("DROP INDEX i")
        seal(connection)
    with LocalEngine.open(index) as engine:
        assert engine.verify().problems == ()
