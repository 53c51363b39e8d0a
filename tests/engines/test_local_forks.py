"""After a fork: children read and never write, however they end, and the parent goes on as the one writer."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import time

import numpy as np
import pytest

from late_interaction import Document, Index
from late_interaction.engines import LocalEngine
from late_interaction.errors import (
    IndexLockedError,
    InvalidRequestError,
    LateInteractionError,
    StorageError,
)
from tests.engines.forked import Forked, in_child, tree
from tests.engines.helpers import DIM, record, small_thresholds, state_on_disk, true_score
from tests.engines.test_local_processes import Child, ChildError

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

COUNT = 30


@pytest.fixture(scope="module")
def other():
    """Another process, which is no relative of a writer's children."""
    with Child() as child:
        yield child


@pytest.fixture(params=["exact", "compressed"])
def engine(root, request):
    with (
        small_thresholds() if request.param == "compressed" else small_thresholds(10**9, 10**9),
        LocalEngine.open(root, dim=DIM, bits=8) as engine,
    ):
        engine.upsert([record(f"d{n}", tokens=4, n=n) for n in range(COUNT)])
        engine.search(record("d7", tokens=4).vectors)
        yield engine


def is_locked(root, other):
    """Whether another process is refused as a writer."""
    try:
        other("open", path=str(root))
    except ChildError as error:
        if error.args[0] != "IndexLockedError":
            raise
        return True
    other("close")
    return False


def writes_of(engine, folder):
    return {
        "upsert": lambda: engine.upsert([record("new")]),
        "upsert nothing": lambda: engine.upsert([]),
        "delete by id": lambda: engine.delete(ids=["d3"]),
        "delete by filter": lambda: engine.delete(where={"n": 4}),
        "clear": engine.clear,
        "compact": engine.compact,
        "record_encoder": lambda: engine.record_encoder({"model": "other"}),
        "record_roots": lambda: engine.record_roots({"1": {"path": "/"}}),
        "update_documents": lambda: engine.update_documents([Document("other", id="d3")], None),
        "open": lambda: LocalEngine.open(engine.path),
        "open with dim": lambda: LocalEngine.open(engine.path, dim=DIM),
    }


def right_answers(engine):
    """What is wrong with the answers of an engine that holds the documents of `engine`."""
    query = record("d7", tokens=4).vectors
    hits = engine.search(query, 3)
    wrong = []
    if hits[0].id != "d7" or abs(hits[0].score - true_score(query, query)) > 0.05:
        wrong.append(f"search: {hits}")
    if [match.id for match in engine.search_lexical("d12", 3)] != ["d12"]:
        wrong.append("search_lexical")
    if engine.count() != COUNT or engine.count(where={"n": {"$lt": 5}}) != 5:
        wrong.append("count")
    if [document.id for document in engine.scan()] != [f"d{n}" for n in range(COUNT)]:
        wrong.append("scan")
    if np.abs(engine.vectors(["d7"])["d7"] - query).max() > 0.05:
        wrong.append("vectors")
    with engine.one_state():
        if engine.get(["d1"])[0].text != "text of d1":
            wrong.append("get")
    wrong += engine.verify().problems
    return wrong


def test_a_child_reads(engine):
    children = [Forked(lambda _: right_answers(engine)) for _ in range(2)]
    for child in children:
        assert child.result() == []
    assert in_child(lambda: in_child(lambda: right_answers(engine))) == []  # and a grandchild
    assert right_answers(engine) == []


def test_a_child_sees_what_the_parent_commits_later(engine):
    read, write = os.pipe()

    def work(say):
        say(engine.count())
        os.read(read, 1)
        say(engine.count())
        return engine.search(record("later").vectors, 1)[0].id

    child = Forked(work)
    assert child.line() == COUNT
    engine.upsert([record("later")])
    engine.compact()
    os.write(write, b".")
    assert child.line() == COUNT + 1
    assert child.result() == "later"
    os.close(read)
    os.close(write)


def test_a_child_writes_nothing(engine, root, tmp_path):
    before = state_on_disk(root)
    number_of_writes = len(writes_of(engine, tmp_path))

    def work():
        found = {}
        for name, write in writes_of(engine, tmp_path).items():
            try:
                write()
                found[name] = "no error"
            except LateInteractionError as error:
                found[name] = type(error).__name__
        return found

    for call in (in_child, lambda work: in_child(lambda: in_child(work))):
        found = call(work)
        assert found == dict.fromkeys(found, "IndexLockedError")
        assert len(found) == number_of_writes
    assert state_on_disk(root) == before
    assert engine.upsert([record("new")]) == ["new"]
    assert engine.verify().problems == ()


