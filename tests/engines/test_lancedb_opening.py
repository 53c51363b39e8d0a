"""Where an index in LanceDB may be, what is refused there, and what is shown of it."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import lancedb
import pyarrow as pa
import pytest

from late_interaction import Index
from late_interaction.engines import LanceDBEngine
from late_interaction.engines.lancedb.addresses import address_of
from late_interaction.errors import (
    CorruptIndexError,
    IndexClosedError,
    IndexNotFoundError,
    InvalidRequestError,
    InvalidVectorsError,
    LateInteractionError,
    ReadOnlyIndexError,
)
from tests.engines.lancedb_engines import DIM, document, document_ids, record
from tests.fakes import WordEncoder


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestAddresses:
    @pytest.mark.parametrize(
        ("given", "uri"),
        [
            ("/a/b", "/a/b"),
            ("lancedb:/a/b", "/a/b"),
            ("LanceDB:/a/b", "/a/b"),
            (Path("/a/b"), "/a/b"),
            ("lancedb+s3://bucket/some/path/", "s3://bucket/some/path"),
            ("s3://bucket", "s3://bucket"),
            ("lancedb+gs://bucket/path", "gs://bucket/path"),
            ("lancedb+az://container/path", "az://container/path"),
            ("memory://", "memory://"),
        ],
    )
    def test_they_name_a_place(self, given, uri):
        address = address_of(given)
        assert address.uri == uri
        assert address.path == (Path(uri) if uri.startswith("/") else None)
        if uri != "memory://":
            assert address_of(address.location) == address

    def test_relative_and_home(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        assert address_of("lancedb:here").path == tmp_path / "here"
        assert address_of("lancedb:~/there").path == tmp_path / "home" / "there"

    @pytest.mark.parametrize(
        "given",
        ["", " ", "lancedb:", "a\0b", b"bytes", 3, None, "db://cloud", "http://host/x", "s3://", "s3:///path"],
        ids=repr,
    )
    def test_refused(self, given):
        with pytest.raises(InvalidRequestError):
            address_of(given)

    @pytest.mark.parametrize("given", ["s3://user:secret@bucket/path", "s3://bucket/path?key=secret", "gs://b/#secret"])
    def test_credentials_are_refused_and_not_shown(self, given):
        with pytest.raises(InvalidRequestError, match="storage_options") as caught:
            address_of(given)
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize("table", ["", "a/b", "..\\x", "é", 3, "x" * 201], ids=repr)
    def test_names_of_tables(self, table):
        with pytest.raises(InvalidRequestError):
            address_of("/a", table)


class TestOpening:
    def test_by_location(self, tmp_path):
        with Index.open(f"lancedb:{tmp_path / 'index'}", encoder=WordEncoder(DIM)) as index:
            index.add([document("a", "deep river")])
            assert index.engine.path == tmp_path / "index"
            assert index.search("river")[0].id == "a"
        with Index.open(f"lancedb:{tmp_path / 'index'}", read_only=True) as index:
            assert "a" in index
            with pytest.raises(ReadOnlyIndexError):
                index.delete(["a"])

    def test_without_a_dimension_it_waits_for_the_encoder(self, tmp_path):
        engine = LanceDBEngine(tmp_path / "index")
        for call in (lambda: engine.dim, engine.count, lambda: engine.upsert([record("a")])):
            with pytest.raises(IndexNotFoundError, match="dim"):
                call()
        assert not (tmp_path / "index").exists()
        Index(engine=engine, encoder=WordEncoder(DIM)).add(["a river"])
        assert (engine.dim, engine.count()) == (DIM, 1)
        engine.prepare(DIM + 1)  # there is one already
        assert engine.dim == DIM

    def test_what_is_not_there(self, tmp_path):
        for path in (tmp_path, tmp_path / "none"):
            with pytest.raises(IndexNotFoundError):
                LanceDBEngine.open(f"lancedb:{path}")
        with pytest.raises(IndexNotFoundError):
            Index.open(f"lancedb:{tmp_path / 'none'}", encoder=WordEncoder(DIM), read_only=True)
        assert list(tmp_path.iterdir()) == []

    def test_other_settings(self, tmp_path):
        LanceDBEngine(tmp_path / "index", dim=DIM, language="german").close()
        with pytest.raises(InvalidVectorsError, match=f"{DIM}.*{DIM + 1}"):
            LanceDBEngine(tmp_path / "index", dim=DIM + 1)
        with pytest.raises(InvalidRequestError, match="german"):
            LanceDBEngine(tmp_path / "index", language="english")
        with LanceDBEngine(tmp_path / "index") as engine:
            assert engine.language == "german"

    @pytest.mark.parametrize(
        "settings", [{"bits": 4}, {"device": "cuda"}, {"dim": 0}, {"dim": True}, {"language": "klingon"}], ids=repr
    )
    def test_settings_of_other_engines(self, tmp_path, settings):
        with pytest.raises(InvalidRequestError, match=str(next(iter(settings.values())))):
            LanceDBEngine.open(f"lancedb:{tmp_path / 'index'}", **{"dim": DIM, **settings})
        assert not (tmp_path / "index").exists()

    def test_two_tables_in_one_database(self, tmp_path):
        with LanceDBEngine(tmp_path, dim=DIM) as one, LanceDBEngine(tmp_path, dim=DIM + 1, table="others") as other:
            one.upsert([record("a")])
            assert (one.count(), other.count(), other.dim) == (1, 0, DIM + 1)
            assert "others" in repr(other)
            assert other.reopening is None

    def test_memory_belongs_to_one_engine(self):
        with LanceDBEngine("memory://", dim=DIM) as one, LanceDBEngine("memory://", dim=DIM) as other:
            one.upsert([record("a")])
            assert (one.count(), other.count()) == (1, 0)
            assert one.path is one.reopening is None
            with pytest.raises(TypeError, match="pickled"):
                pickle.dumps(Index(engine=one))

    def test_closed(self, tmp_path):
        engine = LanceDBEngine(tmp_path / "index", dim=DIM)
        engine.upsert([record(f"d{n}") for n in range(100)])
        scan = engine.scan()
        next(scan)
        engine.close()
        with pytest.raises(IndexClosedError):
            list(scan)
        with pytest.raises(IndexClosedError):
            engine.compact()


class TestForeign:
    """What is not ours is left as it is."""

    def test_a_table_of_this_name(self, tmp_path):
        table = lancedb.connect(tmp_path).create_table("documents", pa.table({"id": ["x"], "text": ["mine"]}))
        before = files(tmp_path)
        for make in (
            lambda: LanceDBEngine(tmp_path, dim=DIM),
            lambda: LanceDBEngine.open(f"lancedb:{tmp_path}"),
            lambda: Index.open(f"lancedb:{tmp_path}", encoder=WordEncoder(DIM)),
        ):
            with pytest.raises(InvalidRequestError, match="not created by late-interaction"):
                make()
        assert files(tmp_path) == before
        assert table.count_rows() == 1

    @pytest.mark.parametrize("kind", ["blobs", "settings"])
    def test_one_of_the_other_tables(self, tmp_path, kind):
        lancedb.connect(tmp_path).create_table(f"documents_{kind}", pa.table({"key": [1]}))
        with pytest.raises(InvalidRequestError, match="not created by late-interaction"):
            LanceDBEngine(tmp_path, dim=DIM)
        assert lancedb.connect(tmp_path).open_table(f"documents_{kind}").to_arrow().to_pylist() == [{"key": 1}]

    def test_other_tables_of_the_user_are_no_problem(self, tmp_path):
        lancedb.connect(tmp_path).create_table("mine", pa.table({"key": [1]}))
        with LanceDBEngine(tmp_path, dim=DIM) as engine:
            engine.upsert([record("a")])
        assert lancedb.connect(tmp_path).open_table("mine").count_rows() == 1

    def test_a_directory_of_something_else(self, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(InvalidRequestError, match=r"notes\.txt"):
            LanceDBEngine(tmp_path, dim=DIM)
        with pytest.raises(InvalidRequestError, match="not a directory"):
            LanceDBEngine(tmp_path / "notes.txt", dim=DIM)
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

    def test_a_missing_table(self, tmp_path):
        LanceDBEngine(tmp_path, dim=DIM).close()
        lancedb.connect(tmp_path).drop_table("documents_blobs")
        with pytest.raises(CorruptIndexError, match="blobs"):
            LanceDBEngine(tmp_path)

    def test_damaged_files(self, tmp_path):
        with LanceDBEngine(tmp_path, dim=DIM) as engine:
            engine.upsert([record(f"d{n}") for n in range(30)])
        for path in (tmp_path / "documents.lance" / "data").iterdir():
            path.write_bytes(path.read_bytes()[:50])
        with pytest.raises(LateInteractionError), LanceDBEngine(tmp_path) as engine:
            list(engine.scan())

    def test_missing_files(self, tmp_path):
        with LanceDBEngine(tmp_path, dim=DIM) as engine:
            engine.upsert([record(f"d{n}") for n in range(30)])
        for path in (tmp_path / "documents_blobs.lance" / "data").iterdir():
            path.unlink()
        with pytest.raises(LateInteractionError, match="missing"), LanceDBEngine(tmp_path) as engine:
            engine.search(record("a").vectors)


class TestReopening:
    def test_pickled_and_copied(self, tmp_path):
        with Index.open(f"lancedb:{tmp_path / 'index'}", dim=DIM) as index:
            index.add([document("a", "deep river")], vectors=[record("a").vectors])
            for other in (pickle.loads(pickle.dumps(index)), copy.copy(index)):
                assert other.search(record("a").vectors)[0].id == "a"
                other.close()

    def test_an_index_with_storage_options_is_not_pickled(self, tmp_path):
        engine = LanceDBEngine(tmp_path / "index", dim=DIM, storage_options={"secret_access_key": "s3cr3t"})
        assert engine.reopening is None
        for shown in (repr(engine), str(engine.info())):
            assert "s3cr3t" not in shown
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(Index(engine=engine))
        engine.close()

    def test_candidates_are_kept(self, tmp_path):
        with LanceDBEngine(tmp_path / "index", dim=DIM, candidates=50) as engine:
            location, settings = engine.reopening
            again = LanceDBEngine.open(location, **settings)
            assert again.reopening == engine.reopening
            again.close()


def test_names_of_other_scripts(tmp_path):
    with LanceDBEngine(tmp_path / "индекс 索引 #?%", dim=DIM) as engine:
        engine.upsert([record("a")])
    with LanceDBEngine.open(f"lancedb:{tmp_path / 'индекс 索引 #?%'}") as engine:
        assert document_ids(engine) == ["a"]
