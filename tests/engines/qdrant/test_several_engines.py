"""Several engines over one collection: in threads, in processes, and in children of a fork."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from late_interaction.engines import QdrantEngine, first_stage
from late_interaction.engines.first_stage import training
from late_interaction.engines.qdrant import first_stage as filling
from tests.engines.helpers import CHILD_ENVIRONMENT, unit_vectors
from tests.engines.qdrant.test_first_stage_faults import complete
from tests.engines.qdrant.writes import content, record

CHILD = """
import sys
from late_interaction.engines import QdrantEngine
from tests.engines.qdrant.writes import record
url, port, grpc, first, last = sys.argv[1:]
with QdrantEngine(url, grpc_port=int(port), prefer_grpc=grpc == "grpc") as engine:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(int(first), int(last)):
        engine.upsert([record(f"own{number}"), record("shared", number)])
"""


@pytest.fixture
def small(monkeypatch):
    """Few documents are enough for few centroids."""
    monkeypatch.setattr(training, "_CENTROIDS_PER_ROOT_TOKEN", 1)
    monkeypatch.setattr(first_stage, "MIN_TRAINING_TOKENS", 10)
    monkeypatch.setattr(filling, "_FILLED_TOGETHER", 4)


def records(prefix, count):
    return [record(f"{prefix}{number}") for number in range(count)]


def test_two_that_train_at_once(open_engine, stored, small):
    """Both begin without centroids; those of one are used, by both."""
    engines = [open_engine(), open_engine()]
    parts = [records("a", 12), records("b", 12)]
    for engine in engines:
        assert engine.centroids() is None
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda engine, part: engine.upsert(part), engines, parts))
    assert stored.documents() == {one.document.id: content(one) for part in parts for one in part}
    open_engine().compact()
    assert complete(stored)


def test_two_that_extend_from_the_same_state(open_engine, stored, small):
    """The second knows the first's centroids of a minute ago. It extends those that are there, not those."""
    first, second = open_engine(), open_engine()
    first.upsert(records("a", 6))
    assert first.centroids() is not None
    assert len(second.centroids()) == len(first.centroids())
    first.upsert(records("b", 40))
    first.upsert(records("c", 1))
    assert len(first.centroids()) > len(second.centroids())
    second.upsert(records("d", 60))
    second.upsert(records("e", 1))
    assert complete(stored)


def test_one_completes_what_another_extends_meanwhile(open_engine, stored, small, monkeypatch):
    """Before it says that all sparse vectors are there, the other has put centroids in the place of its own."""
    monkeypatch.setattr(first_stage, "MIN_TRAINING_TOKENS", 10**9)
    first = open_engine()
    first.upsert(records("a", 6))
    monkeypatch.setattr(first_stage, "MIN_TRAINING_TOKENS", 10)
    missing = first._stage.missing

    def extended_meanwhile():
        monkeypatch.setattr(first._stage, "missing", missing)
        second = open_engine()
        before = len(second.centroids())
        second.upsert(records("b", 40))
        second.upsert(records("c", 1))
        assert len(second.centroids()) > before
        return missing()

    monkeypatch.setattr(first._stage, "missing", extended_meanwhile)
    first.compact()
    assert complete(stored)
    assert len(open_engine().search(unit_vectors(1, 2), 47)) == 47


def test_reading_while_it_is_filled(open_engine, small, monkeypatch, stored):
    writer, reader = open_engine(candidates=200), open_engine(candidates=200)
    monkeypatch.setattr(first_stage, "MIN_TRAINING_TOKENS", 10**9)
    kept = records("a", 40)
    writer.upsert(kept)
    monkeypatch.setattr(first_stage, "MIN_TRAINING_TOKENS", 10)
    query = unit_vectors(5, 3)
    expected = [match.id for match in reader.search(query, 5)]
    done = threading.Event()
    found = []

    def read():
        while not done.is_set():
            found.append([match.id for match in open_engine(candidates=200).search(query, 5)])
            found.append([match.id for match in reader.search(query, 5)])

    thread = threading.Thread(target=read)
    thread.start()
    writer.compact()
    done.set()
    thread.join()
    assert complete(stored)
    assert found
    assert all(one == expected for one in found)


@pytest.mark.slow
def test_two_processes_that_write(served, protocol, open_engine, stored):
    open_engine()
    command = [sys.executable, "-c", CHILD, served.url, str(served.grpc_port), protocol]
    ranges = [("0", "20"), ("20", "40")]
    children = [
        subprocess.Popen(
            [*command, *ends], env=CHILD_ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for ends in ranges
    ]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    assert [child.wait(60) for child in children] == [0, 0]
    documents = stored.documents()
    assert documents.pop("shared") in [content(record("shared", number)) for number in range(40)]
    assert documents == {f"own{number}": content(record(f"own{number}")) for number in range(40)}


@pytest.mark.parametrize("protocol", ["rest"])  # gRPC and its server do not live through a fork in one process
def test_after_a_fork(open_engine, stored):
    engine = open_engine()
    engine.upsert(records("a", 2))
    child = os.fork()
    if child == 0:
        try:
            engine.upsert(records("b", 2))
            found = engine.search(np.eye(8, dtype=np.float32)[:1], 10)
            os._exit(0 if len(found) == 4 else 1)
        except BaseException:  # noqa: BLE001
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    engine.upsert(records("c", 2))
    assert len(stored.documents()) == engine.count() == 6


def test_an_engine_is_used_by_many_threads(open_engine, stored):
    engine = open_engine()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: engine.upsert([record(f"d{number}"), record("shared", number)]), range(24)))
        counts = list(pool.map(lambda number: len(engine.search(unit_vectors(number, 2), 25)), range(8)))
    assert counts == [25] * 8
    assert len(stored.documents()) == 25
    assert isinstance(engine, QdrantEngine)
