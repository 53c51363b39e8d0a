"""A directory of Qdrant's local mode from a stranger: it runs no code, and leads to no file outside of itself."""

from __future__ import annotations

import copyreg
import datetime
import json
import os
import pickle
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from late_interaction import Document
from late_interaction.engines import QdrantEngine, Record
from late_interaction.errors import CorruptIndexError, IndexLockedError, InvalidRequestError

DIM = 4


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A directory with all kinds of points that the engine writes."""
    path = tmp_path_factory.mktemp("template") / "qdrant"
    random = np.random.default_rng(0)
    with QdrantEngine(path=path, dim=DIM) as engine:
        metadata = {
            "year": 2020,
            "price": 0.1 + 0.2,
            "tags": ["a", None, True],
            "author": {"name": "Ö" * 300},
            "n": 2**63 - 1,
        }
        records = [
            Record(Document(f"text {place}", id=f"{place}", metadata=metadata), random.normal(size=(place, DIM)))
            for place in range(40)
        ]
        engine.upsert(records)
        engine.adopt_centroids(random.normal(size=(64, DIM)).astype(np.float32))
        engine.compact()
        engine.update_metadata(["1"], {"lang": "de"})
        engine.record_encoder({"source": "x"})
        engine.record_roots({"1": "/folder"})
        engine.set_root(["2"], 1)
        engine.delete(ids=["3"])
    return path


@pytest.fixture
def folder(template, tmp_path):
    """A copy of it."""
    return shutil.copytree(template, tmp_path / "qdrant")


class Call:
    """Pickled as a call of a function."""

    def __init__(self, function, *arguments):
        self.called = function, arguments

    def __reduce__(self):
        return self.called


def write_row(folder, data):
    storage = folder / "collection" / "documents" / "storage.sqlite"
    with closing(sqlite3.connect(storage)) as connection, connection:
        connection.execute("INSERT INTO points VALUES ('new', ?)", (data,))


def point(**fields):
    return models.PointStruct.model_construct(**{"id": 7, "vector": {}, "payload": {}} | fields)


def test_what_the_engine_writes_is_opened(folder):
    with QdrantEngine(path=folder) as engine:
        assert engine.count() == 39
        assert engine.verify().problems == ()
        assert engine.get(["1"])[0].metadata["lang"] == "de"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("place", ["alone", "payload", "vector"])
def test_a_pickle_that_calls_a_function_is_refused_and_not_run(folder, tmp_path, protocol, place):
    created = tmp_path / "created"
    call = Call(os.mkdir, str(created))
    hostile = call if place == "alone" else point(**{place: {"a": call}})
    write_row(folder, pickle.dumps(hostile, protocol))
    with pytest.raises(CorruptIndexError, match="sqlite has a") as raised:
        QdrantEngine(path=folder)
    assert str(folder) in str(raised.value)
    assert not created.exists()
    if protocol >= 2:
        assert f"{os.name}.mkdir" in str(raised.value)


@pytest.mark.parametrize(
    "name",
    ["builtins.eval", "qdrant_client.http.models.models.Batch", "qdrant_client.http.models.models.PointStruct.x"],
)
def test_every_other_class_is_refused(folder, name):
    module, _, attribute = name.rpartition(".")
    write_row(folder, b"\x80\x04" + f"c{module}\n{attribute}\n".encode() + b".")
    with pytest.raises(CorruptIndexError, match=name.replace(".", r"\.")):
        QdrantEngine(path=folder)


HOSTILE = {
    "not a point": pickle.dumps([1]),
    "a date": pickle.dumps(point(payload={"day": datetime.date(2020, 1, 1)})),
    "an array": pickle.dumps(point(vector={"mean": np.ones(4)})),
    "a class": pickle.dumps(models.PointStruct),
    "empty": b"",
    "text": "text",
    "nothing": None,
    "cut off": pickle.dumps(point(payload={"a": "b" * 100}))[:-40],
    "a large place in the memo": b"\x80\x04]r\xff\xff\xff\x7f.",
    "a large buffer": b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b".",
    "an extension": b"\x80\x04\x82\x01.",
    "a persistent id": b"\x80\x04Pname\n.",
    "state of a class": b"\x80\x04cqdrant_client.http.models.models\nPointStruct\n}b.",
    "deeper than the stack": b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_anything_but_a_point_is_refused(folder, data):
    write_row(folder, data)
    with pytest.raises(CorruptIndexError, match=r"sqlite has a (damaged point|pickle that names)"):
        QdrantEngine(path=folder)


@pytest.mark.parametrize("field", ["payload", "vector"])
def test_a_small_point_that_takes_much_memory_is_refused(folder, field):
    value = "x" * 100
    for _ in range(40):
        value = [value] * 10
    write_row(folder, pickle.dumps(point(**{field: {"a": value}})))
    with pytest.raises(CorruptIndexError, match="damaged point"):
        QdrantEngine(path=folder)


def test_a_registered_extension_is_refused(folder, monkeypatch):
    copyreg.add_extension("builtins", "eval", 240)
    try:
        write_row(folder, b"\x80\x04\x82\xf0.")
        with pytest.raises(CorruptIndexError, match="damaged point"):
            QdrantEngine(path=folder)
    finally:
        copyreg.remove_extension("builtins", "eval", 240)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW points AS SELECT 'a' AS id, CASE WHEN random() > 0 THEN x'00' END AS point",
        "CREATE TABLE points (id TEXT PRIMARY KEY, point BLOB AS (x'00'))",
        "CREATE TABLE points (id TEXT PRIMARY KEY, point BLOB); CREATE VIEW others AS SELECT id FROM points",
    ],
)
def test_other_tables_are_refused(folder, statement):
    storage = folder / "collection" / "documents" / "storage.sqlite"
    storage.unlink()
    with closing(sqlite3.connect(storage)) as connection:
        connection.executescript(statement)
    with pytest.raises(CorruptIndexError, match="other tables"):
        QdrantEngine(path=folder)


def test_a_file_that_is_not_a_database_is_refused(folder):
    (folder / "collection" / "documents" / "storage.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(CorruptIndexError, match="damaged"):
        QdrantEngine(path=folder)


@pytest.mark.parametrize(
    "name",
    [
        "meta.json",
        "meta.json.tmp",
        ".lock",
        "collection",
        "collection/documents",
        "collection/documents/storage.sqlite",
        "collection/documents/storage.sqlite-journal",
    ],
)
@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe"])
def test_links_and_pipes_are_refused(folder, tmp_path, name, kind):
    path, target = folder / name, tmp_path / "target"
    if kind == "link" and path.exists():
        path.rename(target)
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if kind == "link" and not target.exists():
        target.write_text("of the user")
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(target)
    with pytest.raises((CorruptIndexError, InvalidRequestError), match=r"symbolic link|not a directory of Qdrant's"):
        QdrantEngine(path=folder, dim=DIM)
    assert target.exists() == (kind == "link")


META = {
    "no object": "[1]",
    "no JSON": "{",
    "deep": "[" * 100_000,
    "no collections": "{}",
    "no configuration": '{"collections": {"documents": 1}}',
    "a large dimension": json.dumps(
        {"collections": {"documents": {"vectors": {"a": {"size": 2**40, "distance": "Dot"}}}}}
    ),
    "a name outside": json.dumps({"collections": {"../../x": {}}}),
    "an absolute name": json.dumps({"collections": {"/tmp/x": {}}}),
    "the parent": json.dumps({"collections": {"..": {}}}),
}


@pytest.mark.parametrize("text", META.values(), ids=META)
def test_damaged_settings_of_the_client_are_refused(folder, text):
    (folder / "meta.json").write_text(text)
    with pytest.raises(CorruptIndexError, match=r"meta\.json"):
        QdrantEngine(path=folder)


def test_points_of_other_values_than_the_collection_has_are_refused(folder):
    write_row(folder, pickle.dumps(point(vector={"mean": "text", "words": [1.0]})))
    with pytest.raises(CorruptIndexError, match="damaged"):
        QdrantEngine(path=folder)


def test_a_directory_that_is_open_elsewhere_is_not_read(folder):
    with QdrantEngine(path=folder), pytest.raises(IndexLockedError, match="open elsewhere"):
        QdrantEngine(path=folder)


def test_a_write_that_was_cut_off_is_undone_first(folder):
    storage = folder / "collection" / "documents" / "storage.sqlite"
    with closing(sqlite3.connect(storage)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("PRAGMA cache_spill = 1")
        connection.execute("INSERT INTO points SELECT id || 'x', point FROM points")
        crashed = shutil.copytree(folder, folder.with_name("crashed"))
        connection.rollback()
    assert (crashed / "collection" / "documents" / "storage.sqlite-journal").exists()
    with QdrantEngine(path=crashed) as engine:
        assert engine.count() == 39


def test_a_collection_of_another_program_is_opened_beside_it(folder):
    client = QdrantClient(path=str(folder))
    client.create_collection("other", models.VectorParams(size=2, distance=models.Distance.COSINE))
    client.upsert("other", [models.PointStruct(id=1, vector=[1.0, 0.5], payload={"day": datetime.date(2020, 1, 1)})])
    client.upload_collection("other", vectors=np.ones((2, 2), np.float32), ids=[2, 3])
    client.close()
    with QdrantEngine(path=folder) as engine:
        assert engine.count() == 39
