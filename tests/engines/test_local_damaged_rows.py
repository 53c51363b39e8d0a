"""Values in the catalog that no release writes: every call gives errors of this package alone."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing, suppress

import pytest
from PIL import Image

from late_interaction.documents import Document
from late_interaction.engines import LocalEngine, Record
from late_interaction.errors import CorruptIndexError, LateInteractionError
from tests.engines.catalogs import seal, seal_documents
from tests.engines.helpers import DIM, record, small_thresholds, unit_vectors

QUERY = unit_vectors(12345, 4)

COLUMNS = {
    "settings": ["key", "value"],
    "segments": ["segment", "name", "documents", "tokens"],
    "segment_files": ["segment", "name", "size", "checksum"],
    "tombstones": ["segment", "position"],
    "spare_names": ["name", "is_retired"],
    "documents": ["row", "id", "segment", "position", "text", "encoded_text", "metadata", "root", "checksum"],
    "images": ["document", "image", "thumbnail"],
    "fields": ["path", "kind", "value", "is_element", "document"],
    "document_words": ["document", "words"],
    "words_data": ["block"],
    "words_docsize": ["sz"],
    "words_idx": ["term", "pgno"],
    "words_config": ["v"],
}

VALUES = {
    "null": "NULL",
    "text": "'some text'",
    "empty": "''",
    "blob": "x'ff00fe'",
    "invalid UTF-8": "CAST(x'c328ff' AS TEXT)",
    "negative": "-1",
    "huge": "9223372036854775807",
    "real": "1.5",
    "infinity": "9e999",
    "JSON null": "'null'",
    "JSON list": "'[1]'",
    "half of JSON": "'{\"a\":'",
    "deep JSON": f"'{'[' * 100_000}'",
    "deep closed JSON": "'" + 5000 * '{"a":' + "1" + 5000 * "}" + "'",
    "a number of many digits": f"'{'9' * 6000}'",
    "NaN in JSON": "'{\"a\": NaN}'",
    "half of a surrogate in JSON": '\'{"a": "\\ud800"}\'',
}

SOME = ("text", "blob", "invalid UTF-8", "deep JSON")


@pytest.fixture(scope="module")
def sound(make_directory):
    root = make_directory("sound") / "index"
    with small_thresholds(), LocalEngine.open(root, dim=DIM, bits=4) as engine:
        engine.record_encoder({"name": "some encoder"})
        engine.record_roots({"0": "/a"})
        engine.upsert([record(f"d{n}", tokens=4, n=n, tags=["a", "b"]) for n in range(20)])
        page = Document("a page", image=Image.new("RGB", (40, 20), "red"), id="p")
        engine.upsert([Record(page, unit_vectors(1, 2), root=0)])
        engine.delete(ids=["d1"])
    with closing(sqlite3.connect(root / "catalog.sqlite")) as connection:
        connection.execute("INSERT INTO spare_names VALUES ('0123456789abcdef', 1)")
        connection.commit()
        for table in COLUMNS:
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0], table
    return root


@pytest.fixture(scope="module")
def scratch(make_directory):
    return make_directory("scratch")


def damaged(sound, scratch, table, column, value):
    """A copy in which all rows that take it have another value in a column; None if none does."""
    root = scratch / "index"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(sound, root)
    with closing(sqlite3.connect(root / "catalog.sqlite")) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        if connection.execute(f"UPDATE OR IGNORE {table} SET {column} = {value}").rowcount <= 0:
            return None
        if table == "settings":
            connection.commit()
        with suppress(sqlite3.Error):
            seal(connection)
        connection.commit()
    return root


READS = {
    "info": lambda engine: engine.info(),
    "search": lambda engine: engine.fetch(engine.search(QUERY, 100)),
    "score": lambda engine: engine.score(QUERY, ["d2", "p"]),
    "records": lambda engine: engine.records(["d2", "p"]),
    "scan of fields": lambda engine: list(engine.scan(fields=["text", "encoded_text", "metadata", "image"])),
    "search with filter": lambda engine: engine.search(QUERY, 5, where={"n": {"$lt": 9}, "tags": "a"}),
    "search candidates": lambda engine: engine.search(QUERY, 5, candidates=["d2", "p"]),
    "lexical": lambda engine: engine.fetch(engine.search_lexical("text of page", 100)),
    "get": lambda engine: engine.get(["d2", "p"]),
    "vectors": lambda engine: engine.vectors(["d2", "p"]),
    "scan": lambda engine: list(engine.scan()),
    "scan with filter": lambda engine: list(engine.scan(where={"tags": {"$contains": "a"}}, root=0)),
    "count": lambda engine: engine.count(where={"n": 3}),
    "encoder": lambda engine: engine.encoder_record,
    "roots": lambda engine: (engine.roots, engine.roots_of(["d2", "p"])),
}
WRITES = {
    "upsert": lambda engine: engine.upsert([record("d3", n=3), record("new", n=4)]),
    "set_root": lambda engine: engine.set_root(["d4", "p"], 1),
    "delete": lambda engine: engine.delete(ids=["d5", "p"]),
    "delete by filter": lambda engine: engine.delete(where={"n": {"$gt": 15}}),
    "compact": lambda engine: engine.compact(),
}


def only_own_errors(root, calls, *, read_only):
    """What other errors there are, by call. `verify` raises none at all."""
    others = {}
    try:
        with LocalEngine.open(root, read_only=read_only) as engine:
            for name, call in calls.items():
                try:
                    call(engine)
                except LateInteractionError:
                    pass
                except Exception as error:  # noqa: BLE001  # reported
                    others[name] = repr(error)
            engine.verify()
    except LateInteractionError:
        pass
    except Exception as error:  # noqa: BLE001  # reported
        others["open or verify"] = repr(error)
    return others


def errors_of_others(sound, scratch, table, names, calls, *, read_only):
    others = {}
    for column in COLUMNS[table]:
        for name in names:
            try:
                root = damaged(sound, scratch, table, column, VALUES[name])
            except sqlite3.Error:
                continue  # SQLite does not take it
            if root is not None and (found := only_own_errors(root, calls, read_only=read_only)):
                others[column, name] = found
    return others


@pytest.mark.parametrize("table", COLUMNS)
def test_values_of_another_type(sound, scratch, table):
    assert errors_of_others(sound, scratch, table, SOME, READS, read_only=True) == {}


@pytest.mark.slow
@pytest.mark.parametrize("table", COLUMNS)
def test_all_values_of_another_type(sound, scratch, table):
    assert errors_of_others(sound, scratch, table, VALUES, READS, read_only=True) == {}
    assert errors_of_others(sound, scratch, table, VALUES, WRITES, read_only=False) == {}


@pytest.mark.parametrize(
    "table", ["segments", "tombstones", "documents", "images", "fields", "document_words", "words_data"]
)
def test_writes_onto_values_of_another_type(sound, scratch, table):
    assert errors_of_others(sound, scratch, table, ("blob", "huge"), WRITES, read_only=False) == {}


def open_and_ask(root, *, read_only):
    """What opening leaves alone is looked at when it is asked for."""
    with LocalEngine.open(root, read_only=read_only) as engine:
        assert not engine.verify()
        return engine.encoder_record, engine.roots


@pytest.mark.parametrize("value", [value for value in VALUES if value != "null"])
@pytest.mark.parametrize(
    "key", ["format_version", "dim", "bits", "generation", "codebook", "encoder", "roots", "checksum"]
)
def test_settings_that_no_release_writes(sound, scratch, key, value):
    root = scratch / "index"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(sound, root)
    with closing(sqlite3.connect(root / "catalog.sqlite")) as connection:
        connection.execute(f"UPDATE settings SET value = {VALUES[value]} WHERE key = '{key}'")
        with suppress(sqlite3.Error):
            seal(connection)
        connection.commit()
    if value == "JSON null" and key in ("encoder", "roots"):
        return  # as if it were missing
    if key == "checksum":
        with closing(sqlite3.connect(root / "catalog.sqlite")) as connection:
            connection.execute(f"UPDATE settings SET value = {VALUES[value]} WHERE key = 'checksum'")
            connection.commit()
    for read_only in (True, False):
        with pytest.raises(CorruptIndexError):
            open_and_ask(root, read_only=read_only)


@pytest.mark.parametrize("key", ["format_version", "dim", "bits", "generation", "codebook", "checksum"])
def test_a_setting_that_is_missing(sound, scratch, key):
    root = scratch / "index"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(sound, root)
    with closing(sqlite3.connect(root / "catalog.sqlite")) as connection:
        connection.execute("DELETE FROM settings WHERE key = ?", (key,))
        seal(connection)
        connection.commit()
    with pytest.raises(CorruptIndexError):
        LocalEngine.open(root)


def test_verify_of_an_open_index_says_what_is_wrong(sound, scratch):
    """Damage that comes after opening is a problem, not an error."""
    for value in (VALUES["deep JSON"], VALUES["invalid UTF-8"], VALUES["blob"]):
        root = scratch / "open"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(sound, root)
        with LocalEngine.open(root) as engine:
            with closing(sqlite3.connect(root / "catalog.sqlite")) as connection:
                connection.execute(f"UPDATE documents SET metadata = {value} WHERE id = 'd7'")
                connection.execute(f"UPDATE settings SET value = {value} WHERE key = 'encoder'")
                connection.commit()
            assert engine.verify().problems
            with pytest.raises(CorruptIndexError):
                assert engine.encoder_record
            with pytest.raises(CorruptIndexError):
                engine.get(["d7"])


def test_metadata_that_is_json_but_no_document(sound, scratch):
    """With a right checksum: a stranger can make one."""

    for metadata in (
        '{"a": NaN}',
        "[1]",
        "null",
        '{"a": 1e999}',
        json.dumps({"a": 2**70}),
        '{"a": "\\ud800"}',
        "{" * 999,
    ):
        root = scratch / "sealed"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(sound, root)
        with closing(sqlite3.connect(root / "catalog.sqlite")) as connection:
            connection.execute("UPDATE documents SET metadata = ? WHERE id = 'd7'", (metadata,))
            connection.commit()
        seal_documents(root)
        assert only_own_errors(root, {**READS, **WRITES}, read_only=False) == {}
        with LocalEngine.open(root) as engine:
            assert any("'d7'" in problem for problem in engine.verify().problems)
