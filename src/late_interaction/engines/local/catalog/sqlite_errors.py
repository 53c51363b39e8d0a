"""What an error of SQLite says about the index."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from late_interaction.errors import CorruptIndexError, LateInteractionError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["index_error", "readable_schema"]

# The primary result codes of what the system denies: PERM, BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL,
# CANTOPEN, PROTOCOL, NOLFS, AUTH. What else goes wrong with the statements of this package is damage.
_DENIED_CODES = {3, 5, 6, 7, 8, 9, 10, 13, 14, 15, 22, 23}
_DENIED_TEXTS = (  # the same, for Python 3.10, whose errors have no code
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
    """Return the error of this package that an error of SQLite on the catalog stands for.

    None for a mistake in the calls themselves (`sqlite3.InterfaceError`, `sqlite3.ProgrammingError`), which says
    nothing of the file.
    """
    if isinstance(error, (sqlite3.InterfaceError, sqlite3.ProgrammingError)):
        return None
    if _is_denied(error):
        return StorageError(f"{path}: {error}. The last commit stands.")
    return CorruptIndexError(f"{path} is damaged: {error}. Restore the index from a copy.")


@contextmanager
def readable_schema(path: Path) -> Iterator[None]:
    """Catch what Python raises where SQLite quotes the text of a damaged schema in its error, and it is not UTF-8."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise CorruptIndexError(f"{path} is damaged: {error.object!r}. Restore the index from a copy.") from None


def _is_denied(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _DENIED_CODES
    return type(error) is sqlite3.OperationalError and any(text in str(error).lower() for text in _DENIED_TEXTS)
