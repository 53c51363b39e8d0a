"""The state that is read: the last one, or one for several reads."""

from __future__ import annotations

import contextvars
import os
import threading
from typing import TYPE_CHECKING

from late_interaction.engines.lancedb.schema import BLOBS, DOCUMENTS
from late_interaction.engines.lancedb.snapshot import Snapshot
from late_interaction.forking import renew_in_child

if TYPE_CHECKING:
    from late_interaction.engines.lancedb.database import Database

__all__ = ["OneState", "States"]

_MAX_ATTEMPTS = 8

_pinned: contextvars.ContextVar[tuple[OneState, ...]] = contextvars.ContextVar("pinned_lancedb", default=())


class States:
    """Gives the last state of a database.

    Args:
        database: The database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._make()
        renew_in_child(self._make)

    def _make(self) -> None:
        self._mutex = threading.RLock()
        self._last: Snapshot | None = None

    @property
    def pinned(self) -> Snapshot | None:
        """The state that the caller reads inside of `one_state`; None outside of it."""
        for state in reversed(_pinned.get()):
            if state.states is self and state.snapshot is not None:
                if state.process != os.getpid():  # a child has a connection of its own
                    known, state.process = state.snapshot, os.getpid()
                    state.snapshot = Snapshot(self._database, known.version, known.blobs_version)
                return state.snapshot
        return None

    def current(self) -> Snapshot:
        """Return the state that the caller's context reads inside of `one_state`, otherwise the last one."""
        return self.pinned or self.last()

    def last(self) -> Snapshot:
        """Return the last state."""
        documents, blobs = self._database.table(DOCUMENTS), self._database.table(BLOBS)
        with self._mutex:
            for _ in range(_MAX_ATTEMPTS):
                version = self._database.call(documents.version)
                blobs_version = self._database.call(blobs.version)
                last = self._last
                if last is not None and (last.version, last.blobs_version) == (version, blobs_version):
                    return last
                # Vectors are added before, and deleted after, the documents they belong to. So if the documents did not
                # change meanwhile, the blobs have the vectors of all of them.
                if self._database.call(documents.version) == version:
                    break
            same = last if last is not None and last.version == version else None
            self._last = Snapshot(self._database, version, blobs_version, same)
            return self._last

    def before(self, version: int, known: Snapshot) -> Snapshot:
        """Return the state before the write that made a version of the documents.

        Args:
            version: The version.
            known: A state before it, which is often the same.
        """
        if version == known.version + 1:
            return known
        return Snapshot(self._database, version - 1, known.blobs_version)

    def forget(self) -> None:
        """Release the state that is kept."""
        self._last = None

    def one_state(self) -> OneState:
        """Return a context manager inside of which `current` gives one state."""
        return OneState(self)


class OneState:
    """A context manager: what its context reads inside the block is of one state.

    A context is one of `contextvars`: threads that are to see the state run in a copy of it.

    Args:
        states: Gives the state.

    Attributes:
        states: The same.
        snapshot: The state while the block runs.
        process: The process that has opened it.
    """

    def __init__(self, states: States) -> None:
        self.states = states
        self.snapshot: Snapshot | None = None
        self.process = os.getpid()
        self._outer: tuple[OneState, ...] = ()

    def __enter__(self) -> None:
        self._outer = _pinned.get()
        self.snapshot = self.states.current()
        _pinned.set((*self._outer, self))

    def __exit__(self, *exception: object) -> None:
        self.snapshot = None
        _pinned.set(self._outer)
