"""`FairLock`: a mutex for threads that acquire it repeatedly; `lock_of`: the one of a model."""

from __future__ import annotations

import threading
import time
from typing import Any
from weakref import WeakKeyDictionary

from late_interaction.forking import Mutex, renew_in_child

__all__ = ["FairLock", "lock_of"]


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


class _Locks:
    """The mutexes of models, each kept as long as its model."""

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[Any, FairLock] = WeakKeyDictionary()
        self._make_mutex()
        renew_in_child(self._make_mutex)

    def _make_mutex(self) -> None:
        self._mutex = threading.RLock()  # reentrant, so that a signal handler may search

    def of(self, model: Any) -> FairLock:
        with self._mutex:
            return self._of.setdefault(model, FairLock())


_locks = _Locks()


def lock_of(model: Any) -> FairLock:
    """Return the mutex of a model, one for all users of the same object, because tokenizers keep state between calls.

    Args:
        model: A module of torch. The mutex is kept as long as the model.
    """
    return _locks.of(model)
