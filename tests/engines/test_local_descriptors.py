"""What is dropped half-read, or fails, leaves no open files behind."""

from __future__ import annotations

import gc
import os
import threading

import pytest

from late_interaction.engines import LocalEngine
from late_interaction.errors import InvalidFilterError, InvalidRequestError, InvalidVectorsError
from tests.engines.forked import descriptors
from tests.engines.helpers import DIM, record, small_thresholds

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")  # noqa: PTH112

MORE = 10
"""How many more may be open than before: idle connections."""
QUERY = record("d7").vectors


@pytest.fixture(params=["writer", "reader"])
def engine(root, request):
    with small_thresholds(), LocalEngine.open(root, dim=DIM, bits=4) as writer:
        for n in range(5):
            writer.upsert([record(f"d{n}-{m}", n=n) for m in range(10)])
        if request.param == "writer":
            yield writer
            return
    with LocalEngine.open(root, read_only=True) as reader:
        yield reader


def after_many(work, times=25):
    """How many more descriptors there are after many calls than after a few."""
    for _ in range(3):
        work()
    gc.collect()
    before = len(descriptors())
    for _ in range(times):
        work()
    gc.collect()
    return len(descriptors()) - before


def test_half_read_scans_that_are_dropped(engine):
    def work():
        next(engine.scan())

    assert after_many(work, times=200) <= MORE


def test_half_read_scans_that_are_held_together_and_dropped(engine):
    next(engine.scan())
    before = len(descriptors())
    scans = [engine.scan() for _ in range(200)]
    for scan in scans:
        next(scan)
    scans.clear()
    del scan
    gc.collect()
    assert len(descriptors()) <= before + MORE
    assert engine.count() == 50


def test_half_read_scans_that_are_closed_or_raise(engine):
    def close():
        scan = engine.scan(where={"n": 2})
        next(scan)
        scan.close()

    def throw():
        scan = engine.scan()
        next(scan)
        with pytest.raises(ZeroDivisionError):
            scan.throw(ZeroDivisionError)

    assert after_many(close) <= MORE
    assert after_many(throw) <= MORE


def test_half_read_scans_of_other_threads(engine):
    def work():
        scans = []
        thread = threading.Thread(target=lambda: scans.append(engine.scan()) or next(scans[0]))
        thread.start()
        thread.join()

    assert after_many(work) <= MORE


def test_scans_that_are_never_begun(engine):
    assert after_many(engine.scan) <= MORE


def test_searches_that_fail(engine):
    def raises(error, call):
        with pytest.raises(error):
            call()

    def work():
        raises(InvalidVectorsError, lambda: engine.search([[float("nan")] * DIM]))
        raises(InvalidVectorsError, lambda: engine.search([[1.0] * (DIM + 1)]))
        raises(InvalidFilterError, lambda: engine.search(QUERY, where={"n": {"$no": 1}}))
        raises(ZeroDivisionError, lambda: engine.search(QUERY, candidates=(f"{1 // n}" for n in (1, 0))))
        raises(InvalidFilterError, lambda: engine.search_lexical("text", where={"$and": 5}))
        raises(InvalidRequestError, lambda: engine.search(QUERY, 0))
        raises(InvalidFilterError, lambda: next(engine.scan(where={"n": {"$no": 1}})))

    assert after_many(work) <= MORE
    assert engine.search(QUERY, 3)


def test_states_that_raise(engine):
    def fail():
        with engine.one_state():
            engine.search(QUERY, 3)
            next(engine.scan())
            raise ZeroDivisionError

    def work():
        with pytest.raises(ZeroDivisionError):
            fail()

    assert after_many(work) <= MORE


def test_states_that_raise_inside_each_other(engine):
    def fail():
        with engine.one_state():
            engine.count()
            raise ZeroDivisionError

    def work():
        with engine.one_state(), pytest.raises(ZeroDivisionError):
            fail()
        with engine.one_state(), pytest.raises(InvalidFilterError):
            engine.search(QUERY, where={"n": {"$no": 1}})

    assert after_many(work) <= MORE


def test_states_that_are_entered_and_forgotten(engine):
    def work():
        def enter():
            engine.one_state().__enter__()

        thread = threading.Thread(target=enter)  # a context of its own
        thread.start()
        thread.join()

    assert after_many(work, times=40) <= MORE
    assert engine.count() == 50


def test_writes_that_fail(engine):
    if engine.read_only:
        pytest.skip("writes nothing")

    def work():
        with pytest.raises(ZeroDivisionError):
            engine.upsert(record(f"{1 // (1 - n)}") for n in range(3))

    assert after_many(work, times=8) <= MORE
    assert engine.verify().problems == ()


def test_indexes_that_are_opened_and_closed_or_forgotten(engine):
    def close():
        with LocalEngine.open(engine.path, read_only=True) as other:
            other.search(QUERY)
            next(other.scan())

    def forget():
        next(LocalEngine.open(engine.path, read_only=True).scan())

    assert after_many(close, times=8) <= MORE
    assert after_many(forget, times=8) <= MORE
