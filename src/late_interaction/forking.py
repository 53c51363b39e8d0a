"""Prepare forked children: fresh mutexes, and libraries that use OpenMP in one thread.

A child has one thread, the one that forked. A mutex that another thread of the parent held is never released there, and
the worker threads of OpenMP do not exist there: torch and faiss would wait for them for ever.
"""

from __future__ import annotations

import inspect
import itertools
import os
import sys
import weakref
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["openmp_is_used", "renew_in_child"]

_numbers = itertools.count()
_renewals: dict[int, Callable[[], Callable[[], None] | None]] = {}
"""References to what must be called in a child. All access is one operation of a dict, so a fork may come any time."""

_SET_THREADS = {"torch": "set_num_threads", "faiss": "omp_set_num_threads"}  # each brings an OpenMP of its own
_used: set[str] = set()


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


def openmp_is_used(library: Literal["torch", "faiss"]) -> None:
    """Note that this process has used, or is about to use, the threads of a library. Its children use one thread."""
    _used.add(library)


def _renew() -> None:
    for reference in list(_renewals.values()):
        renew = reference()
        if renew is not None:
            renew()
    for library in _used:
        getattr(sys.modules[library], _SET_THREADS[library])(1)  # as the workers of torch's own DataLoader do


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_renew)
