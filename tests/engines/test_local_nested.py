"""Writing from inside a read or a write of the same thread, and errors that are not the catalog's."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import sqlite3

import pytest

from late_interaction.engines import LocalEngine
from late_interaction.engines.local import compaction
from late_interaction.errors import IndexLockedError, InvalidRequestError
from tests.engines.helpers import record


@pytest.fixture
def engine(root):
    with LocalEngine.open(root, dim=4) as engine:
        engine.upsert([record("a", dim=4), record("b", dim=4)])
        yield engine


def test_documents_from_code_that_writes_to_the_same_index(engine):
    def source():
        yield record("c", dim=4)
        engine.delete(ids=["a"])
        yield record("d", dim=4)

    assert engine.upsert(source()) == ["c", "d"]
    assert [document.id for document in engine.scan()] == ["b", "c", "d"]
    assert engine.verify()


def test_nothing_is_written_inside_one_state(engine):
    with engine.one_state():
        with engine.one_state():
            pass
        for write in (engine.compact, lambda: engine.delete(ids=["a"]), lambda: engine.upsert([record("c", dim=4)])):
            with pytest.raises(InvalidRequestError, match="one_state"):
                write()
    assert engine.delete(ids=["a"]) == 1
    assert engine.verify()


def test_an_sqlite_error_of_the_source_stays_what_it_is(engine):
    def source():
        yield record("c", dim=4)
        raise sqlite3.DatabaseError("the user's own database")

    with pytest.raises(sqlite3.DatabaseError, match="the user's own database"):
        engine.upsert(source())
    assert engine.count() == 2


def test_segments_without_living_documents_are_dropped_at_once(engine):
    engine.upsert([record("c", dim=4, tokens=7)])
    engine.delete(ids=["c"])
    info = engine.info()
    assert (info["segments"], info["tokens"], info["deleted_documents"]) == (1, 6, 0)
    assert len(list((engine.path / "segments").iterdir())) == 1


def test_great_segments_are_merged_too(root, monkeypatch):
    monkeypatch.setattr(compaction, "_SMALLEST_TIER_TOKENS", 2)
    monkeypatch.setattr(compaction, "_MERGED_SEGMENTS", 3)
    with LocalEngine.open(root, dim=4) as engine:
        for number in range(40):
            engine.upsert([record(f"d{number}", dim=4, tokens=5)])
            assert engine.info()["segments"] <= 9
        assert [document.id for document in engine.scan()] == [f"d{number}" for number in range(40)]
        assert engine.verify()


def test_the_message_tells_this_process_from_another(engine):
    with pytest.raises(IndexLockedError, match="in this process already"):
        LocalEngine.open(engine.path)


@pytest.mark.parametrize("copied", [copy.deepcopy, pickle.dumps])
def test_a_copy_of_the_object_does_not_close_its_files(engine, copied):
    with pytest.raises(TypeError, match="cannot"):
        copied(engine)
    gc.collect()
    descriptors = [os.dup(0) for _ in range(20)]  # whose numbers a second close would hit
    assert engine.verify()
    engine.close()
    for descriptor in descriptors:
        os.close(descriptor)
