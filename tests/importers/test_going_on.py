"""An import that is interrupted and called again; and an index of anything else, which is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from late_interaction import Document, Index
from late_interaction.engines.local import LocalEngine
from late_interaction.errors import (
    CorruptIndexError,
    InvalidRequestError,
    InvalidVectorsError,
    StorageError,
)
from late_interaction.importers import copying, import_index
from tests.engines.helpers import CHILD_ENVIRONMENT, small_thresholds
from tests.importers.sources import documents, flat_folder, vectors

COUNT = 60


@pytest.fixture
def source(tmp_path):
    return flat_folder(tmp_path / "source", COUNT)


@pytest.fixture
def small_commits(monkeypatch):
    """Five documents are compared at a time, and a commit has ten."""
    monkeypatch.setattr(copying, "_CHUNK_DOCUMENTS", 5)
    monkeypatch.setattr(copying, "_COMMIT_DOCUMENTS", 10)


@pytest.fixture
def failing(monkeypatch, small_commits):
    """Lets a write fail after so many."""
    upsert = LocalEngine.upsert

    def let(writes):
        left = [writes]

        def upsert_some(self, records, **options):
            if not left[0]:
                raise StorageError("The disk is full.")
            left[0] -= 1
            return upsert(self, records, **options)

        monkeypatch.setattr(LocalEngine, "upsert", upsert_some)

    yield let
    monkeypatch.setattr(LocalEngine, "upsert", upsert)


def contents(path):
    with Index.open(path, read_only=True) as index:
        found = list(index.scan())
        arrays = index.engine.vectors([one.id for one in found])
        return found, np.concatenate([arrays[one.id] for one in found])


@pytest.mark.parametrize("writes", [0, 1, 4])
def test_the_same_call_goes_on(source, tmp_path, failing, writes):
    failing(writes)
    with pytest.raises(StorageError, match="disk is full"):
        import_index(source, tmp_path / "index", documents=documents(COUNT))
    failing(-1)
    report = import_index(source, tmp_path / "index", documents=documents(COUNT), verify=4)
    assert (report.added, report.unchanged) == (COUNT - 10 * writes, 10 * writes)
    assert (report.documents, report.recall) == (COUNT, 1)
    found, arrays = contents(tmp_path / "index")
    assert found == documents(COUNT)
    np.testing.assert_allclose(arrays, np.concatenate(vectors(COUNT)), atol=1e-3)
    again = import_index(source, tmp_path / "index", documents=documents(COUNT), verify=0)
    assert (again.added, again.unchanged) == (0, COUNT)


def test_commits_are_bounded_in_bytes(source, tmp_path, monkeypatch):
    monkeypatch.setattr(copying, "_COMMIT_BYTES", 2_000)
    monkeypatch.setattr(copying, "_CHUNK_BYTES", 300)
    sizes, upsert = [], LocalEngine.upsert

    def recorded(self, records, **options):
        records = list(records)
        sizes.append(sum(one.vectors.nbytes for one in records))
        return upsert(self, records, **options)

    monkeypatch.setattr(LocalEngine, "upsert", recorded)
    import_index(source, tmp_path / "index", verify=0)
    assert sum(sizes) == np.concatenate(vectors(COUNT)).nbytes
    assert all(2_000 <= size < 2_000 + 8 * 16 * 4 for size in sizes[:-1])


def test_an_encoder_can_be_given_later(source, tmp_path):
    from tests.importers.sources import ENCODER

    import_index(source, tmp_path / "index", documents=documents(COUNT), verify=0)
    report = import_index(source, tmp_path / "index", documents=documents(COUNT), encoder=ENCODER, verify=0)
    assert (report.unchanged, report.agreement) == (COUNT, pytest.approx(1, abs=1e-3))
    with Index.open(tmp_path / "index", read_only=True) as index:
        assert index.fingerprint == ENCODER.fingerprint


class TestAnotherIndex:
    """It is refused, and nothing in it changes."""

    def refused(self, source, path, error, message, **options):
        before = contents(path)
        with pytest.raises(error, match=message):
            import_index(source, path, **options)
        after = contents(path)
        assert after[0] == before[0]
        np.testing.assert_array_equal(after[1], before[1])
        with Index.open(path, read_only=True) as index:
            assert index.fingerprint is None

    def test_of_other_documents(self, source, tmp_path):
        with Index.open(tmp_path / "index", dim=16) as index:
            index.add([Document("own", id="own")], vectors=[np.eye(1, 16)])
        self.refused(source, tmp_path / "index", InvalidRequestError, "not from the source, such as 'own'")

    def test_of_the_same_ids(self, source, tmp_path):
        with Index.open(tmp_path / "index", dim=16) as index:
            index.add([Document("own", id="d0")], vectors=[vectors(1)[0]])
        self.refused(source, tmp_path / "index", InvalidRequestError, "'d0' with another text")

    def test_of_the_same_documents_with_other_vectors(self, source, tmp_path):
        with Index.open(tmp_path / "index", dim=16) as index:
            index.add(documents(COUNT), vectors=[-one for one in vectors(COUNT)])
        given = {"documents": documents(COUNT)}
        self.refused(source, tmp_path / "index", InvalidRequestError, "other token vectors", **given)

    def test_of_another_dimension(self, source, tmp_path):
        with Index.open(tmp_path / "index", dim=8) as index:
            index.add([Document("own", id="own")], vectors=[np.eye(1, 8)])
        self.refused(source, tmp_path / "index", InvalidVectorsError, "dimension 8, the source of 16")

    def test_with_texts_that_have_changed_since(self, source, tmp_path, failing):
        failing(5)
        with pytest.raises(StorageError):
            import_index(source, tmp_path / "index", documents=documents(COUNT))
        failing(-1)
        given = documents(COUNT)
        given[45] = Document("changed", id="d45")
        self.refused(source, tmp_path / "index", InvalidRequestError, "'d45' with another text", documents=given)

    def test_that_compresses_is_recognized_again(self, source, tmp_path):
        with small_thresholds(100, 50):
            import_index(source, tmp_path / "index", bits=1, verify=0)
            assert import_index(source, tmp_path / "index", verify=0).unchanged == COUNT


def test_a_source_that_is_damaged_in_the_middle(tmp_path, small_commits):
    """What was read before stays, the message says so, and the import goes on once the source is whole."""
    (tmp_path / "source").mkdir()
    given = vectors(30)
    for number, one in enumerate(given):
        np.save(tmp_path / "source" / f"{number}.npy", one)
    np.save(tmp_path / "source" / "25.npy", np.full_like(given[25], np.nan))
    with pytest.raises(CorruptIndexError, match=r"'25' in the source: holds NaN.* 20 documents read before"):
        import_index(tmp_path / "source", tmp_path / "index", verify=0)
    assert len(contents(tmp_path / "index")[0]) == 20
    np.save(tmp_path / "source" / "25.npy", given[25])
    assert import_index(tmp_path / "source", tmp_path / "index", verify=0).added == 10


def test_a_source_that_is_damaged_at_the_beginning(tmp_path):
    source = flat_folder(tmp_path / "source", 3)
    np.save(source / "vectors.npy", np.full((6, 16), np.nan, np.float32))
    with pytest.raises(CorruptIndexError, match="Nothing was imported"):
        import_index(source, tmp_path / "index", verify=0)


_CHILD = """
import sys
from late_interaction.importers import copying, import_index
from late_interaction.engines.local import LocalEngine
copying._COMMIT_DOCUMENTS = 50
upsert = LocalEngine.upsert
def said(self, records):
    ids = upsert(self, records)
    print(len(ids), flush=True)
    return ids