def test_a_copy_by_a_child_is_whole_or_refused(engine, tmp_path):
    def work():
        try:
            engine.copy(tmp_path / "copy")
        except IndexLockedError:
            return tree(tmp_path / "copy") == {}
        with LocalEngine.open(tmp_path / "copy") as copy:
            return right_answers(copy) == []

    assert in_child(work)


def test_a_message_for_the_child(engine):
    def work():
        with pytest.raises(IndexLockedError) as caught:
            engine.upsert([record("new")])
        return str(caught.value)

    message = in_child(work)
    assert "fork" in message
    assert str(os.getpid()) in message


class UnforeseenError(BaseException):
    pass


def raise_unforeseen():
    raise UnforeseenError


def end(engine, way):
    """End a child. What follows is `os._exit`, if this returns."""
    {
        "os._exit": lambda: None,
        "sys.exit": sys.exit,
        "close": engine.close,
        "close twice and collect": lambda: (engine.close(), engine.close(), gc.collect()),
        "forget and collect": lambda: (engine.__dict__.clear(), gc.collect()),
        "an exception": raise_unforeseen,
        "close in a thread": lambda: run_in_thread(engine.close),
        "SIGTERM": lambda: os.kill(os.getpid(), signal.SIGTERM),
        "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    }[way]()


def run_in_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


@pytest.mark.parametrize(
    "way",
    [
        "os._exit",
        "sys.exit",
        "close",
        "close twice and collect",
        "forget and collect",
        "an exception",
        "close in a thread",
        "SIGTERM",
        "SIGKILL",
    ],
)
@pytest.mark.parametrize("has_read", [False, True])
def test_the_end_of_a_child_takes_nothing_from_the_parent(engine, root, other, way, has_read):
    child = Forked(lambda _: has_read and right_answers(engine), leave=lambda: end(engine, way))
    assert not child.line()
    assert is_locked(root, other)
    child.wait()
    assert is_locked(root, other)
    assert right_answers(engine) == []
    engine.upsert([record("after")])
    engine.delete(ids=["after"])
    engine.compact()
    assert is_locked(root, other)
    assert right_answers(engine) == []
    engine.close()
    assert not is_locked(root, other)


def test_a_real_exit_of_a_child(root, other):
    """Through `multiprocessing`, which runs the child's finalizers, and with an interpreter that ends as any does."""
    with LocalEngine.open(root, dim=DIM) as engine:
        engine.upsert([record("a")])
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(_counted, [engine.path] * 4) == [1] * 4
        assert is_locked(root, other)
        assert engine.upsert([record("b")]) == ["b"]


def _counted(path):
    with LocalEngine.open(path, read_only=True) as engine:
        return engine.count()


def test_the_parent_closes_while_a_child_lives(engine, root, other):
    read, write = os.pipe()

    def work(say):
        say(engine.count())
        os.read(read, 1)
        return engine.count()

    child = Forked(work)
    assert child.line() == COUNT
    engine.close()
    assert not is_locked(root, other)
    with LocalEngine.open(root) as again:
        again.upsert([record("later")])
        os.write(write, b".")
        assert child.result() == COUNT + 1
        assert is_locked(root, other)
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("reads", [False, True])
def test_a_killed_parent_leaves_no_lock_in_its_children(root, other, reads):
    """The child has inherited the open file of the lock. It lives on, and may even go on reading."""
    read, write = os.pipe()

    def child(engine):
        def work(say):
            say([os.getpid(), engine.count() if reads else None])
            os.read(read, 1)  # until the test has ended

        return work

    def parent(say):
        engine = LocalEngine.open(root, dim=DIM)
        engine.upsert([record("a")])
        forked = Forked(child(engine))
        say(forked.line())
        time.sleep(600)

    process = Forked(parent)
    pid, _ = process.line()
    assert is_locked(root, other)
    process.kill()
    try:
        os.kill(pid, 0)  # it lives
        assert not is_locked(root, other)
        with LocalEngine.open(root) as engine:
            assert engine.upsert([record("b")]) == ["b"]
            assert engine.verify().problems == ()
    finally:
        os.write(write, b".")
        os.close(read)
        os.close(write)


# Forks in the middle of something


class SlowEncoder:
    """Tells when it is at work, and waits to be told to go on."""

    dim = DIM
    fingerprint = {"model": "slow"}  # noqa: RUF012

    def __init__(self):
        self.is_slow = False
        self.begun, self.go_on = threading.Event(), threading.Event()

    def encode_queries(self, texts):
        return [record(text).vectors for text in texts]

    def encode_documents(self, texts):
        if self.is_slow:
            self.begun.set()
            self.go_on.wait(60)
        return self.encode_queries(texts)


def test_a_fork_while_another_thread_is_in_the_middle_of_an_add(root, other):
    encoder = SlowEncoder()
    with Index.open(root, encoder=encoder) as index:
        index.add([Document(f"text{n}", id=f"d{n}") for n in range(5)])
        encoder.is_slow = True
        thread = threading.Thread(target=index.add, args=([Document("slow", id="slow")],))
        thread.start()
        assert encoder.begun.wait(60)

        def work(say):
            encoder.is_slow = False
            say([index.search("text3", 1)[0].id, len(index), index.verify().problems])
            for write in (lambda: index.add(["x"]), lambda: index.delete(["d1"]), index.clear, index.compact):
                with pytest.raises(IndexLockedError):
                    write()
            index.close()
            return "ended"

        start = time.monotonic()
        child = Forked(work)
        assert time.monotonic() - start < 10, "the fork waited for the encoder"
        assert child.line() == ["d3", 5, []]
        assert child.result() == "ended"
        assert is_locked(root, other)
        encoder.go_on.set()
        thread.join(60)
        assert not thread.is_alive()
        assert len(index) == 6
        assert index.verify().problems == ()
        index.delete(["slow"])
        index.compact()


@pytest.mark.parametrize("leave", ["sys.exit", "os._exit", "an exception", "the iterable goes on"])
@pytest.mark.parametrize("position", [0, 2])
def test_a_fork_inside_the_iterable_that_add_reads(engine, root, other, leave, position):
    """The child unwinds through the very write, whose clean-up is the parent's to do."""

    def source():
        for number in range(4):
            if number == position:
                read, write = os.pipe()
                pid = os.fork()
                if pid == 0:
                    os.dup2(write, 2)
                    if leave == "os._exit":
                        os._exit(0)
                    if leave == "sys.exit":
                        sys.exit(0)
                    if leave == "an exception":
                        raise UnforeseenError
                    children.append(0)
                else:
                    os.close(write)
                    before = tree(root / "segments")
                    end = time.monotonic() + 60
                    while os.waitpid(pid, os.WNOHANG)[0] == 0:
                        if time.monotonic() > end:
                            os.kill(pid, signal.SIGKILL)
                        time.sleep(0.001)
                    os.close(read)
                    after = tree(root / "segments")
                    kept.append({name: after.get(name) for name in before} == before)
            yield record(f"new{number}")

    children, kept = [], []
    parent = os.getpid()
    try:
        ids = engine.upsert(source())
    except BaseException:  # only the child is to end
        if os.getpid() != parent:
            os._exit(0)
        raise
    if os.getpid() != parent:
        os._exit(0)
    assert kept == [True], "the child removed or changed files of the parent"
    assert ids == [f"new{n}" for n in range(4)]
    assert is_locked(root, other)
    assert engine.verify().problems == ()
    assert engine.count() == COUNT + 4
    engine.close()
    with LocalEngine.open(root) as again:
        assert again.count() == COUNT + 4
        assert again.verify().problems == ()


def calls_of_a_child(engine):
    return {
        "count": engine.count,
        "get": lambda: engine.get(["d3"]),
        "scan": lambda: list(engine.scan()),
        "search": lambda: engine.search(record("d3").vectors),
        "search_lexical": lambda: engine.search_lexical("d3"),
        "verify": lambda: " ".join(engine.verify().problems),
        "info": engine.info,
    }


@pytest.mark.parametrize("what", ["scan", "one_state"])
def test_a_fork_while_a_scan_or_a_state_is_open(engine, root, what):
    """SQLite's connection of the scan cannot be used by the child. It is told, and neither hangs nor harms."""
    if what == "scan":
        scan = engine.scan()
        assert next(scan).id == "d0"
    else:
        state = engine.one_state()
        state.__enter__()

    def work():
        found = {}
        for name, call in calls_of_a_child(engine).items():
            try:
                found[name] = str(call())
            except StorageError as error:
                found[name] = str(error)
        with pytest.raises((IndexLockedError, StorageError, InvalidRequestError)):
            engine.upsert([record("x")])
        with LocalEngine.open(root, read_only=True) as own:
            return found, own.count()

    start = time.monotonic()
    found, count = in_child(work)
    assert time.monotonic() - start < 20
    assert count == COUNT
    if what == "scan":
        assert [name for name, told in found.items() if "forked" not in told] == []
        assert [document.id for document in scan] == [f"d{n}" for n in range(1, COUNT)]
    else:
        assert engine.count() == COUNT
        state.__exit__(None, None, None)
    engine.upsert([record("later")])
    assert engine.count() == COUNT + 1
    assert engine.verify().problems == ()


def test_a_child_that_goes_on_with_a_half_read_scan(engine):
    scan = engine.scan()
    next(scan)

    def work():
        try:
            rest = [document.id for document in scan]
        except LateInteractionError as error:
            return type(error).__name__
        return rest == [f"d{n}" for n in range(1, COUNT)] or rest

    assert in_child(work) in ("StorageError", "IndexLockedError", True)
    assert [document.id for document in scan] == [f"d{n}" for n in range(1, COUNT)]
