"""Writes while the server fails: at each request in turn, for a moment or for good.

What is reported as written is written, no document is lost, and the same call again completes it.
"""

from __future__ import annotations

import itertools

import pytest

from late_interaction.engines.qdrant import reading, rewriting, writing
from late_interaction.errors import EngineRefusedError, EngineUnavailableError, PartialWriteError
from tests.engines.qdrant.failing import FOR_A_MOMENT, FOR_GOOD, REFUSALS, error_of
from tests.engines.qdrant.writes import BEFORE, CALLS, CONTENT_BEFORE

pytestmark = pytest.mark.usefixtures("clock")


def cases(faults, *sample):
    """Return all combinations, those outside the sample as slow ones."""
    found = []
    for case in itertools.product(CALLS, ("rest", "grpc"), faults):
        marks = [] if case in sample else [pytest.mark.slow]
        found.append(pytest.param(*case, marks=marks, id="-".join(case)))
    return found


MOMENT = cases(FOR_A_MOMENT, ("add", "grpc", "500-half"), ("upsert-keeping", "rest", "closed-applied"))
GOOD = cases(FOR_GOOD, ("add-replacing", "rest", "500-half"), ("update-metadata", "grpc", "403"))
ONE = cases(FOR_GOOD, ("add", "rest", "500-half"), ("upsert-keeping", "grpc", "closed-applied"))


@pytest.fixture(autouse=True)
def _several_requests(monkeypatch):
    """Small batches, so that few documents are several requests."""
    for module, name, count in [
        (writing, "_BATCH_DOCUMENTS", 2),
        (writing, "_IDS_TOGETHER", 2),
        (rewriting, "_BATCH_DOCUMENTS", 2),
        (rewriting, "READ_TOGETHER", 3),
        (reading, "READ_TOGETHER", 3),
    ]:
        monkeypatch.setattr(module, name, count)


@pytest.fixture
def setting(open_engine, stored, faults):
    """Prepares the collection, and counts the requests of a call."""
    engine = open_engine()
    engine.upsert(BEFORE)
    stored.save()
    assert stored.documents() == CONTENT_BEFORE

    def requests_of(call):
        again = open_engine()
        faults.clear()
        call.run(again)
        operations = faults.operations()
        assert stored.documents() == call.wanted
        return operations

    return requests_of


@pytest.mark.parametrize(("name", "protocol", "fault"), MOMENT)
def test_a_request_that_fails_once_is_tried_again(setting, open_engine, stored, faults, clock, name, fault):
    call = CALLS[name]
    operations = setting(call)
    for number in range(1, len(operations) + 1):
        stored.restore()
        engine = open_engine()
        faults.clear()
        clock.waits.clear()
        faults.on(None, FOR_A_MOMENT[fault], nth=number)
        call.run(engine)
        faults.clear()
        assert stored.documents() == call.wanted, (number, operations)
        assert sum(clock.waits) <= (3 if fault == "429-after" else 0.25), (number, operations)
        assert fault != "429-after" or clock.waits == [3], (number, operations)
        engine.close()


@pytest.mark.parametrize(("name", "protocol", "fault"), GOOD)
def test_a_server_that_fails_from_some_request_on(setting, open_engine, stored, faults, clock, name, fault):
    call = CALLS[name]
    operations = setting(call)
    for number in range(1, len(operations) + 1):
        stored.restore()
        engine = open_engine()
        faults.clear()
        clock.waits.clear()
        faults.on(None, FOR_GOOD[fault], nth=number, times=10_000)
        error = error_of(call.run, engine)
        where = (number, operations, error)
        failed = len(faults.operations()) - number + 1
        assert failed <= (4 if fault in REFUSALS else 20), where
        assert sum(clock.waits) <= 4 * 4, where
        is_certain = not FOR_GOOD[fault].applied and not call.is_confirmed
        check(call, error, stored.documents(), fault, where, is_certain=is_certain)
        again(call, engine, open_engine, stored, faults, where)


@pytest.mark.parametrize(("name", "protocol", "fault"), ONE)
def test_one_operation_that_fails_from_some_time_on(setting, open_engine, stored, faults, name, fault):
    call = CALLS[name]
    operations = setting(call)
    for number, operation in enumerate(operations, 1):
        stored.restore()
        engine = open_engine()
        faults.clear()
        nth = operations[:number].count(operation)
        faults.on(operation, FOR_GOOD[fault], nth=nth, times=10_000)
        error = error_of(call.run, engine)
        where = (number, operations, error)
        is_certain = operation != "retrieve" or not (FOR_GOOD[fault].applied or call.is_confirmed)
        check(call, error, stored.documents(), fault, where, is_certain=is_certain)
        again(call, engine, open_engine, stored, faults, where)


def check(call, error, after, fault, where, *, is_certain):
    """Compare what is stored with what is reported, and find that nothing is lost."""
    if error is None:
        assert after == call.wanted, where
        return
    cause = error.__cause__ if isinstance(error, PartialWriteError) else error
    assert isinstance(cause, EngineRefusedError if fault in REFUSALS else EngineUnavailableError), where
    for key, before in CONTENT_BEFORE.items():
        assert key in after or key in call.deleted, where
        assert after.get(key, before) in (before, call.wanted.get(key)), where
    for key in after.keys() - CONTENT_BEFORE.keys():
        assert after[key] == call.wanted[key], where
    written = error.written if isinstance(error, PartialWriteError) else ()
    assert isinstance(error, PartialWriteError) == bool(written), where
    for key in written:
        assert after[key] == call.wanted[key], where
    if isinstance(error, PartialWriteError) and call.name != "add-iterator":
        assert {*error.written, *error.not_written} == set(call.ids), where
        assert not {*error.written} & {*error.not_written}, where
    if is_certain and call.ids:
        for key in set(call.ids) - set(written):
            assert after.get(key) == CONTENT_BEFORE.get(key), where
    if call.deleted - after.keys() and call.ids:
        assert set(written) == set(call.ids), where  # what is replaced goes last


def again(call, engine, open_engine, stored, faults, where):
    """Make the same call once more, without faults."""
    faults.clear()
    if where[0] % 2:
        engine.close()
        engine = open_engine()
    call.run(engine)
    assert stored.documents() == call.wanted, where
    engine.close()
