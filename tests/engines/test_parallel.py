"""Work on several threads: results in order, bounded memory, and no work after an error or an interrupt."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from late_interaction.documents import Document
from late_interaction.engines import LocalEngine, Record
from late_interaction.engines.local import compaction, maintenance
from late_interaction.engines.parallel import in_order
from tests.engines.helpers import CHILD_ENVIRONMENT, unit_vectors


@pytest.mark.parametrize("threads", [0, 1, 2, 5])
def test_results_are_in_order(threads):
    def slower_at_first(number):
        time.sleep(0.01 / (number + 1))
        return number, threading.get_ident()

    found = list(in_order(slower_at_first, range(40), threads))
    assert [number for number, _ in found] == list(range(40))
    assert (threading.get_ident() in {thread for _, thread in found}) == (threads <= 1)
    assert list(in_order(slower_at_first, [], threads)) == []


@pytest.mark.parametrize("threads", [2, 4])
def test_few_items_are_in_memory(threads):
    """Items are taken no earlier than they are needed, and results are not collected."""
    taken = []

    def take(item):
        taken.append(item)
        return item

    for result in in_order(abs, map(take, range(100)), threads):
        assert taken[-1] - result <= threads
    assert taken == list(range(100))


def test_an_error_ends_the_work():
    started = []

    def fails_at_three(number):
        started.append(number)
        if number == 3:
            raise ValueError("three")
        return number

    found = []
    with pytest.raises(ValueError, match="three"):
        found.extend(in_order(fails_at_three, range(1000), 2))
    assert max(started) <= 3 + 2
    assert not _helpers()


def test_a_caller_that_stops_leaves_no_threads():
    results = in_order(abs, range(1000), 3)
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    assert _helpers()
    results.close()
    assert not _helpers()


def _helpers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("late-interaction-blocks")]


def test_without_more_threads_this_one_does_the_work(monkeypatch):
    """As when the interpreter exits."""
    monkeypatch.setattr(ThreadPoolExecutor, "submit", _refused)
    found = list(in_order(lambda number: (number, threading.get_ident()), range(9), 2))
    assert found == [(number, threading.get_ident()) for number in range(9)]


def _refused(*_):
    raise RuntimeError("can't start new thread")


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGINT from another process")
def test_an_interrupt_ends_the_work():
    program = """
import os, signal, threading, time
from late_interaction.engines.parallel import in_order
done = []
def work(number):
    if number == 5:
        os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.05)
    done.append(number)
try:
    list(in_order(work, range(10_000), 2))
except KeyboardInterrupt:
    print(max(done) < 20, threading.active_count())
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=CHILD_ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["True", "1"], done.stderr


def _written(root, patch, cores, call_tokens=10**9):
    """The files of an index that was built with this many cores, and which threads compressed blocks of tokens."""
    threads = set()
    encode = compaction.Codebook.assign

    def assign(self, vectors):
        threads.add(threading.current_thread().name)
        return encode(self, vectors)

    with patch.context() as patched:
        patched.setattr(maintenance, "cores", lambda: cores)
        patched.setattr(maintenance, "_MAX_CALL_TOKENS", call_tokens)
        patched.setattr(maintenance, "_MAX_CALL_FACTOR", 0)
        patched.setattr(compaction, "_BLOCK_TOKENS", 300)
        patched.setattr(compaction, "_MIN_TRAINING_TOKENS", 4000)
        patched.setattr(compaction.Codebook, "assign", assign)
        with LocalEngine.open(root, dim=24) as engine:
            engine.upsert(Record(Document(id=str(at), text="a"), unit_vectors(at, 10, 24)) for at in range(500))
            engine._maintenance.wait()
            assert engine.info()["centroids"]
            found = [(match.id, match.score) for match in engine.search(unit_vectors(7, 4, 24), 10)]
    files = sorted(root.rglob("*.npy"), key=lambda path: (path.name, path.stat().st_size))
    return [(path.name, path.read_bytes()) for path in files], found, threads


def test_files_do_not_depend_on_the_number_of_threads(tmp_path):
    patch = pytest.MonkeyPatch
    one, other = _written(tmp_path / "one", patch, 1), _written(tmp_path / "four", patch, 4)
    assert one[:2] == other[:2]
    assert one[2] == {threading.current_thread().name}
    assert any(name.startswith("late-interaction-blocks") for name in other[2])


def test_work_in_the_background_has_one_thread(tmp_path):
    """It runs beside searches."""
    *_, threads = _written(tmp_path / "index", pytest.MonkeyPatch, 4, call_tokens=0)
    assert threads == {"late-interaction: compaction"}
