"""A mutex for threads that acquire it again and again."""

from __future__ import annotations

import threading

from late_interaction.forking import renew_in_child

__all__ = ["FairLock"]


class FairLock:
    """A fair mutex: waiting threads acquire it before the one that released it.

    A thread that releases a plain lock and wants it back at once has it before any other has woken. Here it must first
    pass a gate, in which the next one waits. In a forked child it is free, unless the thread that forked holds it.
    """

    def __init__(self) -> None:
        self._owner: int | None = None
        self._make_locks()
        renew_in_child(self._renew)

    def __enter__(self) -> None:
        with self._gate:
            self._lock.acquire()
        self._owner = threading.get_ident()

    def __exit__(self, *exception: object) -> None:
        self._owner = None
        self._lock.release()

    def _make_locks(self) -> None:
        self._gate = threading.Lock()
        self._lock = threading.Lock()

    def _renew(self) -> None:
        if self._owner != threading.get_ident():
            self._owner = None
            self._make_locks()
