"""Calls from inside a write: from the iterable that it reads, from a thread joined there, and from signal handlers.

None hangs, and what a call does from inside an iterable does not depend on the position.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import suppress

import pytest

from late_interaction import Document, Index
from late_interaction.engines import LocalEngine
from late_interaction.errors import IndexClosedError, LateInteractionError
from tests.engines.forked import in_child
from tests.engines.helpers import DIM, record, small_thresholds
from tests.fakes import WordEncoder

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="hangs are noticed in a forked child")

POSITIONS = (0, 1, 127, 128, 300)
COUNT = 301
QUERY = record("d1").vectors


def document(name):
    return Document(f"text of {name}", id=name)


class OverEngine:
    """The calls of `LocalEngine`, without an encoder."""

    def __init__(self, root):
        self.opened = self.engine = LocalEngine.open(root, dim=16)

    def add(self, documents):
        return self.engine.upsert(record(each.id, text=each.text, dim=16, tokens=2) for each in documents)

    def delete(self, ids):
        return self.engine.delete(ids=ids)


class OverIndex:
    """The calls of `Index`, which encodes documents by windows of 128."""

    def __init__(self, root):
        self.opened = Index.open(root, encoder=WordEncoder())
        self.engine = self.opened.engine
        self.add, self.delete = self.opened.add, self.opened.delete


NESTED = {
    "add": lambda over: over.add([document("nested")]),
    "add a list of many": lambda over: over.add([document(f"nested{n}") for n in range(200)]),
    "replace": lambda over: over.add([Document("new text", id="before1")]),
    "delete": lambda over: over.delete(["before0"]),
    "delete what is added": lambda over: over.delete(["d0"]),
    "compact": lambda over: over.engine.compact(),
    "update": lambda over: over.engine.update_documents([document("before2")], None),
    "record_encoder": lambda over: over.engine.record_encoder(over.engine.encoder_record or {"model": "x"}),
    "clear": lambda over: over.engine.clear(),
    "count": lambda over: over.engine.count(),
    "search": lambda over: over.engine.search(record("before1", dim=16).vectors, 1),
    "scan": lambda over: len(list(over.engine.scan())),
    "open": lambda over: LocalEngine.open(over.engine.path),
    "close": lambda over: over.opened.close(),
}


def by_this_thread(call):
    return call()


def by_a_thread_that_is_joined(call):
    found = []

    def run():
        try:
            found.append((call(), None))
        except LateInteractionError as error:
            found.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    value, error = found[0]
    if error is not None:
        raise error
    return value


def outcome(root, over_class, nested, by, position):
    """What comes of a call at this position of the iterable, and of the add: names of errors, or None."""
    over = over_class(root)
    over.add([document(f"before{n}") for n in range(3)])
    inner = []

    def source():
        for n in range(COUNT):
            if n == position:
                try:
                    by(lambda: NESTED[nested](over))
                    inner.append(None)
                except LateInteractionError as error:
                    inner.append(type(error).__name__)
            yield document(f"d{n}")

    outer = None
    try:
        assert over.add(source()) == [f"d{n}" for n in range(COUNT)]
    except LateInteractionError as error:
        outer = type(error).__name__
    over.opened.close()
    with LocalEngine.open(root) as again:
        ids = {found.id for found in again.scan()}
        problems = list(again.verify().problems) if position in (0, 300) else []
    added = sum(f"d{n}" in ids for n in range(COUNT))
    return [inner[0], outer, added, sorted(name for name in ids if not name.startswith("d")), problems]


SOME = ("add", "delete", "compact", "update", "count", "clear", "open", "close")


@pytest.mark.parametrize(
    ("over", "by", "calls", "positions"),
    [
        (OverIndex, by_this_thread, tuple(NESTED), POSITIONS),
        (OverIndex, by_a_thread_that_is_joined, SOME, (0, 127, 128)),
        (OverEngine, by_this_thread, SOME, (0, 128)),
        (OverEngine, by_a_thread_that_is_joined, SOME, (0, 300)),
    ],
)
def test_a_call_from_inside_the_iterable(tmp_path, over, by, calls, positions):
    def work():
        found = {}
        for nested in calls:
            for position in positions:
                root = tmp_path / f"{nested} {position}"
                found[f"{nested} {position}"] = outcome(root, over, nested, by, position)
        return found

    found = in_child(work)
    before = ["before0", "before1", "before2"]
    for nested in calls:
        outcomes = [found[f"{nested} {position}"] for position in positions]
        assert outcomes == outcomes[:1] * len(positions), nested
        inner, outer, added, others, problems = outcomes[0]
        assert problems == []
        assert added == (COUNT if outer is None else 0), "all or nothing"
        if inner is not None or nested in ("count", "search", "scan", "replace", "update", "compact", "close"):
            assert others == before, nested
    assert found["open 0"][0] == "IndexLockedError"
    assert found["count 0"][:2] == [None, None]
    if found["add 0"][0] is None:
        assert found["add 0"][3] == [*before, "nested"]
        assert found["delete 0"][3] == before[1:]
        assert found["clear 0"][3] == []
    assert found["close 0"][1] in (None, "IndexClosedError")


# Signals


def interrupted(root, handle, seconds=0.6, seed=1):
    """What comes of adds, deletions, merges and reads while a timer interrupts them; the acknowledged ids."""
    rng = random.Random(seed)
    engine = LocalEngine.open(root, dim=DIM)
    acknowledged, errors, calls = [], set(), [0]

    def on_signal(number, frame):
        calls[0] += 1
        handle(engine, errors)
        signal.setitimer(signal.ITIMER_REAL, 0.0002 + rng.random() * 0.003)

    signal.signal(signal.SIGALRM, on_signal)
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        number += 1
        name = f"d{number}"
        try:
            if number % 7 == 0:
                engine.compact()
            elif number % 5 == 0:
                engine.search(QUERY, 3)
            else:
                engine.upsert(record(name) for name in [name])
                acknowledged.append(name)
        except IndexClosedError:
            with suppress(LateInteractionError):
                engine.close()
            engine = LocalEngine.open(root)
        except LateInteractionError as error:
            errors.add(f"{type(error).__name__}: {error}"[:200])
    signal.setitimer(signal.ITIMER_REAL, 0)
    engine.close()
    with LocalEngine.open(root) as again:
        ids = {document.id for document in again.scan()}
        return {
            "lost": sorted(set(acknowledged) - ids),
            "problems": list(again.verify().problems),
            "errors": sorted(errors),
            "calls": calls[0],
            "acknowledged": len(acknowledged),
        }


def close(engine, errors):
    try:
        engine.close()
    except LateInteractionError as error:
        errors.add(f"{type(error).__name__}: {error}"[:200])


def write(engine, errors):
    for call in (lambda: engine.upsert([record("by the handler")]), lambda: engine.delete(ids=["by the handler"])):
        try:
            call()
        except IndexClosedError:
            pass
        except LateInteractionError as error:
            errors.add(f"{type(error).__name__}: {error}"[:200])


def compact(engine, errors):
    try:
        engine.compact()
    except LateInteractionError as error:
        errors.add(f"{type(error).__name__}: {error}"[:200])


def read(engine, errors):
    try:
        engine.count()
        engine.search(QUERY, 1)
    except LateInteractionError as error:
        errors.add(f"{type(error).__name__}: {error}"[:200])


@pytest.mark.parametrize("handle", [close, write, compact, read])
def test_a_call_from_a_signal_handler(tmp_path, handle):
    with small_thresholds(), LocalEngine.open(tmp_path / "warm", dim=DIM) as engine:  # imports what calls need
        for n in range(30):
            engine.upsert([record(f"d{n}")])
            engine.search(QUERY)
        engine.compact()

    def work():
        with small_thresholds():
            return interrupted(tmp_path / "index", handle)

    found = in_child(work)
    assert found["lost"] == found["problems"] == []
    assert found["calls"] > 20
    assert found["acknowledged"] > 0
    assert [error for error in found["errors"] if not error.startswith("InvalidRequestError")] == []  # which says why


def test_close_from_a_handler_while_an_add_waits_for_its_iterable(tmp_path):
    """The add is in the middle of it, in this thread or in another."""

    def work():
        engine = LocalEngine.open(tmp_path / "index", dim=DIM)
        engine.upsert([record("before")])
        closed = threading.Event()

        def close(*_):
            engine.close()
            closed.set()

        signal.signal(signal.SIGUSR1, close)

        def source():
            closed.clear()
            yield record("a")
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
            closed.wait(30)
            yield record("b")

        found = []

        def add():
            try:
                found.append(engine.upsert(source()))
            except LateInteractionError as error:
                found.append(type(error).__name__)

        add()
        engine = LocalEngine.open(tmp_path / "index")
        thread = threading.Thread(target=add)
        thread.start()
        while thread.is_alive():
            thread.join(0.01)
        with LocalEngine.open(tmp_path / "index") as again:
            return found, again.count(), again.verify().problems

    found, count, problems = in_child(work)
    assert found == ["IndexClosedError"] * 2
    assert (count, problems) == (1, [])
