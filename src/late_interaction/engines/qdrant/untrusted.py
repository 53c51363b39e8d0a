"""Check a directory of Qdrant's local mode, which may come from a stranger, before the client opens it.

The client unpickles every stored point, so a pickle could run code, and it follows symbolic links. The check and the
client read the directory one after the other: what another program changes in between is not found.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from contextlib import closing, contextmanager, nullcontext
from typing import TYPE_CHECKING

from qdrant_client import models

from late_interaction.engines.qdrant.pickles import ForeignClassError, is_point
from late_interaction.errors import CorruptIndexError, IndexLockedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

__all__ = ["META_FILE", "check_stored"]

META_FILE = "meta.json"
_COLLECTIONS, _STORAGE = "collection", "storage.sqlite"
_LOCK = ".lock"
_FILES_OF_CLIENT = (META_FILE, f"{META_FILE}.tmp", _LOCK)
_SQLITE_SUFFIXES = ("", "-journal", "-wal", "-shm")
_MAX_META_BYTES = 16 * 2**20
_MAX_DIM = 65_536
_BUSY_SECONDS = 5.0

_SCHEMA = [
    ("index", "sqlite_autoindex_points_1", "points", None),
    ("table", "points", "points", "CREATE TABLE points (id TEXT PRIMARY KEY, point BLOB)"),
]
"""What the client creates. A view or a generated column could return other rows to the client than to the check."""

_ROWS = "SELECT rowid, id, point FROM points ORDER BY rowid DESC"  # as the client reads them


def check_stored(root: Path) -> None:
    """Check what the client reads when it opens the directory. A directory without a `META_FILE` is not checked.

    Raises:
        CorruptIndexError: A file is a symbolic link, a pipe or the like, a name leads out of the directory, or a file
            has anything else than the client writes.
        IndexLockedError: The directory is open elsewhere.
    """
    if not os.path.lexists(root / META_FILE):
        return
    for name in _FILES_OF_CLIENT:
        _check_kind(root / name, stat.S_ISREG, "regular file")
    with _locked(root):
        _check_collections(root)


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Lock the directory as the client does, so that the check does not delay the writes of another process.

    Raises:
        IndexLockedError: It is open elsewhere.
    """
    import portalocker  # fails on import where nothing can be written

    path = root / _LOCK
    with path.open("r+") if path.exists() else nullcontext() as file:
        if file is not None:
            try:
                portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
            except portalocker.exceptions.LockException as error:
                raise IndexLockedError(
                    f"The Qdrant directory {root} is open elsewhere. In local mode one client at a time may have it: "
                    "close the other, or use a Qdrant server."
                ) from error
        yield  # closing the file releases the lock


def _check_collections(root: Path) -> None:
    _check_kind(root / _COLLECTIONS, stat.S_ISDIR, "directory")
    for name in _collections_of(root):
        folder = root / _COLLECTIONS / name
        _check_kind(folder, stat.S_ISDIR, "directory")
        files = [folder / f"{_STORAGE}{suffix}" for suffix in _SQLITE_SUFFIXES]
        for file in files:
            _check_kind(file, stat.S_ISREG, "regular file")
        if files[0].exists():
            _check_points(files[0])


def _collections_of(root: Path) -> Iterable[str]:
    """Return the names of the collections that the client opens."""
    path = root / META_FILE
    if path.stat().st_size > _MAX_META_BYTES:
        raise CorruptIndexError(f"{path} is larger than {_MAX_META_BYTES} bytes. Restore the directory from a copy.")
    try:
        stored = json.loads(path.read_bytes())["collections"]
        configs = {name: models.CreateCollection(**config) for name, config in stored.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise CorruptIndexError(f"{path} is damaged. Restore the directory from a copy.") from None
    for name, config in configs.items():
        if not name or name in (".", "..") or set(name) & set("/\\:\0"):
            raise CorruptIndexError(f"{path} has a collection named {name!r:.100}, which is not the name of a file.")
        vectors = config.vectors.values() if isinstance(config.vectors, dict) else [config.vectors]
        if any(one is not None and one.size > _MAX_DIM for one in vectors):
            raise CorruptIndexError(f"{path} has vectors of a dimension over {_MAX_DIM}, which Qdrant does not have.")
    return configs


def _check_kind(path: Path, is_kind: Callable[[int], bool], kind: str) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not is_kind(status.st_mode):
        raise CorruptIndexError(
            f"{path} is not a {kind}, but a symbolic link, a pipe or the like. Restore the directory from a copy."
        )


def _check_points(path: Path) -> None:
    """Check the points of a collection.

    The file is opened for writing, as the client opens it: SQLite first undoes what a killed process left unfinished.
    """
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS)) as connection:
            schema = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type").fetchall()
            if schema and schema != _SCHEMA:
                raise CorruptIndexError(
                    f"{path} has other tables than Qdrant's client creates. Do not open it: it may be made to run code."
                )
            for _, _, data in connection.execute(_ROWS) if schema else ():
                _check_point(path, data)
    except sqlite3.DatabaseError as error:
        raise CorruptIndexError(f"{path} is damaged ({error}). Restore the directory from a copy.") from error


def _check_point(path: Path, data: object) -> None:
    try:
        if is_point(data):
            return
    except ForeignClassError as error:
        raise CorruptIndexError(
            f"{path} has a pickle that names {error}, which Qdrant's client does not store. It may be made to run "
            "code, and nothing of it was run. Do not open this directory with other programs either."
        ) from None
    raise CorruptIndexError(f"{path} has a damaged point. Restore the directory from a copy.")
