"""`FairLock`: a mutex for threads that acquire it repeatedly."""

from __future__ import annotations

import threading
import time

from late_interaction.forking import Mutex

__all__ = ["FairLock"]


class FairLock(Mutex):
    """A fair mutex: waiting threads acquire it before the one that released it.

    A thread that releases a plain lock and acquires it again at once gets it before any waiting thread has woken up.
    Here each thread first acquires a second lock, the gate, which the next waiting thread holds. A fork waits until no
    other thread holds the mutex (see `forking.Mutex`).
    """

    def __init__(self) -> None:
        super().__init__()
        self._gate = threading.Lock()

    def __enter__(self) -> None:
        with self._gate:
            self._lock.acquire()

    def hold(self, timeout: float) -> bool:
        """Acquire the mutex within ``timeout`` seconds and return whether it was acquired. It is reentrant."""
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
        """Release the mutex in a child process; ``held`` if the forking thread had acquired it with `hold`."""
        super().renew(held=held)
        self._gate = threading.Lock()
