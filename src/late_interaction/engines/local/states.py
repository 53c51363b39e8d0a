"""One state of the index for several reads."""

from __future__ import annotations

import contextvars
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from late_interaction.engines.local.catalog import Catalog
    from late_interaction.engines.local.connections import Connection
    from late_interaction.engines.local.rows import Reader
    from late_interaction.engines.local.snapshot import Snapshot

__all__ = ["OneState", "State", "pinned_state"]


class State:
    """The rows and the segments of one commit."""

    def __init__(self, catalog: Catalog, reader: Reader, snapshot: Snapshot) -> None:
        self.catalog = catalog
        self.reader = reader
        self.snapshot = snapshot
        self.is_current = False


# Weak, so that a state ends with the block that holds it, also where a signal keeps `__exit__` from running.
_pinned: contextvars.ContextVar[tuple[weakref.ref[State], ...]] = contextvars.ContextVar("pinned", default=())


def pinned_state(catalog: Catalog) -> State | None:
    """Return the state that the caller's context reads, if it is inside of `OneState` of this catalog."""
    for reference in reversed(_pinned.get()):
        state = reference()
        if state is not None and state.is_current and state.catalog is catalog:
            return state
    return None


class OneState:
    """A context manager: what its context reads inside the block is of one commit.

    A context is one of `contextvars`: threads that are to see the state run in a copy of it.

    Args:
        catalog: What is read.
        open_state: Gives a connection in a read transaction, and the state that it sees.
    """

    def __init__(self, catalog: Catalog, open_state: Callable[[], tuple[Connection, State]]) -> None:
        self._catalog = catalog
        self._open_state = open_state
        self._connection: Connection | None = None
        self._state: State | None = None
        self._outer: tuple[weakref.ref[State], ...] = ()

    def __enter__(self) -> None:
        self._outer = _pinned.get()
        outer_state = pinned_state(self._catalog)
        if outer_state is None:
            self._connection, self._state = self._open_state()
            _pinned.set((*self._outer, weakref.ref(self._state)))
            self._state.is_current = True  # last, since a signal may interrupt any call before it

    def __exit__(self, *exception: object) -> None:
        connection, self._connection, self._state = self._connection, None, None
        if connection is not None:
            self._catalog.end_reading(connection)
        _pinned.set(self._outer)
