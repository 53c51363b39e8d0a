"""Merge and compress segments, and remove the files that they replace."""

from __future__ import annotations

import logging
import sys
import threading
import time
import weakref
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from late_interaction.engines.local import compaction
from late_interaction.engines.local.catalog.replacement import Replacement
from late_interaction.engines.local.compaction import Workspace
from late_interaction.engines.local.storage.files import CODEBOOKS, SEGMENTS, remove_directory
from late_interaction.engines.local.storage.names import Taken
from late_interaction.engines.local.worker import Worker
from late_interaction.engines.parallel import cores
from late_interaction.errors import IndexClosedError, InvalidRequestError, LateInteractionError
from late_interaction.forking import renew_in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from late_interaction.engines.local.catalog.database import Catalog
    from late_interaction.engines.local.compaction import Step
    from late_interaction.engines.local.snapshot import Snapshot
    from late_interaction.engines.local.states import States
    from late_interaction.engines.local.transactions import Transactions

__all__ = ["Maintenance", "finish_abandoned", "remove_directories"]

_logger = logging.getLogger(__name__)

_MAX_CALL_TOKENS, _MAX_CALL_FACTOR = 8192, 4
"""A write does what reads this many tokens, or this many times as many as it has added. The rest is done after it."""

_ATTEMPTS_APART, _MAX_SECONDS_APART = 20, 1.0
"""Writes try to remove directories again after this many times as long as the last attempt took, and this at most."""

_MAX_THREADS = 8
"""Threads of a step that a caller waits for, at most: each takes about 60 MB. In the background, a step has one."""

_MAX_RELEASE_SECONDS = 1.0
_PACKAGE = str(Path(__file__).parent)
_CLOSING = {(str(Path(__file__).with_name("engine.py")), name) for name in ("close", "__exit__")}
_known: weakref.WeakSet[Maintenance] = weakref.WeakSet()


def remove_directories(root: Path, names: Iterable[str]) -> list[str]:
    """Remove the segments and codebooks with these names; return the names of which nothing is left."""
    return [
        name
        for name in names
        if all([remove_directory(root / parent / name) for parent in (SEGMENTS, CODEBOOKS)])  # noqa: C419  # both
    ]


def finish_abandoned(root: Path) -> bool:
    """Wait for the work in the background of engines that were not closed and do not exist any more.

    Args:
        root: The directory of their index.

    Returns:
        Whether there was any. Then its writer lock is released.
    """
    abandoned = [one for one in list(_known) if one.is_abandoned_in(root)]
    references = [weakref.ref(one) for one in abandoned]
    while abandoned:
        abandoned.pop().worker.stop()
    end = time.monotonic() + _MAX_RELEASE_SECONDS
    while any(reference() is not None for reference in references) and time.monotonic() < end:
        time.sleep(0.001)  # the thread has ended, and is about to drop its references
    return bool(references)


