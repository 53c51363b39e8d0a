"""Let as many searches run at a time as there are cores; others wait.

More threads than cores only take the interpreter and the caches from each other: without a gate, eight threads answer
fewer queries per second than two.
"""

from __future__ import annotations

import itertools
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from late_interaction.engines.parallel import cores
from late_interaction.forking import renew_in_child

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Gate", "search_gate"]


class Gate:
    """Admits a limited number of threads.

    Each place is a lock of its own: unlike a semaphore, a lock is acquired and released by a ``with`` block even if a
    signal interrupts the thread.

    Args:
        places: How many threads are admitted at a time.

    Example:
        >>> gate = Gate(2)
        >>> with gate.admitted():
        ...     pass
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._turns = itertools.count()
        self._make_locks()
        renew_in_child(self._make_locks)

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Wait for a place, and keep it during the block.

        A signal handler that interrupts an admitted thread does not wait for a second place, since the first could be
        the only one.
        """
        if getattr(self._thread, "is_admitted", False):
            yield
            return
        try:
            self._thread.is_admitted = True  # before the lock is acquired: a signal may come in between
            with self._free_lock():
                yield
        finally:
            self._thread.is_admitted = False

    def _free_lock(self) -> threading.Lock:
        """Return a lock that nobody holds, or else the next in turn."""
        first = next(self._turns) % self._places
        locks = self._locks[first:] + self._locks[:first]
        return next((lock for lock in locks if not lock.locked()), locks[0])

    def _make_locks(self) -> None:
        self._locks = [threading.Lock() for _ in range(self._places)]
        self._thread = threading.local()


search_gate = Gate(cores())
"""For all searches of this process in local indexes."""
