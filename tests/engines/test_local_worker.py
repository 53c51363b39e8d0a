"""The thread for work in the background: whatever interrupts its start, it can be waited for and started again."""

from __future__ import annotations

import linecache
import sys
import threading

import pytest

from late_interaction.engines.local.worker import Worker


class InterruptedByTestError(Exception):
    """As a signal handler may raise one."""


def started_with_an_interrupt(worker, step, number):
    """Call `Worker.start`, interrupted before this line of it, counted as they run; return whether there was one."""
    lines = 0

    def trace(frame, event, _):
        nonlocal lines
        if frame.f_code is not Worker.start.__code__:
            return None
        # No signal handler runs at these lines, where trace functions do, between a block and `__exit__`.
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip()
        if event == "line" and not line.startswith(("with ", "try:")):
            lines += 1
            if lines == number:
                raise InterruptedByTestError
        return trace

    sys.settrace(trace)
    try:
        worker.start(step)
    except InterruptedByTestError:
        return True
    finally:
        sys.settrace(None)
    return False


@pytest.mark.parametrize("has_work", [True, False])
def test_a_start_that_is_interrupted_anywhere(has_work):
    number = 1
    while True:
        worker, done = Worker(), []
        was_interrupted = started_with_an_interrupt(worker, lambda: done.append(1), number)  # noqa: B023  # at once
        worker.wait()
        if has_work:
            assert worker.start(lambda: done.append(2))  # noqa: B023
            worker.wait()
            assert done
        assert not worker.is_running
        if not was_interrupted:
            break
        number += 1
    assert number > 5


def test_a_thread_whose_start_was_interrupted_is_waited_for(monkeypatch):
    inside, leave = threading.Event(), threading.Event()
    start = threading.Thread.start

    def interrupted(thread):
        start(thread)
        raise InterruptedByTestError

    worker = Worker()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(InterruptedByTestError):
            worker.start(lambda: inside.set() or not leave.wait(60))
    assert inside.wait(60)
    assert worker.is_running
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    stopping.join(0.1)
    assert stopping.is_alive()
    leave.set()
    stopping.join(60)
    assert not stopping.is_alive()
    assert not worker.is_running
