"""Small writes are merged, deleted vectors are removed, and damage is found."""

from __future__ import annotations

import lancedb
import numpy as np
import pyarrow as pa
import pytest

from late_interaction.documents import Document
from late_interaction.engines import LanceDBEngine, Record
from late_interaction.engines.lancedb import maintenance, rows
from late_interaction.errors import CorruptIndexError, ReadOnlyIndexError
from late_interaction.images import PageImage
from tests.engines.lancedb_engines import DIM, document_ids, engine, record, vectors_of
from tests.pictures import two_colours

__all__ = ["engine"]


def fragments(engine, kind):
    stats = engine._database.call(engine._database.table(kind).stats)
    return stats["fragment_stats"]["num_fragments"], stats["num_rows"]


def test_many_small_writes(engine):
    for number in range(80):
        engine.upsert([record(f"d{number % 60}")])
    for kind in ("documents", "blobs"):
        count, found = fragments(engine, kind)
        assert found == 60
        assert count <= maintenance._MAX_FRAGMENTS + maintenance._WRITES_BETWEEN_CHECKS
    assert document_ids(engine) == [f"d{number}" for number in [*range(20, 60), *range(20)]]
    assert engine.verify().problems == ()


def test_compacting(engine):
    engine.upsert([record(f"d{number}", n=number) for number in range(50)])
    for number in range(5):
        engine.upsert([record(f"d{number}")])
    engine.delete(ids=[f"d{number}" for number in range(30, 50)])
    engine.set_root(["d7"], 3)
    before = list(engine.scan()), engine.search(vectors_of("x"), 40)
    engine.compact()
    assert (list(engine.scan()), engine.search(vectors_of("x"), 40)) == before
    assert fragments(engine, "documents") == fragments(engine, "blobs") == (1, 30)
    assert engine.verify().problems == ()


def test_versions_that_nobody_may_read_any_more_are_removed(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(maintenance, "_KEPT_VERSIONS", maintenance._KEPT_VERSIONS / 10**5)
    engine.upsert([record(f"d{number}", tokens=200) for number in range(50)])
    size = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    engine.delete(ids=[f"d{number}" for number in range(45)])
    engine.compact()
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < size / 3
    assert engine.count() == 5


def test_vectors_of_a_crashed_upsert(engine, monkeypatch):
    """They are removed once they cannot be those of an upsert that goes on."""
    engine.upsert([record("a")])
    schema = engine._database.call(engine._database.table("blobs").schema)
    orphan = {"key": 7, "written": 0, "tokens": [[0.0] * DIM], "thumbnail": None, "checksum": 0}
    young = orphan | {"key": 9, "written": 2**60}
    table = pa.Table.from_pylist([orphan, young], schema=schema)
    engine._database.call(lambda: engine._database.table("blobs").add(table))
    assert document_ids(engine) == ["a"]
    engine.compact()
    assert {7, 9} & set(engine._states.last().blob_keys().tolist()) == {9}
    assert document_ids(engine) == ["a"]


def test_a_reader_does_not_compact(engine, tmp_path):
    with LanceDBEngine(tmp_path / "index", read_only=True) as reader, pytest.raises(ReadOnlyIndexError):
        reader.compact()


class TestThumbnails:
    def page(self, colour, name="page"):
        return Document("a page", id=name, image=PageImage.from_pixels(two_colours(colour, "blue", (64, 64))))

    def test_they_are_removed_with_their_documents(self, engine):
        engine.upsert([Record(self.page("red"), vectors_of("red"))])
        engine.update_documents([self.page("green")], None)
        assert engine.get(["page"])[0].image.thumbnail == self.page("green").image.thumbnail
        assert len(engine._states.last().blob_keys()) == 2  # the vectors stay where they are
        engine.upsert_keeping([self.page("green")], lambda documents: [])
        assert engine.get(["page"])[0].image.thumbnail == self.page("green").image.thumbnail
        assert engine.verify().problems == ()
        engine.delete(ids=["page"])
        assert len(engine._states.last().blob_keys()) == 0

    def test_changed_metadata_keeps_them(self, engine):
        engine.upsert([Record(self.page("red"), vectors_of("red"))])
        engine.update_metadata(["page"], {"n": 1})
        (found,) = engine.get(["page"])
        assert (found.metadata, found.image.thumbnail) == ({"n": 1}, self.page("red").image.thumbnail)


class TestDamage:
    """Another program writes into the tables."""

    @pytest.fixture
    def table(self, engine, tmp_path):
        engine.upsert([record(name, n=1) for name in "abc"])
        return lancedb.connect(tmp_path / "index").open_table("documents")

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("text", "'other'"),
            ("metadata", "'{}'"),
            ("metadata", "'not JSON'"),
            ("image", "'[]'"),
            ("encoded_text", "''"),
        ],
    )
    def test_a_changed_document(self, engine, table, column, value):
        table.update(where="id = 'b'", values_sql={column: value})
        assert any("'b'" in problem for problem in engine.verify().problems)
        with pytest.raises(CorruptIndexError, match="'b'"):
            engine.get(["b"])
        assert engine.get(["a"])[0].id == "a"

    def test_keywords_of_filters(self, engine, table):
        table.update(where="id = 'b'", values={"keys": ["x"]})
        assert any("Filters" in problem for problem in engine.verify().problems)

    def test_missing_vectors(self, engine, table, tmp_path):
        key = table.search().where("id = 'b'").to_list()[0]["key"]
        lancedb.connect(tmp_path / "index").open_table("documents_blobs").delete(f"key = {key}")
        assert engine.verify().problems == (f"The token vectors with the key {key} are missing.",)
        assert engine.vectors(["a", "b"]).keys() == {"a"}

    def test_changed_vectors(self, engine, table, tmp_path):
        blobs = lancedb.connect(tmp_path / "index").open_table("documents_blobs")
        key = table.search().where("id = 'b'").to_list()[0]["key"]
        blobs.update(where=f"key = {key}", values={"thumbnail": b"x"})
        assert [str(key) in problem for problem in engine.verify().problems] == [True]

    def test_an_id_that_is_stored_twice(self, engine, table):
        table.add(table.search().where("id = 'b'").to_arrow())
        assert any("twice" in problem for problem in engine.verify().problems)

    def test_settings(self, engine, tmp_path):
        engine.record_encoder({"model": "x"})
        lancedb.connect(tmp_path / "index").open_table("documents_settings").update(values={"value": "[1"})
        with pytest.raises(CorruptIndexError, match="encoder"):
            _ = engine.encoder_record

    def test_a_codebook(self, engine, tmp_path):
        engine.adopt_centroids(np.eye(DIM, dtype=np.float32))
        settings = lancedb.connect(tmp_path / "index").open_table("documents_settings")
        settings.update(where="data IS NOT NULL", values={"data": b"nonsense"})
        with LanceDBEngine(tmp_path / "index") as again:
            assert again.verify().problems
            with pytest.raises(CorruptIndexError, match="not centroids"):
                again.upsert([record("new")])


def test_the_checksum_of_a_document_covers_every_field():
    columns = rows.document_columns(Document("a", id="b", metadata={"c": 1}, encoded_text="d"), None)
    fields = ("id", "text", "encoded_text", "metadata", "image")
    sums = {rows.document_checksum({**columns, name: "other"}) for name in fields} | {columns["checksum"]}
    assert len(sums) == len(fields) + 1
