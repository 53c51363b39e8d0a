"""Merge and compress segments, and remove the files that they replace."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from late_interaction.engines.local import compaction
from late_interaction.engines.local.catalog.replacement import Replacement
from late_interaction.engines.local.storage.files import CODEBOOKS, SEGMENTS, remove_directory
from late_interaction.engines.local.storage.names import Taken
from late_interaction.errors import IndexClosedError, InvalidRequestError, LateInteractionError
from late_interaction.forking import renew_in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from late_interaction.engines.local.catalog.database import Catalog
    from late_interaction.engines.local.catalog.replacement import AddedPostings
    from late_interaction.engines.local.snapshot import Snapshot
    from late_interaction.engines.local.states import States
    from late_interaction.engines.local.transactions import Transactions

__all__ = ["Maintenance", "remove_directories"]

_logger = logging.getLogger(__name__)


def remove_directories(root: Path, names: Iterable[str]) -> list[str]:
    """Remove the segments and codebooks with these names; return the names of which nothing is left."""
    return [
        name
        for name in names
        if all([remove_directory(root / parent / name) for parent in (SEGMENTS, CODEBOOKS)])  # noqa: C419  # both
    ]


class Maintenance:
    """Rewrites segments after writes and on request, in one thread at a time.

    Args:
        catalog: The catalog of the index.
        transactions: Commits the rewritten segments.
        states: Gives the last commit.
    """

    def __init__(self, catalog: Catalog, transactions: Transactions, states: States) -> None:
        self._root = catalog.path.parent
        self._catalog = catalog
        self._transactions = transactions
        self._states = states
        self._has_retired = False
        self._discarded: list[str] = []
        self._make_mutex()
        renew_in_child(self._make_mutex)

    def tidy(self) -> None:
        """Rewrite and remove what is due after a write. A failure is logged: the write itself is durable.

        Returns at once if another thread is already compacting.
        """
        thread = threading.get_ident()
        if self._mutex.locked() or thread in self._threads:
            return
        try:
            self._threads.add(thread)
            with self._mutex:
                while self._rewrite(compaction.tidy):
                    pass
                if self._has_retired:
                    self._remove_retired()
                if self._discarded:
                    self._remove_discarded()
        except IndexClosedError:  # by another thread or a signal handler
            return
        except (OSError, LateInteractionError) as error:
            _logger.warning("Segments could not be merged. The next write tries again: %s", error)
        finally:
            self._threads.discard(thread)

    def compact(self) -> None:
        """Drop deleted documents, compress what is still exact and merge all segments into one.

        Raises:
            InvalidRequestError: Called by a signal handler that interrupted a compaction in this thread.
        """
        thread = threading.get_ident()
        if thread in self._threads:
            raise InvalidRequestError(
                "A signal handler or a finalizer cannot compact an index while it interrupts a compaction of it."
            )
        try:
            self._threads.add(thread)
            with self._mutex:
                while self._rewrite(compaction.compact):
                    pass
                self._remove_retired()
        finally:
            self._threads.discard(thread)

    def discard(self, name: str) -> None:
        """Remove the files of a failed write by name, unless they were committed.

        If they cannot be removed now, the next write or the next open for writing tries again. A forked child may
        unwind through a write of its parent; it removes nothing.
        """
        if self._transactions.is_inherited:
            return
        self._discarded.append(name)
        with suppress(LateInteractionError):
            self._remove_discarded()

    def remove_later(self) -> None:
        """Let the next write remove replaced directories, which could not be removed before."""
        self._has_retired = True

    def close(self) -> None:
        """Remove replaced directories if that is possible now."""
        if self._has_retired and not self._mutex.locked():
            with suppress(LateInteractionError):
                self._remove_retired()

    def _rewrite(self, step: Callable[[Path, Snapshot, Taken], Replacement | AddedPostings | None]) -> bool:
        """Take a step of compaction; return whether there was one. Others can read and write during it."""
        with self._states.reading() as (_, snapshot):
            pass  # its files stay mapped, and no one else removes them
        names = Taken(self._transactions.names)
        try:
            written = step(self._root, snapshot, names)
            if written is None:
                return False
            if isinstance(written, Replacement):
                self._has_retired = True
                self._transactions.commit(lambda writer: writer.replace_segments(written))
            else:
                self._transactions.commit(lambda writer: writer.add_postings(written))
        except BaseException:
            for name in names.taken:
                self.discard(name)
            raise
        return True

    def _remove_retired(self) -> None:
        """Remove replaced directories, once the log of SQLite is empty.

        With a log that is damaged later, SQLite would return to a state that needs them. While others read an older
        state, the log cannot be truncated; the next write tries again.
        """
        with self._states.reading() as (reader, _):
            retired = [name for name, is_retired in reader.spare_names().items() if is_retired]
        if not retired or self._catalog.checkpoint():
            self._transactions.forget(remove_directories(self._root, retired))
            self._has_retired = False

    def _remove_discarded(self) -> None:
        with self._states.reading() as (reader, _):
            spare = reader.spare_names()
        while self._discarded:
            name = self._discarded.pop()
            if spare.get(name) is False:
                self._transactions.names.add(remove_directories(self._root, [name]))

    def _make_mutex(self) -> None:
        self._mutex = threading.Lock()
        self._threads: set[int] = set()  # that compact or wait to; a signal handler may run in one of them
