"""One directory opened several times in one process: openings with the same settings share an engine."""

from __future__ import annotations

import gc
import os
import shutil
import threading
from contextlib import suppress

import pytest

from late_interaction import Document, Index
from late_interaction.engines import LocalEngine
from late_interaction.errors import (
    IncompatibleEncoderError,
    IndexClosedError,
    IndexLockedError,
    IndexReplacedError,
    InvalidRequestError,
    ReadOnlyIndexError,
)
from tests.engines.forked import in_child
from tests.fakes import WordEncoder


def is_free(path):
    """Whether nothing holds the writer lock."""
    try:
        LocalEngine.open(path).close()
    except IndexLockedError:
        return False
    return True


def ids(index):
    return [document.id for document in index.scan()]


def test_the_openings_see_each_other_and_each_is_closed_on_its_own(path, word_encoder):
    first = Index.open(path, encoder=word_encoder)
    second = Index.open(path, encoder=word_encoder)
    third = Index.open(path)
    first.add([Document("one", id="1")])
    second.add([Document("two", id="2")])
    assert ids(first) == ids(second) == ids(third) == ["1", "2"]
    first.close()
    assert second.search("two", k=1)[0].id == "2"
    second.add([Document("three", id="3")])
    first.close()  # closing twice does not close another one
    second.close()
    assert not is_free(path)
    assert third.delete(["1"]) == 1
    assert third.verify()
    third.close()
    assert is_free(path)
    assert not list(path.glob("*-wal"))


def test_a_closed_index_is_closed_although_another_is_open(path, word_encoder):
    with Index.open(path, encoder=word_encoder) as open_index:
        open_index.add([Document("one", id="1")])
        with Index.open(path, encoder=word_encoder) as closed:
            pass
        calls = [
            lambda: closed.get(["1"]),
            lambda: list(closed.scan()),
            closed.count,
            lambda: closed.search("one"),
            lambda: closed.search("one", mode="lexical"),
            lambda: closed.rerank("one", ids=["1"]),
            lambda: closed.explain("one", "1"),
            closed.info,
            closed.verify,
            lambda: closed.add(["two"]),
            lambda: closed.delete(["1"]),
            closed.clear,
            closed.compact,
            lambda: closed.copy(path.with_name("copy")),
        ]
        for call in calls:
            with pytest.raises(IndexClosedError):
                call()
        assert ids(open_index) == ["1"]
        assert not closed.engine.read_only
        assert repr(closed)


def test_an_opening_that_is_forgotten_counts_as_closed(path, word_encoder):
    """As by a variable of a notebook that is overwritten. No garbage collection is needed for it."""
    gc.disable()
    try:
        kept = Index.open(path, encoder=word_encoder)
        forgotten = Index.open(path, encoder=word_encoder)
        forgotten.add(["one two three"])
        forgotten.search("one")
        forgotten.compact()
        kept.close()
        assert not is_free(path)
        forgotten = None
        assert is_free(path)
    finally:
        gc.enable()


def test_a_forgotten_index_in_a_cycle_is_shared_until_it_is_collected(path, word_encoder):
    gc.disable()
    try:
        index = Index.open(path, encoder=word_encoder)
        index.itself = index
        index = None
        with Index.open(path, encoder=word_encoder) as again:
            again.add(["one"])
        assert not is_free(path)
    finally:
        gc.enable()
    gc.collect()
    assert is_free(path)


def test_what_is_read_from_a_forgotten_index_goes_on(path, word_encoder):
    with Index.open(path, encoder=word_encoder) as index:
        index.add([Document(f"text {n}", id=str(n)) for n in range(200)])
        scan = Index.open(path).scan()
        engine = Index.open(path).engine
        gc.collect()
        assert len(list(scan)) == 200
        assert engine.count() == 200


def test_any_path_of_the_directory(path, word_encoder, monkeypatch):
    (path.parent / "link").symlink_to(path, target_is_directory=True)
    monkeypatch.chdir(path.parent)
    monkeypatch.setenv("HOME", str(path.parent))
    names = [path, str(path), "index", "./index/../index", path.parent / "link", "~/index", "~/link"]
    opened = [Index.open(name, encoder=word_encoder) for name in names]
    for number, index in enumerate(opened):
        index.add([Document(f"text {number}", id=str(number))])
    for index in opened:
        assert len(index) == len(names)
    assert opened[4].path == path.parent / "link"  # each has the path that it was given
    for index in opened:
        index.close()
    assert is_free(path)


def test_a_link_that_is_switched_leads_elsewhere_for_those_who_use_it(path, word_encoder):
    link = path.with_name("link")
    path.mkdir()
    link.symlink_to(path, target_is_directory=True)
    by_link = Index.open(link, encoder=word_encoder)
    direct = Index.open(path, encoder=word_encoder)
    link.unlink()
    link.symlink_to(path.with_name("other"), target_is_directory=True)
    path.with_name("other").mkdir()
    for call in (lambda: by_link.add(["one"]), by_link.count):
        with pytest.raises(IndexReplacedError):
            call()
    direct.add(["two"])
    with Index.open(link, encoder=word_encoder) as elsewhere:
        assert (len(elsewhere), len(direct)) == (0, 1)
    by_link.close()
    direct.close()


