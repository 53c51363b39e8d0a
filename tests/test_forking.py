"""A forked child can search and encode, whatever the threads of its parent were doing."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from tests.engines.helpers import CHILD_ENVIRONMENT

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")

COMMON = """
import faulthandler, gc, os, signal, sys, threading, time
import numpy as np
from late_interaction import Document, Index, forking
from late_interaction.engines import LocalEngine, Record

faulthandler.register(signal.SIGALRM, chain=True)  # says where a child hangs, and ends it

def in_child(check, seconds=20):
    \"\"\"Whether the check holds in a forked child, which must end soon.\"\"\"
    process = os.fork()
    if process == 0:
        signal.alarm(seconds)
        status = 1
        try:
            status = 0 if check() else 2
        finally:
            os._exit(status)
    _, status = os.waitpid(process, 0)
    return status == 0

def unit(rng, tokens, dim=32):
    vectors = rng.normal(size=(tokens, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

def filled(root, documents):
    rng = np.random.default_rng(0)
    engine = LocalEngine.open(root, dim=32)
    engine.upsert(Record(Document(f"text {n}", id=str(n)), unit(rng, 40)) for n in range(documents))
    return engine, unit(rng, 8)
"""


def run(program, *arguments, timeout=200):
    """Run a program in a fresh process, whose libraries have threads as on any machine with several cores."""
    environment = {**CHILD_ENVIRONMENT, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", COMMON + textwrap.dedent(program), *map(str, arguments)],
        env=environment, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-5000:]
    return done.stdout.split()


@pytest.mark.parametrize("documents", [300, 1700])
def test_children_search_after_their_parent(tmp_path, documents):
    """Over exact vectors and over compressed ones. So do their own children, and other threads of theirs."""
    program = """
    engine, query = filled(sys.argv[1], int(sys.argv[2]))
    engine._maintenance.wait()
    assert (engine.info()["centroids"] > 0) == (engine.info()["tokens"] > 65_536)

    def hits():
        return [(match.id, round(match.score, 4)) for match in engine.search(query, 5)]

    def in_a_thread():
        found = []
        thread = threading.Thread(target=lambda: found.append(hits()))
        thread.start()
        thread.join()
        return found[0]

    expected = hits()
    assert in_child(lambda: hits() == expected)
    assert in_child(lambda: in_a_thread() == expected)
    assert in_child(lambda: in_child(lambda: hits() == expected))
    assert hits() == expected
    """
    run(program, tmp_path / "index", documents)


def test_children_of_a_process_that_used_torch_use_one_thread_of_it():
    program = """
    from late_interaction.engines.libraries import torch_module
    torch = torch_module()
    product = lambda: (torch.ones(400, 400) @ torch.ones(400, 400)).sum().item() == 400**3
    assert product() and torch.get_num_threads() == 2
    assert in_child(lambda: product() and torch.get_num_threads() == 1)
    assert product() and torch.get_num_threads() == 2
    """
    run(program)


def test_a_child_that_builds_an_index_of_its_own(tmp_path):
    """And so trains a codebook, after its parent did."""
    program = """
    engine, query = filled(sys.argv[1] + "/parent", 1700)

    def build():
        engine, query = filled(sys.argv[1] + "/child", 1700)
        return engine.info()["centroids"] and len(engine.search(query, 5)) == 5

    assert in_child(build, seconds=60)
    """
    run(program, tmp_path)


def test_children_have_one_thread_of_torch_only_if_their_parent_has_used_it(tmp_path):
    """A search does not use it."""
    program = """
    import torch
    from late_interaction.engines.libraries import torch_module
    engine, query = filled(sys.argv[1], 300)
    engine.search(query, 5)
    assert torch.get_num_threads() == 2
    assert in_child(lambda: torch.get_num_threads() == 2)
    torch_module()
    assert in_child(lambda: torch.get_num_threads() == 1)
    assert torch.get_num_threads() == 2
    """
    run(program, tmp_path / "index")


def test_children_encode_after_their_parent(tmp_path):
    """Also those that are forked while other threads are in the middle of a batch, whose tokenizer is then locked."""
    program = """
    index = Index.open(sys.argv[1], encoder="minilm")
    index.add([f"document {n} of the {'north' if n % 2 else 'south'}" for n in range(40)])
    hits = lambda: [(hit.id, round(hit.score, 3)) for hit in index.search("document 17 in the north", k=3)]
    expected = hits()
    assert in_child(lambda: hits() == expected)

    running = True
    def encode():
        while running:
            index.encoder.encode_documents(["some words", "some more words than that " * 5])
            index.encoder.encode_queries(["words"])
    threads = [threading.Thread(target=encode) for _ in range(2)]
    for thread in threads:
        thread.start()
    ends = [in_child(lambda: hits() == expected) for _ in range(int(sys.argv[2]))]
    running = False
    for thread in threads:
        thread.join()
    assert all(ends), ends
    """
    run(program, tmp_path / "index", 8)


@pytest.mark.parametrize(("documents", "forks"), [(300, 24), (1700, 8)])
def test_children_search_while_threads_of_their_parent_do(tmp_path, documents, forks):
    program = """
    engine, query = filled(sys.argv[1], int(sys.argv[2]))
    hits = lambda: [match.id for match in engine.search(query, 5)]
    expected = hits()
    running = True
    def work():
        while running:
            hits()
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    ends = [in_child(lambda: hits() == expected) for _ in range(int(sys.argv[3]))]
    running = False
    for thread in threads:
        thread.join()
    assert all(ends), ends
    """
    run(program, tmp_path / "index", documents, forks)


def test_mutexes_in_a_child():
    program = """
    from functools import cached_property
    from late_interaction.encoders.turns import FairLock

    def held_by_a_thread(*mutexes):
        there, leave = threading.Event(), threading.Event()
        def hold():
            for mutex in mutexes:
                mutex.__enter__()
            there.set()
            leave.wait()
            for mutex in mutexes:
                mutex.__exit__(None, None, None)
        threading.Thread(target=hold, daemon=True).start()
        there.wait()
        return leave

    def is_free(mutex):
        with mutex:
            with mutex if type(mutex) is forking.Mutex else threading.Lock():
                return True

    # those over the state of a library: a fork waits for the thread that has it
    for mutex in (forking.Mutex(), FairLock()):
        leave = held_by_a_thread(mutex)
        threading.Timer(0.5, leave.set).start()
        start = time.monotonic()
        assert in_child(lambda: is_free(mutex))
        assert 0.4 < time.monotonic() - start < 10
        assert is_free(mutex)

    # but not for the thread that forks, in whose child it is held as before
    for mutex in (forking.Mutex(), FairLock()):
        with mutex:
            assert in_child(lambda: mutex.__exit__() or is_free(mutex))
        assert is_free(mutex)

    # and not for ever, also where others wait in line
    forking._MAX_WAIT_SECONDS = 0.3
    for mutex in (forking.Mutex(), FairLock()):
        leave = held_by_a_thread(mutex)
        waiting = threading.Thread(target=is_free, args=[mutex], daemon=True)
        waiting.start()
        time.sleep(0.1)
        assert in_child(lambda: is_free(mutex))
        leave.set()
        waiting.join()
        assert is_free(mutex)

    # those over what a child makes anew
    class Owner:
        def __init__(self):
            self.renew()
            forking.renew_in_child(self.renew)
        def renew(self):
            self.mutex = threading.Lock()

    before = len(forking._renewals), len(forking._holders)
    owner, others = Owner(), [Owner() for _ in range(100)] + [FairLock() for _ in range(100)]
    leave = held_by_a_thread(owner.mutex)
    assert in_child(lambda: is_free(owner.mutex))
    leave.set()
    del others
    gc.collect()
    assert (len(forking._renewals), len(forking._holders)) == (before[0] + 1, before[1])

    # cached properties of this package, which have a mutex before Python 3.12
    from late_interaction.engines.local.catalog.reader import Reader
    inside, leave = threading.Event(), threading.Event()
    class Slow:
        def execute(self, *_):
            inside.set()
            leave.wait()
            return self
        def fetchone(self):
            return ("4",)
    class Fast(Slow):
        def execute(self, *_):
            return self
    threading.Thread(target=lambda: Reader(Slow()).version, daemon=True).start()
    inside.wait()
    assert in_child(lambda: Reader(Fast()).version == 4)
    leave.set()
    """
    run(program)


def test_a_fork_waits_for_an_import():
    program = """
    from late_interaction.engines.libraries import torch_module
    thread = threading.Thread(target=torch_module)
    thread.start()
    while "torch" not in sys.modules:
        time.sleep(0.001)
    assert in_child(lambda: torch_module().ones(3).sum().item() == 3, seconds=60)
    thread.join()
    """
    run(program)


def test_a_fork_waits_while_kernels_are_loaded(tmp_path):
    program = """
    engine, query = filled(sys.argv[1], 10)
    for _ in range(20):
        from late_interaction.engines.local import kernels
        kernels._loaded.clear()
        threads = [threading.Thread(target=engine.search, args=(query,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert in_child(lambda: len(engine.search(query, 5)) == 5, seconds=60)
        for thread in threads:
            thread.join()
    """
    run(program, tmp_path / "index")


def test_the_pools_of_a_child_are_its_own(tmp_path):
    program = """
    import asyncio
    from late_interaction.adapters.event_loop import in_thread
    from late_interaction.engines.local.search import exact
    exact._MIN_PIECE_PRODUCTS, exact.cores = 100, lambda: 3
    engine, query = filled(sys.argv[1], 30)
    index = Index(engine=engine)
    ask = lambda: asyncio.run(in_thread(index, os.getpid))
    expected = [match.id for match in engine.search(query, 5)]
    assert sum(thread.name.startswith("late-interaction_") for thread in threading.enumerate()) == 2
    def run():
        return [match.id for match in engine.search(query, 5)] == expected
    assert ask() == os.getpid() and run()
    assert in_child(lambda: ask() == os.getpid() and run())
    """
    run(program, tmp_path / "index")
