"""Calls into LanceDB: a fork waits until none is running, because a child would inherit its locked mutexes."""

from __future__ import annotations

import threading
import time

from late_interaction.forking import hold_across_forks

__all__ = ["RunningCalls"]


class RunningCalls:
    """Counts the running calls: ``with`` around each. Calls inside of calls are allowed."""

    def __init__(self) -> None:
        self._make()
        hold_across_forks(self)

    def _make(self) -> None:
        self._condition = threading.Condition()
        self._depths = threading.local()
        self._running = 0
        self._is_held = False

    def __enter__(self) -> None:
        depth = getattr(self._depths, "value", 0)
        with self._condition:
            while self._is_held and not depth:
                self._condition.wait()
            self._running += 1
        self._depths.value = depth + 1

    def __exit__(self, *exception: object) -> None:
        self._depths.value -= 1
        with self._condition:
            self._running -= 1
            self._condition.notify_all()

    def hold(self, timeout: float) -> bool:
        """Let no call begin, and wait until no other thread is in one, at most ``timeout`` seconds."""
        end = time.monotonic() + timeout
        own = getattr(self._depths, "value", 0)
        with self._condition:
            self._is_held = True
            while self._running > own:
                if (left := end - time.monotonic()) <= 0:
                    return False
                self._condition.wait(left)
        return True

    def release(self) -> None:
        """Let calls begin again."""
        with self._condition:
            self._is_held = False
            self._condition.notify_all()

    def renew(self, *, held: bool) -> None:
        """Begin at no calls, in a child."""
        del held
        self._make()
