"""Indexes of PyLate: one that fast-plaid wrote and one of xtr-warp-rs, with mappings as PyLate writes them."""

from __future__ import annotations

import pickle
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from late_interaction import Document
from late_interaction.errors import CorruptIndexError, InvalidRequestError, UnsupportedError
from late_interaction.importers import import_index
from late_interaction.importers.fast_plaid import FAST_PLAID
from late_interaction.importers.foreign import SourceOptions
from late_interaction.importers.formats import recognized
from late_interaction.importers.pylate import PYLATE
from tests.importers.plaid_source import write_plaid
from tests.importers.warp_folder import Source

BITS4 = Path(__file__).parents[1] / "data" / "fast_plaid" / "bits4"
COUNT = 27
IDS = [f"doc-{number}" for number in range(COUNT)]


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(BITS4, tmp_path / "source" / "fast_plaid_index")
    write_pickles(tmp_path / "source", dict(enumerate(IDS)))
    return tmp_path / "source"


def write_pickles(folder, ids, name="plaid_ids_to_documents_ids"):
    (folder / f"{name}.pkl").write_bytes(pickle.dumps(ids))
    return folder


def write_sqlite(folder, ids):
    """Write as sqlitedict does, which PyLate used before version 1.4."""
    (folder / "plaid_ids_to_documents_ids.pkl").unlink()
    with closing(sqlite3.connect(folder / "plaid_ids_to_documents_ids.sqlite")) as database:
        database.execute('CREATE TABLE "unnamed" (key TEXT PRIMARY KEY, value BLOB)')
        rows = ((number, pickle.dumps(one, protocol=pickle.HIGHEST_PROTOCOL)) for number, one in ids.items())
        database.executemany('INSERT INTO "unnamed" VALUES (?, ?)', rows)
        database.commit()
    return folder


def opened(folder, documents=None):
    assert PYLATE.matches(folder)
    return PYLATE.open(folder, SourceOptions(None if documents is None else lambda: iter(documents)))


def base_vectors():
    return [vectors for _, vectors in FAST_PLAID.open(BITS4, SourceOptions()).read()]


@pytest.mark.parametrize("write", [write_pickles, write_sqlite])
def test_ids_are_those_of_the_mapping(folder, write):
    index = opened(write(folder, dict(enumerate(IDS))))
    found = list(index.read())
    assert [document.id for document, _ in found] == IDS
    assert all(np.array_equal(one[1], other) for one, other in zip(found, base_vectors(), strict=True))
    assert found[0][0].metadata == {"number": 0, "share": 0.0, "name": "document 0"}
    assert (index.documents, index.dim, index.settings["index"]) == (COUNT, 16, "fast-plaid")
    assert [document.id for document, _ in index.read(20)] == IDS[20:]
    assert list(index.read(COUNT)) == []


def test_documents_without_id_are_left_out_and_counted(folder):
    write_pickles(folder, {number: one for number, one in enumerate(IDS) if number not in (0, 5, 26)})
    index = opened(folder)
    found = list(index.read())
    assert [document.id for document, _ in found] == [one for one in IDS if one not in ("doc-0", "doc-5", "doc-26")]
    assert np.array_equal(found[4][1], base_vectors()[6])
    assert index.tokens == sum(len(vectors) for _, vectors in found)
    assert any(note.endswith("does not find them: 3 documents.") for note in index.notes)
    assert [document.id for document, _ in index.read(4)] == IDS[6:26]


def test_an_id_that_was_added_again_has_its_last_vectors(folder):
    write_pickles(folder, {**dict(enumerate(IDS)), 20: "doc-3"})
    index = opened(folder)
    found = {document.id: vectors for document, vectors in index.read()}
    assert len(found) == index.documents == COUNT - 2 + 1
    assert np.array_equal(found["doc-3"], base_vectors()[20])
    assert any("same id" in note for note in index.notes)


def test_numbers_as_ids_become_strings(folder):
    write_pickles(folder, {number: 100 + number for number in range(COUNT)})
    assert next(iter(opened(folder).read()))[0].id == "100"


def test_texts_are_found_by_id(folder):
    documents = [Document(f"text {one}", id=one, metadata={"name": "mine"}) for one in ["deleted", *IDS, "other"]]
    found = [document for document, _ in opened(folder, documents).read(3)]
    assert [(document.id, document.text) for document in found] == [(one, f"text {one}") for one in IDS[3:]]
    assert found[0].metadata == {"number": 4, "share": 1.0, "name": "mine"}


def test_documents_may_be_given_in_another_order(folder):
    """PyLate moves documents that it updates to the end."""
    moved = ["doc-1", *(one for one in IDS if one not in ("doc-1", "doc-7")), "doc-7"]
    write_pickles(folder, dict(enumerate(moved)))
    documents = [Document(f"text {one}", id=one) for one in IDS]
    for given in (documents, documents[::-1], [*documents, *documents]):
        found = [document for document, _ in opened(folder, given).read(2)]
        assert [(document.id, document.text) for document in found] == [(one, f"text {one}") for one in moved[2:]]