LocalEngine.upsert = said
import_index(sys.argv[1], sys.argv[2], verify=0)
"""


def killed(source, index, commits, seconds):
    """Kill an import after so many commits and seconds; return the number of documents it has acknowledged."""
    arguments = [sys.executable, "-c", _CHILD, str(source), str(index)]
    environment = {**CHILD_ENVIRONMENT, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True) as child:
        said = 0
        for _ in range(commits):
            said += int(child.stdout.readline() or 0)
        time.sleep(seconds)
        child.send_signal(signal.SIGKILL)
        return said + sum(map(int, child.stdout.read().split()))


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
@pytest.mark.parametrize(
    ("count", "kills"),
    [
        (600, [(2, 0.01)]),
        pytest.param(3_000, [(number % 4, number / 100) for number in range(12)], marks=pytest.mark.slow),
    ],
)
def test_killed_and_called_again(tmp_path, count, kills):
    source = flat_folder(tmp_path / "source", count)
    acknowledged = 0
    for commits, seconds in kills:
        acknowledged += killed(source, tmp_path / "index", commits, seconds)
        if (tmp_path / "index").exists():
            with Index.open(tmp_path / "index", read_only=True) as index:
                assert len(index) >= acknowledged
                acknowledged = len(index)
    report = import_index(source, tmp_path / "index", verify=5)
    assert report.unchanged >= acknowledged
    assert report.added + report.unchanged == count
    import_index(source, tmp_path / "whole", verify=0)
    found, expected = contents(tmp_path / "index"), contents(tmp_path / "whole")
    assert found[0] == expected[0]
    np.testing.assert_allclose(found[1], expected[1], atol=1e-3)
    with Index.open(tmp_path / "index", read_only=True) as index:
        assert index.verify()


@pytest.mark.slow
def test_into_a_database(tmp_path):
    pytest.importorskip("qdrant_client")
    source = flat_folder(tmp_path / "source", 20)
    address = f"qdrant:{tmp_path / 'db'}"
    report = import_index(source, address, documents=documents(20), verify=3)
    assert (report.added, report.index_bytes is None or report.index_bytes > 0) == (20, True)
    assert import_index(source, address, documents=documents(20), verify=0).unchanged == 20
    with Index.open(address, read_only=True) as index:
        assert {one.id: json.dumps(dict(one.metadata)) for one in index.scan()} == {
            one.id: json.dumps(dict(one.metadata)) for one in documents(20)
        }