def _is_called_inside() -> bool:
    """Return whether `Maintenance.stop` was called inside of anything else in this package than closing an engine.

    Closing the last of several openings holds the mutex of commits, so it is something else.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        code = frame.f_code
        if code.co_filename.startswith(_PACKAGE) and (code.co_filename, code.co_name) not in _CLOSING:
            return True
    return False


class Maintenance:
    """Rewrites segments after writes and on request, in one thread at a time.

    What is due after a write is done by that write, if it is not much more than what was written; otherwise by a thread
    in the background, so that a small write takes the same time whatever it triggers.

    Args:
        catalog: The catalog of the index.
        transactions: Commits the rewritten segments.
        states: Gives the last commit.
        owner: Returns the engine, None if it was garbage-collected without being closed.

    Attributes:
        root: The directory of the index.
        worker: The thread in the background.
    """

    def __init__(
        self, catalog: Catalog, transactions: Transactions, states: States, owner: Callable[[], object]
    ) -> None:
        self.root = catalog.path.parent
        self._catalog = catalog
        self._transactions = transactions
        self._states = states
        self._owner = owner
        self.worker = Worker()
        self._has_retired = False
        self._next_attempt = 0.0
        self._discarded: list[str] = []
        self._make_mutex()
        renew_in_child(self._make_mutex)
        _known.add(self)

    def is_abandoned_in(self, root: Path) -> bool:
        """Return whether the background works in this directory for an engine that does not exist any more."""
        with suppress(OSError):  # the directory was removed
            return self._owner() is None and self.worker.is_running and self.root.samefile(root)
        return False

    def tidy(self, added_tokens: int = 0) -> None:
        """Rewrite and remove what is due after a write. A failure is logged: the write itself is durable.

        Steps that read many more tokens than the write has added are left to the background. Returns at once if another
        write is already compacting.
        """
        if self._mutex.locked() or threading.get_ident() in self._claims:
            return
        most = max(_MAX_CALL_TOKENS, _MAX_CALL_FACTOR * added_tokens)
        self._done(self._mutex, partial(self._tidy, most))

    def compact(self) -> None:
        """Drop deleted documents, compress what is still exact and merge all segments into one.

        Raises:
            InvalidRequestError: Called by a signal handler that interrupted a compaction in this thread.
        """
        if threading.get_ident() in self._claims:
            raise InvalidRequestError(
                "A signal handler or a finalizer cannot compact an index while it interrupts a compaction of it."
            )
        self._alone(self._mutex, partial(self._alone, self._worker_mutex, self._compact))

    def wait(self) -> None:
        """Wait until nothing is left to do in the background."""
        self.worker.wait()

    def stop(self) -> None:
        """Wait for the step in hand in the background, and let no other begin.

        Returns at once in a signal handler that has interrupted this package: the step might wait for what it holds.
        """
        if not _is_called_inside():
            self.worker.stop()

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

    def _tidy(self, most: int) -> bool:
        """Take the steps that are due and read at most this many tokens, and let the background take others."""
        while (step := self._claimed(compaction.due)) is not None:
            if step.tokens > most and self._leave_to_worker(step):
                return True
            self._take(step, min(cores(), _MAX_THREADS))
        self._remove()
        return True

    def _leave_to_worker(self, step: Step) -> bool:
        """Return whether there is a thread that takes the step."""
        thread = threading.get_ident()
        self._claims[thread] = frozenset()
        is_started = self.worker.start(self._work_in_background)
        if not is_started:
            self._claims[thread] = step.claims
        return is_started

    def _work_in_background(self) -> bool:
        """Take a step, or remove what can be removed; return whether there may be more steps."""
        try:
            return self._done(self._worker_mutex, self._step)
        except Exception:  # a thread has no caller that an error could reach
            _logger.exception("Segments could not be merged. The next write tries again.")
            return False

    def _step(self) -> bool:
        step = self._claimed(compaction.due)
        if step is None:
            self._remove()
            return False
        self._take(step, 1)
        return True

    def _compact(self) -> bool:
        while (step := self._claimed(lambda snapshot, _: compaction.due_for_one_segment(snapshot))) is not None:
            self._take(step, min(cores(), _MAX_THREADS))
        self._remove_retired()
        return True

    def _done(self, mutex: threading.Lock, work: Callable[[], bool]) -> bool:
        """Compact after a write; return what ``work`` returns, or False after an error, which is logged."""
        try:
            return self._alone(mutex, work)
        except IndexClosedError:  # by another thread or a signal handler
            return False
        except (OSError, LateInteractionError) as error:
            _logger.warning("Segments could not be merged. The next write tries again: %s", error)
            return False

    def _alone(self, mutex: threading.Lock, work: Callable[[], bool]) -> bool:
        """Compact while no other thread does under this mutex."""
        thread = threading.get_ident()
        try:
            self._claims[thread] = frozenset()
            with mutex:
                return work()
        finally:
            self._claims.pop(thread, None)

    def _claimed(self, plan: Callable[[Snapshot, Collection[int]], Step | None]) -> Step | None:
        """Return the next step, whose segments no other thread may rewrite until this one has another step or none."""
        thread = threading.get_ident()
        with self._claiming:
            self._claims[thread] = frozenset()
            # First: a thread gives up its claims after its commit, which this snapshot then has.
            claimed = frozenset[int]().union(*self._claims.copy().values())
            with self._states.reading() as (_, snapshot):
                pass  # its files stay mapped, and no one else removes them
            step = plan(snapshot, claimed)
            if step is not None:
                self._claims[thread] = step.claims
            return step

    def _take(self, step: Step, threads: int) -> None:
        """Take a step of compaction on this many threads. Others can read and write during it."""
        names = Taken(self._transactions.names)
        try:
            written = step.write(Workspace(self.root, names, self._transactions.exclusively, threads))
            if isinstance(written, Replacement):
                self._transactions.commit(lambda writer: writer.replace_segments(written))
                self._has_retired = True
            else:
                self._transactions.commit(lambda writer: writer.add_postings(written))
        except BaseException:
            self._has_retired = True  # if it was committed all the same
            for name in names.taken:
                self.discard(name)
            raise

    def _remove(self) -> None:
        """Remove replaced directories and the files of failed writes."""
        if self._has_retired and time.monotonic() >= self._next_attempt:
            self._remove_retired(waits=False)
        if self._discarded:
            self._remove_discarded()

    def _remove_retired(self, *, waits: bool = True) -> None:
        """Remove replaced directories, once the log of SQLite is empty.

        With a log that is damaged later, SQLite would return to a state that needs them. While others read, the log
        cannot be truncated; a later write tries again.
        """
        start = time.monotonic()
        self._has_retired = False  # first: another thread may replace more
        with self._states.reading() as (reader, _):
            retired = [name for name, is_retired in reader.spare_names().items() if is_retired]
        if not retired or self._catalog.checkpoint(waits=waits):
            self._transactions.forget(remove_directories(self.root, retired))
        else:
            self._has_retired = True
            end = time.monotonic()
            self._next_attempt = end + min(_ATTEMPTS_APART * (end - start), _MAX_SECONDS_APART)

    def _remove_discarded(self) -> None:
        with self._states.reading() as (reader, _):
            spare = reader.spare_names()
        while self._discarded:
            try:
                name = self._discarded.pop()
            except IndexError:  # another thread was faster
                return
            if spare.get(name) is False:
                self._transactions.names.add(remove_directories(self.root, [name]))

    def _make_mutex(self) -> None:
        self._mutex = threading.Lock()  # held by the call that compacts
        self._worker_mutex = threading.Lock()  # held by a step in the background; compacting everything needs both
        self._claiming = threading.Lock()
        # What each thread that compacts, or waits to, has claimed. A signal handler may run in one of them.
        self._claims: dict[int, frozenset[int]] = {}