@pytest.mark.parametrize("change", [lambda all_: all_[:-1], lambda _: []])
def test_a_document_that_is_not_given_is_an_error_that_names_it(folder, change):
    with pytest.raises(InvalidRequestError, match="'doc-"):
        opened(folder, change([Document("text", id=one) for one in IDS]))


def test_an_index_of_xtr_warp_rs(tmp_path):
    (tmp_path / "source").mkdir()
    source = Source(tmp_path / "source" / "warp_index").add(range(4)).add([2, 6])
    source.delete([1])
    write_pickles(tmp_path / "source", {0: "a", 2: "c", 3: "d", 6: "g"}, "warp_ids_to_documents_ids")
    found = list(opened(tmp_path / "source").read())
    assert [document.id for document, _ in found] == ["a", "c", "d", "g"]
    assert all(
        np.allclose(vectors, source.passages[number]) for (_, vectors), number in zip(found, (0, 2, 3, 6), strict=True)
    )


def test_an_index_of_its_stanford_backend(tmp_path):
    """It writes the files of colbert-ai without a checkpoint and a collection; a removed document has 0 tokens."""
    config = {"checkpoint": None, "collection": None}
    source = write_plaid(tmp_path / "source", lengths=((5, 0, 9, 4), (7, 2), (0, 6)), config=config)
    write_pickles(tmp_path / "source", {0: "a", 2: "c", 3: "d", 4: "e", 5: "f", 7: "h"})
    assert recognized(tmp_path / "source") is PYLATE
    index = opened(tmp_path / "source")
    found = list(index.read())
    assert [document.id for document, _ in found] == ["a", "c", "d", "e", "f", "h"]
    assert all(
        np.allclose(vectors, source.vectors[number], atol=1e-6)
        for (_, vectors), number in zip(found, (0, 2, 3, 4, 5, 7), strict=True)
    )
    assert (index.documents, index.tokens, index.encoder, index.settings["index"]) == (6, 33, None, "colbert-ai")
    assert [document.id for document, _ in index.read(4)] == ["f", "h"]
    assert not any("no ids" in note for note in index.notes)


@pytest.mark.parametrize("name", ["index.voyager", "scann_config.pb", "tachiom.bin"])
def test_indexes_of_other_libraries_are_refused_with_the_reason(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UnsupportedError, match=f"cannot be read .{name}."):
        opened(tmp_path)


class Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("write", [write_pickles, write_sqlite])
def test_pickles_of_anything_else_are_refused_and_not_run(folder, tmp_path, write):
    for value in (Canary(tmp_path / "made"), np.int64(1), None):
        shutil.rmtree(folder)
        shutil.copytree(BITS4, folder / "fast_plaid_index")
        write_pickles(folder, {})
        write(folder, {**dict(enumerate(IDS)), 3: value})
        with pytest.raises(CorruptIndexError, match="plaid_ids_to_documents_ids"):
            opened(folder)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "ids", [{0: "a", 27: "b"}, {-1: "a"}, {"0": "a"}, {0: ""}, {0: "1", 1: 1}, "text", {0: "a\ud800"}]
)
def test_mappings_that_cannot_be_are_an_error(folder, ids):
    name = "plaid_ids_to_documents_ids.pkl"
    (folder / name).write_bytes(pickle.dumps(ids))
    with pytest.raises(CorruptIndexError):
        opened(folder)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON unnamed BEGIN DELETE FROM unnamed; END",
        "CREATE TABLE other (a)",
        "CREATE VIEW v AS SELECT 1",
        "UPDATE unnamed SET key = 'x' WHERE key = '3'",
        "UPDATE unnamed SET value = NULL WHERE key = '3'",
        "UPDATE unnamed SET value = zeroblob(9999999) WHERE key = '3'",
        "INSERT INTO unnamed SELECT 99, value FROM unnamed WHERE key = '3'",
        "ALTER TABLE unnamed ADD COLUMN g AS (1)",
    ],
)
def test_databases_of_another_form_are_an_error(folder, statement):
    write_sqlite(folder, dict(enumerate(IDS)))
    with closing(sqlite3.connect(folder / "plaid_ids_to_documents_ids.sqlite")) as database:
        database.execute(statement)
        database.commit()
    with pytest.raises(CorruptIndexError, match="plaid_ids_to_documents_ids"):
        opened(folder)


def test_the_import_recognizes_it(folder, tmp_path):
    assert recognized(folder) is PYLATE
    assert recognized(folder / "fast_plaid_index") is FAST_PLAID
    assert any(
        "Import the folder above" in note
        for note in FAST_PLAID.open(folder / "fast_plaid_index", SourceOptions()).notes
    )
    report = import_index(folder, tmp_path / "index", bits=None)
    assert (report.format, report.documents, report.added) == ("PyLate", COUNT, COUNT)
    assert report.recall == 1.0
    assert not any("Import the folder above" in note for note in report.notes)
