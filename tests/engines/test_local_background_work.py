"""Large steps of compaction are left to a thread: what it does beside other calls, and how it ends."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import traceback

import pytest

from late_interaction.engines import LocalEngine
from late_interaction.engines.local import compaction, maintenance
from late_interaction.engines.local.worker import Worker
from late_interaction.errors import IndexClosedError, IndexLockedError
from tests.engines.helpers import (
    CHILD_ENVIRONMENT,
    DIM,
    left_over,
    record,
    small_thresholds,
    spare_names,
    true_score,
    unit_vectors,
)

SECONDS = 30  # more than anything here takes
QUERY = unit_vectors(12345, 4)


@pytest.fixture(autouse=True)
def _every_step_in_the_background(monkeypatch):
    monkeypatch.setattr(maintenance, "_MAX_CALL_TOKENS", 0)
    monkeypatch.setattr(maintenance, "_MAX_CALL_FACTOR", 0)
    with small_thresholds():
        yield


class Gate:
    """Holds the background before a step is written, until it is opened."""

    def __init__(self, monkeypatch, name="_compress"):
        self.reached, self.opened = threading.Event(), threading.Event()
        self.threads = []
        step = getattr(compaction, name)

        def held(*arguments):
            self.threads.append(threading.current_thread())
            self.reached.set()
            assert self.opened.wait(SECONDS)
            return step(*arguments)

        monkeypatch.setattr(compaction, name, held)


def add(engine, first, last, tokens=3):
    for n in range(first, last):
        engine.upsert([record(f"d{n}", tokens=tokens, n=n)])


def wait(engine):
    engine._maintenance.wait()


def check(engine, names):
    """All documents are there, with their words and vectors."""
    assert engine.verify().problems == ()
    assert {document.id for document in engine.scan()} == set(names)
    assert {match.id for match in engine.search_lexical("text", 1000)} == set(names)
    for match in engine.search(QUERY, 1000):
        assert match.score == pytest.approx(true_score(QUERY, record(match.id).vectors), abs=0.2)


@pytest.fixture
def engine(root):
    with LocalEngine.open(root, dim=DIM, bits=8) as engine:
        yield engine


@pytest.fixture
def gate(monkeypatch):
    gate = Gate(monkeypatch)
    yield gate
    gate.opened.set()


def test_adds_and_searches_go_on(engine, gate):
    add(engine, 0, 14)  # 42 tokens
    assert gate.reached.wait(SECONDS)
    assert engine.info()["exact_tokens"] == 42
    add(engine, 14, 20)
    engine.delete(ids=["d3", "d15"])
    assert len(engine.search(QUERY, 100)) == 18
    assert engine.info()["centroids"] == 0
    gate.opened.set()
    wait(engine)
    info = engine.info()
    assert info["centroids"] > 0
    assert info["exact_tokens"] < 16
    check(engine, [f"d{n}" for n in range(20) if n not in (3, 15)])
    assert threading.main_thread() not in gate.threads


def test_small_segments_are_merged_meanwhile(engine, gate, monkeypatch):
    add(engine, 0, 14)
    assert gate.reached.wait(SECONDS)
    monkeypatch.setattr(maintenance, "_MAX_CALL_TOKENS", 100)
    add(engine, 14, 74, tokens=1)
    assert engine.info()["segments"] <= 14 + compaction._MERGED_SEGMENTS
    gate.opened.set()
    wait(engine)
    assert engine.verify().problems == ()
    assert engine.count() == 74


def test_a_second_compression_waits_for_the_first(engine, gate):
    """Both would write a codebook."""
    add(engine, 0, 14)
    assert gate.reached.wait(SECONDS)
    maintenance._MAX_CALL_TOKENS = 10**6  # undone by the fixture
    add(engine, 14, 40)
    assert len(gate.threads) == 1
    gate.opened.set()
    wait(engine)
    assert engine.info()["exact_tokens"] < 16
    check(engine, [f"d{n}" for n in range(40)])


def test_a_bulk_load_is_compressed_when_it_returns(engine, monkeypatch):
    monkeypatch.setattr(maintenance, "_MAX_CALL_FACTOR", 4)
    gate = Gate(monkeypatch)
    gate.opened.set()
    engine.upsert([record(f"d{n}") for n in range(200)])
    assert engine.info()["exact_tokens"] == 0
    assert gate.threads == [threading.main_thread()]


def test_compact_waits_for_the_step_in_hand(engine, gate):
    add(engine, 0, 14)
    assert gate.reached.wait(SECONDS)
    threading.Timer(0.2, gate.opened.set).start()
    engine.compact()
    info = engine.info()
    assert (info["segments"], info["exact_tokens"]) == (1, 0)
    check(engine, [f"d{n}" for n in range(14)])


@pytest.mark.parametrize("is_begun", [True, False])
def test_close_waits_for_one_step(root, gate, monkeypatch, is_begun):
    engine = LocalEngine.open(root, dim=DIM, bits=8)
    if not is_begun:
        begin = Worker._next_request
        monkeypatch.setattr(Worker, "_next_request", lambda worker: (time.sleep(0.3), begin(worker))[1])
    add(engine, 0, 14)
    if is_begun:
        assert gate.reached.wait(SECONDS)
    threading.Timer(0.2, gate.opened.set).start()
    engine.close()
    assert not engine._maintenance.worker.is_running
    assert set(left_over(root)) <= set(spare_names(root, retired=True))
    with LocalEngine.open(root) as engine:
        assert engine.info()["exact_tokens"] == 0
        check(engine, [f"d{n}" for n in range(14)])


def test_openings_that_share_an_engine(root, gate):
    one = LocalEngine.open_shared(root, dim=DIM, bits=8)
    other = LocalEngine.open_shared(root)
    add(one, 0, 14)
    assert gate.reached.wait(SECONDS)
    one.close()  # does not wait: the other goes on
    assert len(other.search(QUERY, 100)) == 14
    gate.opened.set()
    other.close()
    with LocalEngine.open(root) as engine:
        assert engine.info()["exact_tokens"] == 0


def test_the_last_of_several_openings_does_not_wait_inside_its_mutex(root, gate, monkeypatch):
    """As if work began after it had waited."""
    engine = LocalEngine.open_shared(root, dim=DIM, bits=8)
    add(engine, 0, 14)
    assert gate.reached.wait(SECONDS)
    worker = engine._maintenance.worker
    stop = worker.stop
    stops = []
    monkeypatch.setattr(worker, "stop", lambda: stops.append(1) or (stop() if len(stops) > 1 else None))
    engine.close()
    assert len(stops) == 1
    gate.opened.set()
    worker.wait()
    with LocalEngine.open(root) as again:
        check(again, [f"d{n}" for n in range(14)])
    assert left_over(root) == []


def test_an_engine_that_is_dropped_without_closing(root, gate):
    """Its thread keeps the writer lock for the step in hand; the next opening waits for that."""
    engine = LocalEngine.open(root, dim=DIM, bits=8)
    add(engine, 0, 14)
    assert gate.reached.wait(SECONDS)
    with pytest.raises(IndexLockedError):
        LocalEngine.open(root)
    del engine
    gc.collect()
    threading.Timer(0.2, gate.opened.set).start()
    with LocalEngine.open(root) as engine:
        assert engine.info()["exact_tokens"] == 0
        check(engine, [f"d{n}" for n in range(14)])


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("a bug")])
def test_an_error_is_logged_and_the_next_write_tries_again(engine, monkeypatch, caplog, error):
    def fail(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(compaction, "_compress", fail)
        add(engine, 0, 14)
        wait(engine)
    assert str(error.args[-1]) in caplog.text
    assert engine.info()["exact_tokens"] == 42
    add(engine, 14, 15)
    wait(engine)
    assert engine.info()["exact_tokens"] == 0
    check(engine, [f"d{n}" for n in range(15)])


@pytest.mark.parametrize("most", [0, 30])
def test_many_threads(engine, root, monkeypatch, most):
    """Steps of calls, of the background and of `compact` at the same time: no document and no code is lost."""
    monkeypatch.setattr(maintenance, "_MAX_CALL_TOKENS", most)
    errors, done = [], threading.Event()

    def write(worker):
        for n in range(worker, 60, 3):
            engine.upsert([record(f"d{n}", n=n), record(f"x{worker}")])
            if n % 10 == worker:
                engine.delete(ids=[f"d{n}"])
            if n % 25 == worker:
                engine.compact()

    def search():
        while not done.is_set():
            for match in engine.search(QUERY, 1000):
                assert match.score == pytest.approx(true_score(QUERY, record(match.id).vectors), abs=0.2)

    def run(work, *arguments):
        try:
            work(*arguments)
        except BaseException:  # noqa: BLE001  # reported below
            errors.append(traceback.format_exc())

    searching = threading.Thread(target=run, args=(search,))
    writing = [threading.Thread(target=run, args=(write, worker)) for worker in range(3)]
    with small_thresholds(fanout=4):
        for thread in (searching, *writing):
            thread.start()
        for thread in writing:
            thread.join()
        wait(engine)
    done.set()
    searching.join()
    assert errors == []
    gone = {n for worker in range(3) for n in range(worker, 60, 3) if n % 10 == worker}
    check(engine, [*(f"d{n}" for n in range(60) if n not in gone), "x0", "x1", "x2"])
    assert engine.info()["exact_tokens"] < 16
    assert set(left_over(root)) <= set(spare_names(root, retired=True))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_meanwhile(engine, gate, root):
    add(engine, 0, 14)
    assert gate.reached.wait(SECONDS)
    pid = os.fork()
    if pid == 0:
        try:
            assert len(engine.search(QUERY, 100)) == 14
            engine.close()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    gate.opened.set()
    wait(engine)
    assert engine.info()["exact_tokens"] == 0
    check(engine, [f"d{n}" for n in range(14)])
    assert set(left_over(root)) <= set(spare_names(root, retired=True))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a signal")
def test_a_signal_handler_may_close_the_index_inside_a_commit(root, gate):
    """The background needs the mutex of the commit that the handler interrupts, so closing does not wait for it."""
    engine = LocalEngine.open(root, dim=DIM, bits=8)
    add(engine, 0, 14)
    assert gate.reached.wait(SECONDS)
    before = signal.signal(signal.SIGUSR1, lambda *_: engine.close())
    try:
        with pytest.raises(IndexClosedError):
            engine._transactions.commit(lambda _: os.kill(os.getpid(), signal.SIGUSR1))
    finally:
        signal.signal(signal.SIGUSR1, before)
    gate.opened.set()
    engine._maintenance.wait()
    with LocalEngine.open(root) as engine:
        check(engine, [f"d{n}" for n in range(14)])
    assert left_over(root) == []


CHILD = """
import os, sys
from late_interaction.engines import LocalEngine
from late_interaction.engines.local import compaction, maintenance
from tests.engines.helpers import DIM, record, small_thresholds
maintenance._MAX_CALL_TOKENS = maintenance._MAX_CALL_FACTOR = 0
if sys.argv[2] == "kill":
    compaction._codebook_for = lambda *_: os.kill(os.getpid(), 9)
thresholds = small_thresholds()
thresholds.__enter__()  # until the end
engine = LocalEngine.open(sys.argv[1], dim=DIM, bits=8)
for n in range(14):
    engine.upsert([record(f"d{n}")])
if sys.argv[2] == "kill":
    engine._maintenance.wait()
"""


@pytest.mark.parametrize("end", ["exit", "kill"])
def test_a_process_that_ends_meanwhile(root, end):
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(root), end],
        env=CHILD_ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0 if end == "exit" else -signal.SIGKILL, "")
    with LocalEngine.open(root) as engine:
        assert engine.info()["exact_tokens"] == (0 if end == "exit" else 42)
        check(engine, [f"d{n}" for n in range(14)])
    assert left_over(root) == []
