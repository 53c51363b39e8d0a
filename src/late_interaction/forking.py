"""Make forked children work: new mutexes, libraries in a consistent state, one thread of OpenMP.

A child has only the thread that forked. A mutex that another thread of the parent held is never released in the child.
A mutex that guards state of this package is therefore replaced in the child, with the state (`renew_in_child`). A mutex
that guards the state of a library, which the child inherits, is held across the fork (`hold_across_forks`). The worker
threads of OpenMP do not exist in a child, where torch would wait for them for ever (`openmp_is_used`).
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
"""Seconds that a fork waits in total for threads that use a library. Then the child gets new mutexes all the same."""

_SET_THREADS = {"torch": "set_num_threads"}  # each contains its own OpenMP

# Each access to these is a single operation on a dict or a set, so that a fork may happen at any time.
_numbers = itertools.count()
_renewals: dict[int, tuple[weakref.ref[Any] | None, Callable[..., None]]] = {}
_holders: dict[tuple[int, int], weakref.ref[Holder]] = {}
_used: set[str] = set()


def renew_in_child(renew: Callable[[], None]) -> None:
    """Call a function or method in every forked child, before any other code runs there.

    It replaces mutexes, thread pools and anything else that belongs to threads of the parent. It must not wait for
    them. A method's object is referred to weakly.

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
        # Not a WeakMethod, which raises an error if the interpreter exits before its object is deleted.
        owner = weakref.ref(renew.__self__, partial(_forget, _renewals, number))
        _renewals[number] = owner, renew.__func__
    else:
        _renewals[number] = None, renew


def _forget(known: dict[Any, Any], key: object, _: object) -> None:
    known.pop(key, None)


class Holder(Protocol):
    """Something that a fork must hold, so that the child finds it in a consistent state."""

    def hold(self, timeout: float) -> bool:
        """Acquire it before a fork, within ``timeout`` seconds; return whether that succeeded."""
        ...

    def release(self) -> None:
        """Release in the parent what `hold` acquired."""
        ...

    def renew(self, *, held: bool) -> None:
        """Make it usable in the child. ``held`` is what `hold` returned."""
        ...


def hold_across_forks(holder: Holder, *, rank: int = 0) -> None:
    """Hold this across every fork of the process. It is referred to weakly.

    Holders are acquired in ascending order of ranks. Threads must do the same: a thread that has acquired a holder may
    only wait for holders of a higher rank.
    """
    key = rank, next(_numbers)
    _holders[key] = weakref.ref(holder, partial(_forget, _holders, key))


class Mutex:
    """A reentrant mutex that guards the state of a library, for short calls.

    A fork waits until no other thread holds it. So the child finds the library in a consistent state and the mutex
    released.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        hold_across_forks(self, rank=1)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *exception: object) -> None:
        self._lock.release()

    def hold(self, timeout: float) -> bool:
        """Acquire the mutex within ``timeout`` seconds; return whether that succeeded."""
        return self._lock.acquire(timeout=timeout)

    def release(self) -> None:
        """Release what `hold` acquired."""
        self._lock.release()

    def renew(self, *, held: bool) -> None:
        """Make the mutex usable in a child. ``held`` is what `hold` returned."""
        if held:
            self._lock.release()
        else:
            self._lock = threading.RLock()


imports = Mutex()
"""Held while a large library is imported. A child forked during an import could neither use nor import the library."""


def openmp_is_used(library: Literal["torch"]) -> None:
    """Record that this process has used, or is about to use, the threads of a library. Its children use one thread."""
    _used.add(library)


class _Held(threading.local):
    """The holders that this thread has acquired for a fork."""

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
        getattr(sys.modules[library], _SET_THREADS[library])(1)  # as in the workers of torch's DataLoader


def _renew_cached_properties() -> None:
    """Replace the mutex that each cached property of this package has in Python 3.11 and older."""
    package = __name__.partition(".")[0]
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] != package or not isinstance(module, ModuleType):
            continue
        for found in list(vars(module).values()):
            for attribute in list(vars(found).values()) if isinstance(found, type) else ():
                if isinstance(attribute, functools.cached_property):
                    attribute.lock = threading.RLock()  # type: ignore[attr-defined]


# The hooks that are registered last acquire first. A thread that holds a mutex of this package may wait for those of
# logging and of executors, which have hooks, too. So their modules are imported first (see the top of this file).
if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
