"""Batches bounded in bytes and items, and retries bounded in number and time."""

from __future__ import annotations

import time

import pytest

from late_interaction.engines.remote.batches import batches_of, chunks_of
from late_interaction.engines.remote.retries import Retries


def batches(sizes, max_bytes, max_items):
    return list(batches_of(sizes, lambda size: size, max_bytes=max_bytes, max_items=max_items))


class TestBatches:
    def test_by_bytes(self):
        assert batches([4, 4, 4, 9, 30, 1, 1], 10, 99) == [[4, 4], [4], [9], [30], [1, 1]]

    def test_by_number(self):
        assert batches([1] * 7, 99, 3) == [[1, 1, 1], [1, 1, 1], [1]]
        assert batches([], 99, 3) == []

    def test_no_more_is_read_than_is_needed(self):
        read = []

        def items():
            for number in range(9):
                read.append(number)
                yield 1

        next(batches_of(items(), lambda size: size, max_bytes=99, max_items=3))
        assert len(read) <= 4

    def test_an_error_of_the_items_comes_out_after_the_whole_batches(self):
        def items():
            yield from [1] * 5
            raise OSError("of the caller")

        found = []
        with pytest.raises(OSError, match="of the caller"):
            found.extend(batches_of(items(), lambda size: size, max_bytes=99, max_items=2))
        assert found == [[1, 1], [1, 1]]

    def test_chunks(self):
        assert list(chunks_of(range(5), 2)) == [[0, 1], [2, 3], [4]]


class Failing:
    """Fails some times, then returns how often it was called."""

    def __init__(self, times, error=ConnectionError):
        self.times = times
        self.error = error
        self.calls = []

    def __call__(self):
        self.calls.append(time.monotonic())
        if len(self.calls) <= self.times:
            raise self.error("failed")
        return len(self.calls)

    @property
    def waits(self):
        return [after - before for before, after in zip(self.calls, self.calls[1:], strict=False)]


def wait_after(error):
    return None if isinstance(error, ValueError) else 0.0


class TestRetries:
    def test_until_it_works(self):
        assert Retries(tries=4, first_wait=0.001).call(Failing(3), wait_after) == 4

    def test_no_more_than_so_many_times(self):
        failing = Failing(9)
        with pytest.raises(ConnectionError):
            Retries(tries=4, first_wait=0.001).call(failing, wait_after)
        assert len(failing.calls) == 4

    def test_not_after_an_error_that_stays(self):
        failing = Failing(9, ValueError)
        with pytest.raises(ValueError, match="failed"):
            Retries(first_wait=0.001).call(failing, wait_after)
        assert len(failing.calls) == 1

    def test_waits_grow_and_are_at_least_what_the_server_asks(self):
        failing = Failing(3)
        Retries(tries=4, first_wait=0.04).call(failing, wait_after)
        assert failing.waits[0] >= 0.02
        assert failing.waits[2] >= 0.08
        asked = Failing(1)
        Retries(first_wait=0.001).call(asked, lambda error: 0.1)
        assert asked.waits[0] >= 0.1

    def test_no_try_begins_after_the_end(self):
        failing = Failing(99)
        start = time.monotonic()
        with pytest.raises(ConnectionError):
            Retries(tries=99, seconds=0.2, first_wait=0.02).call(failing, wait_after)
        assert time.monotonic() - start < 0.4
        asked = Failing(1)
        with pytest.raises(ConnectionError):
            Retries(seconds=1).call(asked, lambda error: 30.0)
        assert len(asked.calls) == 1
