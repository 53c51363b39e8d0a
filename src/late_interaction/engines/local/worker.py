"""A thread for work that no caller should wait for. It starts when there is work and ends when there is none left."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from late_interaction.forking import renew_in_child

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Worker"]


class Worker:
    """Runs steps of work in a thread of its own, one at a time. A forked child has no such thread.

    The interpreter waits for it before it exits: for the step in hand, or for one if none has begun yet.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None
        self._renew()
        renew_in_child(self._renew)

    def start(self, step: Callable[[], bool]) -> bool:
        """Let the thread call ``step`` until it returns False, soon; return False if no thread can be started.

        Args:
            step: Does a part of the work and returns whether there was any. It must not raise.
        """
        with self._mutex:
            self._is_requested = True
            if self._thread is not None:
                return True
            thread = threading.Thread(target=self._run, args=(step,), name="late-interaction: compaction", daemon=False)
            is_started = False
            try:
                self._thread = thread
                thread.start()
                is_started = True
            except RuntimeError:  # the system has no more threads, or the interpreter exits
                return False
            finally:
                if not is_started:
                    self._thread = None
        return True

    @property
    def is_running(self) -> bool:
        """Whether the thread has work."""
        return self._thread is not None

    def wait(self) -> None:
        """Return when no work is left, or at once in the thread itself."""
        while (thread := self._running()) is not None:
            thread.join()

    def stop(self) -> None:
        """Wait for the step in hand, or for one if none has begun yet, and let no other begin."""
        try:
            self._is_stopping = True
            self.wait()
        finally:
            self._is_stopping = False

    def _running(self) -> threading.Thread | None:
        with self._mutex:
            thread = self._thread
        return None if thread is threading.current_thread() else thread

    def _run(self, step: Callable[[], bool]) -> None:
        try:
            while self._next_request():
                while step():
                    if self._is_stopping or not threading.main_thread().is_alive():
                        return
        finally:
            self._end()

    def _next_request(self) -> bool:
        """Return whether there is a request; otherwise the thread is done."""
        with self._mutex:
            if self._thread is None:  # a signal has interrupted `start`, which this thread survived
                self._thread = threading.current_thread()
            if self._thread is not threading.current_thread():  # and there is another one by now
                return False
            is_requested, self._is_requested = self._is_requested, False
            if not is_requested:
                self._end()
            return is_requested

    def _end(self) -> None:
        with self._mutex:
            if self._thread is threading.current_thread():
                self._thread = None

    def _renew(self) -> None:
        self._mutex = threading.RLock()  # reentrant: a signal handler may write to the index
        self._thread = None
        self._is_requested = False
        self._is_stopping = False
