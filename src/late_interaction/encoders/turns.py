"""A mutex for threads that acquire it again and again."""

from __future__ import annotations

import threading
import time

from late_interaction.forking import Mutex

__all__ = ["FairLock"]


class FairLock(Mutex):
    """A fair mutex: waiting threads acquire it before the one that released it.

    A thread that releases a plain lock and wants it back at once has it before any other has woken. Here it must first
    pass a gate, in which the next one waits. A fork waits until no other thread holds it (see `forking.Mutex`).
    """

    def __init__(self) -> None:
        super().__init__()
        self._gate = threading.Lock()

    def __enter__(self) -> None:
        with self._gate:
            self._lock.acquire()

    def hold(self, timeout: float) -> bool:
        """Acquire it, within so many seconds; whether it was. A thread may hold what it has acquired already."""
        end = time.monotonic() + timeout
        if self._lock.acquire(blocking=False):
            return True
        if not self._gate.acquire(timeout=timeout):
            return False
        try:
            return self._lock.acquire(timeout=max(0.0, end - time.monotonic()))
        finally:
            self._gate.release()

    def renew(self, *, held: bool) -> None:
        """Make it free in a child; ``held`` if the thread that forked had acquired it with `hold`."""
        super().renew(held=held)
        self._gate = threading.Lock()
