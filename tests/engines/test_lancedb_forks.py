"""A forked child uses the engine over LanceDB through a connection of its own."""

from __future__ import annotations

import threading

import pytest

from late_interaction.engines import LanceDBEngine
from tests.engines.forked import Forked
from tests.engines.lancedb_engines import document_ids, engine, record

__all__ = ["engine"]

QUERY = record("a").vectors

pytestmark = pytest.mark.filterwarnings("ignore:lancedb fork support:RuntimeWarning")


def test_a_child_reads_and_writes(engine):
    engine.upsert([record(name) for name in "abc"])
    engine.search(QUERY, 3)

    def work(say):
        found = [match.id for match in engine.search(QUERY, 1)]
        engine.upsert([record("child")])
        return [found, engine.count()]

    assert Forked(work).result() == [["a"], 4]
    assert document_ids(engine) == ["a", "b", "c", "child"]
    engine.upsert([record("parent")])
    assert engine.count() == 5


def test_a_child_of_one_state_reads_that_state(engine, tmp_path):
    engine.upsert([record(name) for name in "abc"])
    with engine.one_state():
        engine.search(QUERY, 3)

        def work(say):
            with LanceDBEngine(tmp_path / "index") as other:
                other.delete(ids=["a"])
                return [document_ids(engine), document_ids(other)]

        assert Forked(work).result() == [["a", "b", "c"], ["b", "c"]]
        assert document_ids(engine) == ["a", "b", "c"]
    assert document_ids(engine) == ["b", "c"]


@pytest.mark.parametrize("children", [3, pytest.param(30, marks=pytest.mark.slow)])
def test_forks_while_other_threads_call(engine, children):
    engine.upsert([record(f"d{number}") for number in range(40)])
    stop = threading.Event()

    def call():
        while not stop.is_set():
            engine.search(QUERY, 3)
            engine.upsert([record("again")])

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(children):
            assert Forked(lambda say: len(engine.search(QUERY, 5))).result() == 5
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert engine.count() == 41
