"""Errors of SQLite as errors of this package."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from late_interaction.errors import CorruptIndexError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["reported"]


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """Translate what SQLite raises about the catalog at this path.

    No code of the user may run inside the block: its SQLite errors are not about the catalog.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        # SQLite reports damage as plain DatabaseError, and what the system denies it as OperationalError.
        if type(error) is sqlite3.DatabaseError:
            raise CorruptIndexError(f"{path} is damaged: {error}. Restore the index from a copy.") from error
        if type(error) is sqlite3.OperationalError:
            raise StorageError(f"{path}: {error}. The last commit stands.") from error
        raise