@pytest.mark.parametrize("how", ["removed", "moved", "lock removed"])
def test_a_directory_that_was_replaced_is_opened_anew(how, path, word_encoder):
    old = Index.open(path, encoder=word_encoder)
    old.add(["old"])
    if how == "removed":
        shutil.rmtree(path)
    elif how == "moved":
        path.rename(path.with_name("away"))
    else:
        (path / "writer.lock").unlink()
    with Index.open(path, encoder=word_encoder) as new:
        new.add([Document("new", id="new")])
        assert len(new) == (2 if how == "lock removed" else 1)
        with pytest.raises(IndexReplacedError):
            old.add(["more"])
        with Index.open(path, encoder=word_encoder) as again:
            assert len(again) == len(new)
    old.close()


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"bits": 2}, "was created with bits=4"),
        ({"language": "german"}, "was created with language='english'"),
        ({"dim": 8}, "was created with dim=16"),
        ({"pooling": 2}, "was created with pooling=1"),
        ({"bits": 5}, "bits must be one of"),
        ({"device": "no such device"}, "Torch cannot use"),
    ],
)
def test_other_settings_are_errors(settings, error, path, word_encoder):
    with Index.open(path, encoder=word_encoder) as index:
        with pytest.raises(InvalidRequestError, match=error):
            Index.open(path, encoder=word_encoder, **settings)
        index.add(["one"])
        Index.open(path, encoder=word_encoder, bits=4, language="english", dim=16, device="cpu").close()
        assert len(index) == 1
    assert is_free(path)


def test_another_encoder_is_an_error(path, word_encoder):
    with Index.open(path, encoder=word_encoder) as index:
        with pytest.raises(IncompatibleEncoderError, match="not the encoder"):
            Index.open(path, encoder=WordEncoder(name="others"))
        with pytest.raises(IncompatibleEncoderError, match="dimension"):
            Index.open(path, encoder=WordEncoder(dim=8))
        index.add(["one"])
    assert is_free(path)


def test_readers_beside_the_writer(path, word_encoder):
    with Index.open(path, encoder=word_encoder) as writer:
        readers = [Index.open(path, encoder=word_encoder, read_only=True) for _ in range(3)]
        writer.add([Document("one", id="1")])
        for reader in readers:
            assert reader.search("one")[0].id == "1"
            with pytest.raises(ReadOnlyIndexError):
                reader.add(["two"])
        readers[0].close()
        assert readers[1].count() == 1
        with pytest.raises(IndexClosedError):
            readers[0].count()
    assert readers[2].count() == 1  # after the writer has closed
    assert is_free(path)


def test_the_engine_of_a_caller_is_not_shared(path, word_encoder):
    with LocalEngine.open(path, dim=16) as engine:
        with pytest.raises(IndexLockedError, match=r"in this process already, .*LocalEngine\.open"):
            Index.open(path, encoder=word_encoder)
        Index(engine=engine, encoder=word_encoder).add(["one"])
        assert engine.count() == 1


def test_one_state_of_one_opening_does_not_hold_back_another(path, word_encoder):
    with Index.open(path, encoder=word_encoder) as first, Index.open(path, encoder=word_encoder) as second:
        first.add(["one"])
        with first.one_state():
            second.add(["two"])
            assert (len(first), len(second)) == (1, 2)
        assert len(first) == 2


def test_threads_that_open_add_and_close_at_once(path, word_encoder):
    def work(number):
        barrier.wait()
        try:
            for turn in range(10):
                with Index.open(path, encoder=word_encoder) as index:
                    index.add([Document(f"text {number} {turn}", id=f"{number}-{turn}")])
                    assert f"{number}-{turn}" in index
        except BaseException as error:  # noqa: BLE001  # told to the main thread
            failures.append(error)

    failures, barrier = [], threading.Barrier(4)
    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with Index.open(path, encoder=word_encoder) as index:
        assert len(index) == 40
        assert index.verify()
    assert is_free(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_reads_and_opens_for_reading_and_writes_nothing(path, word_encoder):
    def child():
        errors = []
        for write in (lambda: index.add(["two"]), lambda: Index.open(path, encoder=word_encoder)):
            try:
                write()
            except IndexLockedError as error:
                errors.append(type(error).__name__)
        with Index.open(path, encoder=word_encoder, read_only=True) as opened:
            counts = [index.count(), second.count(), opened.count()]
        index.close()
        second.close()
        with suppress(IndexLockedError):
            Index.open(path, encoder=word_encoder)
            errors.append("the lock was free")
        return [errors, counts]

    index = Index.open(path, encoder=word_encoder)
    second = Index.open(path, encoder=word_encoder)
    index.add(["one"])
    assert in_child(child) == [["IndexLockedError"] * 2, [1, 1, 1]]
    second.add(["three"])
    assert index.count() == 2
    index.close()
    second.close()
    assert is_free(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_forked_while_a_thread_opens_can_open(path, word_encoder):
    """The mutex of the thread, which the child does not have, is not the child's."""
    from late_interaction.engines.local import sharing

    inside, leave = threading.Event(), threading.Event()

    def hold():
        with sharing.opening():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()

    def child():
        with Index.open(path, encoder=word_encoder) as index:
            return len(index.add(["one"]))

    assert in_child(child) == 1
    leave.set()
    thread.join()
