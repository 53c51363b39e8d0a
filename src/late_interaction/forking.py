"""What a forked child needs before it can go on: fresh mutexes, and torch in one thread.

A child has one thread, the one that forked. A mutex that another thread of the parent held is never released there, and
the threads of OpenMP, with which torch works, do not exist there: torch would wait for them for ever.
"""

from __future__ import annotations

import inspect
import itertools
import os
import sys
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["renew_in_child", "torch_is_used"]

_numbers = itertools.count()
_renewals: dict[int, Callable[[], Callable[[], None] | None]] = {}
"""References to what must be called in a child. All access is one operation of a dict, so a fork may come any time."""

_uses_torch = False


def renew_in_child(renew: Callable[[], None]) -> None:
    """Call a method or function in every forked child, before its first line runs.

    It replaces mutexes, pools and whatever else belongs to threads that the child lacks; it must not wait for any. An
    object whose method is given is not kept alive.

    Example:
        >>> class Counter:
        ...     def __init__(self):
        ...         self._make_mutex()
        ...         renew_in_child(self._make_mutex)
        ...     def _make_mutex(self):
        ...         self._mutex = threading.Lock()
    """
    number = next(_numbers)
    if inspect.ismethod(renew):
        _renewals[number] = weakref.WeakMethod(renew, lambda _: _renewals.pop(number, None))
    else:
        _renewals[number] = lambda: renew


def torch_is_used() -> None:
    """Note that this process has used, or is about to use, torch's threads. Its children will do without them."""
    global _uses_torch
    _uses_torch = True


def _renew() -> None:
    for reference in list(_renewals.values()):
        renew = reference()
        if renew is not None:
            renew()
    if _uses_torch and "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)  # as the workers of torch's own DataLoader do


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_renew)
