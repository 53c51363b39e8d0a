"""Indexes in a temporary directory, which is removed with them."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from late_interaction.documents import Document
from late_interaction.index import Index

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Self

    from late_interaction.engines import Record

__all__ = ["TemporaryIndexes", "temporary_folder", "without_words"]


class TemporaryIndexes:
    """Opens indexes in a temporary directory. A context manager: at its end they are closed and removed.

    Args:
        progress: Whether to show progress bars.
    """

    def __init__(self, *, progress: bool = False) -> None:
        self.progress = progress
        self._stack = ExitStack()
        self._count = 0

    def __enter__(self) -> Self:
        self._root = self._stack.enter_context(temporary_folder())
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def open(self, **settings: Any) -> Index:
        """Create an index. The settings are those of `Index.open`."""
        self._count += 1
        return self.keep(Index.open(self._root / str(self._count), **settings))

    def keep(self, index: Index) -> Index:
        """Close an index at the end, and return it."""
        return self._stack.enter_context(index)

    def shown(self, records: Iterable[Any], description: str, total: int | None) -> Iterator[Any]:
        """Yield the records, with a progress bar if there are to be some."""
        if not self.progress:  # a bar that is not shown is not made: it would take a lock
            yield from records
            return
        yield from tqdm(records, desc=description, total=total, unit=" documents")


_folders: list[str] = []
"""Those that exist now, which SIGTERM removes."""


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Create a folder, and remove it at the end, also on SIGTERM unless the program has a handler of its own."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="late-interaction-"))
        _folders.append(folder)
        stack.callback(_folders.remove, folder)
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, _remove_folders))
        yield Path(folder)


def _remove_folders(number: int, frame: object) -> None:
    del frame
    for folder in _folders:
        shutil.rmtree(folder, ignore_errors=True)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)  # ends the program, as the signal does otherwise


def without_words(record: Record) -> Record:
    """Return a record that lexical search leaves out: an index that is only searched by vectors needs no words."""
    document = record.document
    return replace(record, document=Document(document.text, id=document.id, encoded_text=""), root=None)
