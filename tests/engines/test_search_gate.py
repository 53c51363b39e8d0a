"""As many searches run at a time as the gate has places, whatever interrupts or forks them."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from late_interaction.engines.local.search.gate import Gate

PLACES = 2


class Counted:
    """Runs blocks behind a gate and remembers how many ran at the same time."""

    def __init__(self, gate):
        self.gate, self.running, self.most, self.done = gate, 0, 0, 0
        self.mutex = threading.Lock()

    def run(self, seconds=0.002):
        with self.gate.admitted():
            with self.mutex:
                self.running += 1
                self.most = max(self.most, self.running)
            time.sleep(seconds)
            with self.mutex:
                self.running -= 1
                self.done += 1


def test_no_more_threads_than_places_run_at_a_time():
    counted = Counted(Gate(PLACES))
    threads = [threading.Thread(target=lambda: [counted.run() for _ in range(10)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert (counted.most, counted.done) == (PLACES, 80)


def test_the_place_of_a_failed_block_is_free_again():
    gate = Gate(1)
    for _ in range(3):
        with pytest.raises(ValueError, match="wrong"), gate.admitted():
            raise ValueError("wrong")
    counted = Counted(gate)
    counted.run()
    assert counted.done == 1


def test_a_block_inside_a_block_needs_no_second_place():
    gate = Gate(1)
    with gate.admitted(), gate.admitted():
        pass
    assert not gate._locks[0].locked()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no timers")
def test_a_signal_handler_may_search_while_all_places_are_taken():
    gate, handled = Gate(1), []

    def handle(*_):
        with gate.admitted():
            handled.append(True)

    before = signal.signal(signal.SIGALRM, handle)
    try:
        with gate.admitted():
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            deadline = time.monotonic() + 30
            while not handled and time.monotonic() < deadline:
                time.sleep(0.001)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert handled


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_finds_the_places_free():
    gate = Gate(1)
    with gate.admitted():
        process = os.fork()
        if process == 0:
            signal.alarm(20)
            with gate.admitted():
                os._exit(0)
        assert os.waitpid(process, 0)[1] == 0
