"""Read the last commit, or one commit in several reads."""

from __future__ import annotations

import contextvars
import sys
import threading
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING

from late_interaction.engines.local.catalog.reader import Reader
from late_interaction.engines.local.storage.columns import ColumnsMissingError
from late_interaction.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from late_interaction.engines.local.catalog.connections import Connection
    from late_interaction.engines.local.catalog.database import Catalog
    from late_interaction.engines.local.snapshot import Snapshot, Snapshots

__all__ = ["OneState", "States"]

_MAX_ATTEMPTS = 8  # a merge may remove files between reading the catalog and mapping them; rarely twice


class State:
    """The rows and the segments of one commit, for the threads of one context.

    They share one connection, which only one thread may use at a time.

    Attributes:
        catalog: The catalog.
        is_current: Whether the block of `OneState` is running.
        frame: For a short block, the frame that runs it. A signal can prevent `__exit__`, and an exception that is kept
            keeps the state; so it only counts while this frame runs.
    """

    def __init__(self, catalog: Catalog, reader: Reader, snapshot: Snapshot) -> None:
        self.catalog = catalog
        self.is_current = False
        self.frame: FrameType | None = None
        self._seen = reader, snapshot
        self.mutex = threading.RLock()

    @contextmanager
    def reading(self) -> Iterator[tuple[Reader, Snapshot]]:
        """Give the rows and the segments, to one thread at a time.

        Raises:
            InvalidRequestError: The block of `OneState` has ended.
        """
        with self.mutex, self.catalog.errors():
            if not self.is_current:
                raise InvalidRequestError("A scan that began inside one_state() cannot go on after it.")
            yield self._seen


# Weak references, so that a state ends with the block that holds it even if a signal prevents `__exit__`.
_pinned: contextvars.ContextVar[tuple[weakref.ref[State], ...]] = contextvars.ContextVar("pinned", default=())


def _pinned_state(catalog: Catalog) -> State | None:
    """Return the state that the caller's context reads inside `OneState` of this catalog; None outside."""
    for reference in reversed(_pinned.get()):
        state = reference()
        if state is not None and state.is_current and state.catalog is catalog and _is_running(state.frame):
            return state
    return None


def _is_running(frame: FrameType | None) -> bool:
    """Return whether a frame calls the present one; True without a frame."""
    calling: FrameType | None = sys._getframe()
    while frame is not None and calling is not frame:
        if calling is None:
            return False
        calling = calling.f_back
    return True


class States:
    """Gives the last commit of a catalog with its segments.

    Args:
        catalog: The catalog.
        snapshots: Opens its segments.

    Attributes:
        snapshots: Opens its segments.
    """

    def __init__(self, catalog: Catalog, snapshots: Snapshots) -> None:
        self._catalog = catalog
        self.snapshots = snapshots

    @property
    def pinned(self) -> State | None:
        """The state that the caller reads inside of `one_state`; None outside of it."""
        return _pinned_state(self._catalog)

    @contextmanager
    def reading(self, *, lasting: bool = False) -> Iterator[tuple[Reader, Snapshot]]:
        """Give the last commit, or that of `one_state`: its rows and its segments, for as long as the block lasts.

        Args:
            lasting: The block is as long as users of this package like.
        """
        state = self.pinned
        if state is not None:
            with state.reading() as seen:
                yield seen
            return
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            with self._catalog.reading(lasting=lasting) as reader:
                try:
                    snapshot = self.snapshots.at(reader)
                except ColumnsMissingError:
                    if attempt == _MAX_ATTEMPTS:
                        raise
                    continue
                yield reader, snapshot
                return

    def one_state(self, *, lasting: bool) -> OneState:
        """Return a context manager inside of which `reading` gives one commit. See `reading` for ``lasting``."""
        return OneState(self._catalog, self._open, lasting=lasting)

    def _open(self, *, lasting: bool) -> tuple[Connection, State]:
        """Return a connection in a read transaction, and what it sees."""
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            connection = self._catalog.begin_reading(lasting=lasting)
            try:
                with self._catalog.errors():
                    reader = Reader(connection)
                    return connection, State(self._catalog, reader, self.snapshots.at(reader))
            except ColumnsMissingError:
                self._catalog.end_reading(connection)
                if attempt == _MAX_ATTEMPTS:
                    raise
        raise AssertionError


class OneState:
    """A context manager: what its context reads inside the block is of one commit.

    A context is one of `contextvars`: threads that are to see the state run in a copy of it.

    Args:
        catalog: What is read.
        open_state: Gives a connection in a read transaction, and the state that it sees.
        lasting: Users of this package decide how long the block lasts, and what they leave half-read in it.
    """

    def __init__(self, catalog: Catalog, open_state: Callable[..., tuple[Connection, State]], *, lasting: bool) -> None:
        self._catalog = catalog
        self._open_state = open_state
        self._lasting = lasting
        self._connection: Connection | None = None
        self._state: State | None = None
        self._outer: tuple[weakref.ref[State], ...] = ()

    def __enter__(self) -> None:
        self._outer = _pinned.get()
        outer_state = _pinned_state(self._catalog)
        if outer_state is None:
            self._connection, self._state = self._open_state(lasting=self._lasting)
            if not self._lasting:
                self._state.frame = sys._getframe(1)
            _pinned.set((*self._outer, weakref.ref(self._state)))
            self._state.is_current = True  # last, since a signal may interrupt any call before it

    def __exit__(self, *exception: object) -> None:
        connection, state = self._connection, self._state
        self._connection = self._state = None
        if connection is not None and state is not None:
            state.is_current = False  # at once, since a signal may interrupt any call after it
            state.frame = None
            with state.mutex:  # when another thread's read is done
                # A cursor that was not read to its end keeps its tables locked as long as its connection is open.
                is_clean = not self._lasting and exception[0] is None
                self._catalog.end_reading(connection, is_clean=is_clean)
        _pinned.set(self._outer)
