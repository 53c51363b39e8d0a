"""A lock for threads that take it again and again."""

from __future__ import annotations

import threading

__all__ = ["FairLock"]


class FairLock:
    """A lock that goes to the one who waits for it.

    The thread that gives a plain lock up and wants it back at once has it before any other has woken. Here it must
    first pass a gate, in which the next one stands.
    """

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._gate:
            self._lock.acquire()

    def __exit__(self, *exception: object) -> None:
        self._lock.release()
