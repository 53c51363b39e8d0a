"""A copy over an earlier copy of the same index: replaced when it is complete, and nothing else ever is."""

from __future__ import annotations

import os
import shutil

import pytest

from late_interaction.engines import LocalEngine
from late_interaction.engines.local import copying
from late_interaction.errors import IndexLockedError, IndexReplacedError, InvalidRequestError
from tests.engines.forked import tree
from tests.engines.helpers import DIM, record, small_thresholds

pytestmark = pytest.mark.skipif(os.name == "nt", reason="renames of POSIX")


@pytest.fixture
def engine(tmp_path):
    """An index with a compressed segment, and a copy of it in ``copy``."""
    with small_thresholds(), LocalEngine.open(tmp_path / "index", dim=DIM, bits=4) as engine:
        engine.upsert([record(f"old{n}") for n in range(6)])
        engine.copy(tmp_path / "copy")
        engine.delete(ids=["old0"])
        engine.upsert([record(f"new{n}") for n in range(6)])
        engine.compact()  # no file of the copy is still one of the index
        yield engine


def ids(path):
    with LocalEngine.open(path, read_only=True) as copy:
        assert copy.verify().problems == ()
        return {document.id for document in copy.scan()}


def test_it_is_replaced(engine, tmp_path):
    for _ in range(2):
        engine.copy(tmp_path / "copy", replace=True)
        assert ids(tmp_path / "copy") == {document.id for document in engine.scan()}
        assert {path.name for path in tmp_path.iterdir()} == {"index", "copy"}  # no trace of the earlier one
        engine.upsert([record("later")])


def test_where_nothing_is(engine, tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "missing"):
        engine.copy(tmp_path / name, replace=True)
        assert ids(tmp_path / name) == {document.id for document in engine.scan()}


def test_it_may_have_been_read_meanwhile(engine, tmp_path):
    ids(tmp_path / "copy")
    with LocalEngine.open(tmp_path / "copy"):
        pass
    reader = LocalEngine.open(tmp_path / "copy", read_only=True)
    engine.copy(tmp_path / "copy", replace=True)
    with pytest.raises(IndexReplacedError):
        reader.count()
    reader.close()
    assert "new0" in ids(tmp_path / "copy")


def test_through_a_link(engine, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "copy")
    engine.copy(tmp_path / "link", replace=True)
    assert (tmp_path / "link").is_symlink()
    assert "new0" in ids(tmp_path / "copy")


def test_the_index_itself(engine, tmp_path):
    before = ids(tmp_path / "index")
    engine.copy(tmp_path / "index", replace=True)
    assert ids(tmp_path / "index") == before
    with pytest.raises(InvalidRequestError, match="inside"):
        engine.copy(tmp_path / "index" / "segments" / "x", replace=True)


def another_index(engine, target):
    shutil.rmtree(target)
    with LocalEngine.open(target.parent / "other", dim=DIM) as other:
        other.upsert([record("other")])
        other.copy(target)


def written_to(engine, target):
    with LocalEngine.open(target) as copy:
        copy.upsert([record("mine")])


def a_later_copy(engine, target):
    """The index is one that was put back from an older backup."""
    target.joinpath("copied-commit").write_text("9" * 15)


def a_file_of_the_user(engine, target):
    (target / "notes.txt").write_text("mine")


def an_index_that_is_no_copy(engine, target):
    (target / "copied-commit").unlink()


def a_file_in_its_place(engine, target):
    shutil.rmtree(target)
    target.write_text("mine")


@pytest.mark.parametrize(
    "change",
    [another_index, written_to, a_later_copy, a_file_of_the_user, an_index_that_is_no_copy, a_file_in_its_place],
)
def test_anything_else_stays(engine, tmp_path, change):
    change(engine, tmp_path / "copy")
    before = tree(tmp_path / "copy") or (tmp_path / "copy").read_text()
    with pytest.raises(InvalidRequestError, match="not an empty directory"):
        engine.copy(tmp_path / "copy", replace=True)
    assert (tree(tmp_path / "copy") or (tmp_path / "copy").read_text()) == before


def test_what_was_written_to_is_said(engine, tmp_path):
    written_to(engine, tmp_path / "copy")
    with pytest.raises(InvalidRequestError, match="This copy was written to, so it is not replaced: delete it"):
        engine.copy(tmp_path / "copy", replace=True)


def test_without_replace_an_earlier_copy_stays(engine, tmp_path):
    with pytest.raises(InvalidRequestError, match="not an empty directory"):
        engine.copy(tmp_path / "copy")
    assert "new0" not in ids(tmp_path / "copy")


def test_one_that_is_open_for_writing(engine, tmp_path):
    with LocalEngine.open(tmp_path / "copy"), pytest.raises(IndexLockedError):
        engine.copy(tmp_path / "copy", replace=True)
    assert {path.name for path in tmp_path.iterdir()} == {"index", "copy"}


@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["copy_file", "_note_commit", "_is_earlier_copy", "_exchange"])
def test_on_an_error_the_earlier_one_stays(engine, tmp_path, monkeypatch, step, error):
    calls = []
    real = getattr(copying, step)

    def fails(*arguments):
        calls.append(arguments)
        if step == "_is_earlier_copy" and len(calls) == 1:
            return real(*arguments)
        raise error

    monkeypatch.setattr(copying, step, fails)
    with pytest.raises(BaseException, match="No space" if isinstance(error, OSError) else None):
        engine.copy(tmp_path / "copy", replace=True)
    assert calls
    assert ids(tmp_path / "copy") == {f"old{n}" for n in range(6)}
    assert {path.name for path in tmp_path.iterdir()} == {"index", "copy"}


def test_the_second_rename_fails(engine, tmp_path, monkeypatch):
    rename = type(tmp_path).rename

    def fails(self, target):
        if ".new-" in self.name:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(type(tmp_path), "rename", fails)
    with pytest.raises(KeyboardInterrupt):
        engine.copy(tmp_path / "copy", replace=True)
    assert ids(tmp_path / "copy") == {f"old{n}" for n in range(6)}
    assert {path.name for path in tmp_path.iterdir()} == {"index", "copy"}
