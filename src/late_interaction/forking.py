"""Prepare forked children: fresh mutexes, libraries in a state that can be used, OpenMP in one thread.

A child has one thread, the one that forked. A mutex that another thread of the parent held is never released there. So
those over state that a child makes anew are replaced (`renew_in_child`), and those over the state of a library, which
a child inherits as it is, are held across the fork (`Mutex`). The worker threads of OpenMP do not exist in a child:
torch and faiss would wait for them for ever (`openmp_is_used`).
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401  # see the end of this file
import functools
import inspect
import itertools
import logging  # noqa: F401
import os
import sys
import threading
import time
import weakref
from types import ModuleType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Mutex", "imports", "openmp_is_used", "renew_in_child"]

_MAX_WAIT_SECONDS = 30.0
"""How long a fork waits, in total, for threads that use a library. After that a child does not wait for them either."""

_SET_THREADS = {"torch": "set_num_threads", "faiss": "omp_set_num_threads"}  # each brings an OpenMP of its own

# Each access to these is one operation on a dict or a set, so a fork may come at any time.
_numbers = itertools.count()
_renewals: dict[int, Callable[[], Callable[[], None] | None]] = {}
_mutexes: dict[int, weakref.ref[Mutex]] = {}
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


class Mutex:
    """A reentrant mutex over the state of a library, for calls that end soon.

    A fork waits until no other thread holds it, so a child finds the library in order and the mutex free.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        number = next(_numbers)
        _mutexes[number] = weakref.ref(self, lambda _: _mutexes.pop(number, None))

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *exception: object) -> None:
        self._lock.release()

    def hold(self, timeout: float) -> bool:
        """Acquire it, within so many seconds; whether it was."""
        return self._lock.acquire(timeout=timeout)

    def release(self) -> None:
        """Release what `hold` acquired."""
        self._lock.release()

    def renew(self, *, held: bool) -> None:
        """Make it free in a child; ``held`` if the thread that forked had acquired it with `hold`."""
        if held:
            self._lock.release()
        else:
            self._lock = threading.RLock()


imports = Mutex()
"""Held while a large library is imported: a child forked halfway could neither use it nor import it again."""


def openmp_is_used(library: Literal["torch", "faiss"]) -> None:
    """Note that this process has used, or is about to use, the threads of a library. Its children use one thread."""
    _used.add(library)


class _Held(threading.local):
    """What this thread holds while it forks."""

    def __init__(self) -> None:
        self.mutexes: list[tuple[Mutex, bool]] = []


_held = _Held()


def _before() -> None:
    end = time.monotonic() + _MAX_WAIT_SECONDS
    mutexes = [mutex for reference in list(_mutexes.values()) if (mutex := reference()) is not None]
    _held.mutexes = [(mutex, mutex.hold(max(0.0, end - time.monotonic()))) for mutex in mutexes]


def _after_in_parent() -> None:
    for mutex, held in _held.mutexes:
        if held:
            mutex.release()
    _held.mutexes = []


def _after_in_child() -> None:
    for mutex, held in _held.mutexes:
        mutex.renew(held=held)
    _held.mutexes = []
    for reference in list(_renewals.values()):
        renew = reference()
        if renew is not None:
            renew()
    if sys.version_info < (3, 12):
        _renew_cached_properties()
    for library in _used:
        getattr(sys.modules[library], _SET_THREADS[library])(1)  # as the workers of torch's own DataLoader do


def _renew_cached_properties() -> None:
    """Replace the mutex that each cached property of this package has before Python 3.12."""
    package = __name__.partition(".")[0]
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] != package or not isinstance(module, ModuleType):
            continue
        for found in list(vars(module).values()):
            for attribute in list(vars(found).values()) if isinstance(found, type) else ():
                if isinstance(attribute, functools.cached_property):
                    attribute.lock = threading.RLock()  # type: ignore[attr-defined]


# The last to be registered is the first to acquire. A thread that holds one of our mutexes may be waiting for those of
# logging and of executors, which a fork acquires too, so these must have been registered before ours.
if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
