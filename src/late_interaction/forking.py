"""Prepare forked children: fresh mutexes, libraries in a state that can be used, OpenMP in one thread.

A child has one thread, the one that forked. A mutex that another thread of the parent held is never released there. So
those over state that a child makes anew are replaced (`renew_in_child`), and those over the state of a library, which
a child inherits as it is, are held across the fork (`hold_across_forks`). The worker threads of OpenMP do not exist in
a child: torch and faiss would wait for them for ever (`openmp_is_used`).
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
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Holder", "Mutex", "hold_across_forks", "imports", "openmp_is_used", "renew_in_child"]

_MAX_WAIT_SECONDS = 30.0
"""How long a fork waits, in total, for threads that use a library. After that a child does not wait for them either."""

_SET_THREADS = {"torch": "set_num_threads", "faiss": "omp_set_num_threads"}  # each brings an OpenMP of its own

# Each access to these is one operation on a dict or a set, so a fork may come at any time.
_numbers = itertools.count()
_renewals: dict[int, tuple[weakref.ref[Any] | None, Callable[..., None]]] = {}
_holders: dict[tuple[int, int], weakref.ref[Holder]] = {}
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
        # Not a WeakMethod, which fails where the interpreter ends before its object.
        owner = weakref.ref(renew.__self__, partial(_forget, _renewals, number))
        _renewals[number] = owner, renew.__func__
    else:
        _renewals[number] = None, renew


def _forget(known: dict[Any, Any], key: object, _: object) -> None:
    known.pop(key, None)


class Holder(Protocol):
    """Something that a fork must hold, so that a child finds it in order."""

    def hold(self, timeout: float) -> bool:
        """Before a fork: acquire it, within this many seconds; return whether it was."""
        ...

    def release(self) -> None:
        """In the parent: release what `hold` acquired."""
        ...

    def renew(self, *, held: bool) -> None:
        """In the child: make it free; ``held`` if `hold` acquired it."""
        ...


def hold_across_forks(holder: Holder, *, rank: int = 0) -> None:
    """Hold this across every fork of the process, in the order of ranks. It is not kept alive.

    Threads acquire holders in the same order: one that has a holder may wait for those of a higher rank.
    """
    key = rank, next(_numbers)
    _holders[key] = weakref.ref(holder, partial(_forget, _holders, key))


class Mutex:
    """A reentrant mutex over the state of a library, for calls that end soon.

    A fork waits until no other thread holds it, so a child finds the library in order and the mutex free.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        hold_across_forks(self, rank=1)

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
        self.holders: list[tuple[Holder, bool]] = []


_held = _Held()


def _before() -> None:
    end = time.monotonic() + _MAX_WAIT_SECONDS
    holders = [holder for _, reference in sorted(_holders.items()) if (holder := reference()) is not None]
    _held.holders = [(holder, holder.hold(max(0.0, end - time.monotonic()))) for holder in holders]


def _after_in_parent() -> None:
    for holder, held in reversed(_held.holders):
        if held:
            holder.release()
    _held.holders = []


def _after_in_child() -> None:
    for holder, held in _held.holders:
        holder.renew(held=held)
    _held.holders = []
    for owner, renew in list(_renewals.values()):
        if owner is None:
            renew()
        elif (instance := owner()) is not None:
            renew(instance)
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
