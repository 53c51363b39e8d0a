"""Convert errors of SQLite into errors of this package."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from late_interaction.engines.local.storage.files import storage_error
from late_interaction.errors import CorruptIndexError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from late_interaction.errors import LateInteractionError

__all__ = ["index_error", "readable_schema"]

# The primary result codes for what the system denies: PERM, BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL,
# CANTOPEN, PROTOCOL, NOLFS, AUTH. Any other error of the statements of this package means that the file is damaged.
_DENIED_CODES = {3, 5, 6, 7, 8, 9, 10, 13, 14, 15, 22, 23}
_DENIED_TEXTS = (  # the same for Python 3.10, whose errors have no code
    "permission",
    "locked",
    "out of memory",
    "readonly",
    "interrupted",
    "disk i/o error",
    "full",
    "unable to open",
    "locking protocol",
    "large file support",
    "not authorized",
)


def index_error(error: sqlite3.Error, path: Path) -> LateInteractionError | None:
    """Return the error of this package for an error of SQLite on the catalog.

    Return None for wrong use of the API (`sqlite3.InterfaceError`, `sqlite3.ProgrammingError`), which says nothing
    about the file.
    """
    if isinstance(error, (sqlite3.InterfaceError, sqlite3.ProgrammingError)):
        return None
    if _is_denied(error):
        return storage_error(path, error)
    return CorruptIndexError(f"{path} is damaged: {error}. Restore the index from a copy.")


@contextmanager
def readable_schema(path: Path) -> Iterator[None]:
    """Convert the error that Python raises if SQLite's message quotes a damaged schema that is not UTF-8."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise CorruptIndexError(f"{path} is damaged: {error.object!r}. Restore the index from a copy.") from None


def _is_denied(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _DENIED_CODES
    return type(error) is sqlite3.OperationalError and any(text in str(error).lower() for text in _DENIED_TEXTS)
