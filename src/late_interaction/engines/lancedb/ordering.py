"""Numbers that say in which order documents were added."""

from __future__ import annotations

import threading
import time

from late_interaction.forking import renew_in_child

__all__ = ["next_order"]


class _Orders:
    """Microseconds since 1970, greater than any before in this process."""

    def __init__(self) -> None:
        self._last = 0
        self._make_mutex()
        renew_in_child(self._make_mutex)

    def _make_mutex(self) -> None:
        self._mutex = threading.Lock()

    def take(self, count: int) -> int:
        with self._mutex:
            first = max(time.time_ns() // 1000, self._last + 1)
            self._last = first + count
            return first


_orders = _Orders()


def next_order(count: int) -> int:
    """Return the first of as many consecutive numbers, above those of earlier writes."""
    return _orders.take(count)
