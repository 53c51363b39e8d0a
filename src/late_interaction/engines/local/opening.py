"""Open or create an index: check its directory, and clean up after earlier writers."""

from __future__ import annotations

import logging
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from late_interaction.engines.local.catalog.database import Catalog
from late_interaction.engines.local.maintenance import Maintenance, finish_abandoned, remove_directories
from late_interaction.engines.local.recovery import lost_commits_problem, set_aside
from late_interaction.engines.local.storage.files import (
    CATALOG,
    CODEBOOKS,
    LAST_COMMIT,
    LOCK,
    SEGMENTS,
    SET_ASIDE,
    disk_errors,
    is_directory,
    is_name,
    make_directories,
)
from late_interaction.engines.local.storage.last_commit import read_last_commit
from late_interaction.engines.local.storage.location import Location
from late_interaction.engines.local.storage.locking import WriterLock
from late_interaction.errors import (
    CorruptIndexError,
    IndexLockedError,
    IndexNotFoundError,
    IndexReplacedError,
    InvalidRequestError,
    StorageError,
)

if TYPE_CHECKING:
    from late_interaction.engines.local.states import States
    from late_interaction.engines.local.transactions import Transactions

__all__ = ["Opened", "has_index", "look_around", "open_beside", "open_directory", "resolve_root"]

_logger = logging.getLogger(__name__)

_UNFINISHED = {
    LOCK,
    LAST_COMMIT,
    f"{LAST_COMMIT}.new",
    *(f"{CATALOG}.new{suffix}" for suffix in ("", "-journal", "-wal", "-shm")),
}
"""Files that a crash during creation may leave, besides empty directories."""


@dataclass(frozen=True)
class Opened:
    """An open index.

    Attributes:
        location: Its directory.
        catalog: Its catalog.
        lock: The writer lock; None for a reader.
    """

    location: Location
    catalog: Catalog
    lock: WriterLock | None

    @property
    def is_in_place(self) -> bool:
        """Whether the path still leads to this index, and a writer still holds its lock."""
        try:
            self.location.check()
        except IndexReplacedError:
            return False
        return self.lock is None or self.lock.is_held

    def close(self) -> None:
        """Close the catalog and the directory, and release the writer lock. Closing twice is allowed."""
        self.catalog.close()
        if self.lock is not None:
            self.lock.release()
        self.location.close()


def open_directory(
    path: str | os.PathLike[str], *, dim: int | None, bits: int | None, language: str | None, read_only: bool
) -> Opened:
    """Open the index in a directory. With ``dim``, create one with these settings if there is none.

    Raises:
        IndexNotFoundError: The directory has no index, and ``dim`` is not given.
        IndexLockedError: Another writer has the index open.
        InvalidRequestError: An index cannot be created here: the directory is not empty.
        CorruptIndexError: The files are damaged.
        StorageError: The directory cannot be read or written.
    """
    root = resolve_root(path)
    exists = _has_catalog(root)
    if not exists and (read_only or dim is None):
        raise IndexNotFoundError(
            f"There is no index at {path}. To create one: Index.open(path, encoder=…), or dim=… for your own vectors, "
            "or `late-interaction index`."
        )
    lock = location = None
    try:
        if not exists:
            _make_root(root)
        lock = None if read_only else _locked(root)
        with disk_errors(root):
            if dim is not None and not _has_catalog(root):
                Catalog.create(root, dim=dim, bits=bits, language=language)
            location = Location(root)
        return Opened(location, Catalog(location, read_only=read_only), lock)
    except BaseException:
        if lock is not None:
            lock.release()
        if location is not None:
            location.close()
        raise


def open_beside(path: str | os.PathLike[str], opened: Opened) -> Opened:
    """Open an index that is open once more, through connections of its own. The lock stays with the first opening.

    Args:
        path: The directory, by any path.
        opened: What is open.

    Raises:
        IndexReplacedError: The path leads to another index by now.
    """
    root = resolve_root(path)
    with disk_errors(root):
        location = Location(root)
    try:
        if location.identity != opened.location.identity:
            raise IndexReplacedError(f"The index at {root} was replaced while it was opened. Open it again.")
        return Opened(location, Catalog(location, read_only=opened.lock is None), None)
    except BaseException:
        location.close()
        raise


def _locked(root: Path) -> WriterLock:
    try:
        try:
            return WriterLock(root)
        except IndexLockedError:
            if not finish_abandoned(root):
                raise
            return WriterLock(root)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(
            f"{root} cannot be written ({error.strerror}). To search an index there, open it with read_only=True."
        ) from error


def resolve_root(path: str | os.PathLike[str]) -> Path:
    """Return the directory as an absolute path, since the working directory may change.

    ``~`` and ``~user`` at the beginning are home directories, as in a shell.

    Raises:
        InvalidRequestError: The value is not a path of a directory.
    """
    name = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(name, str) or not name.strip():
        raise InvalidRequestError(f"The path of an index must be the name of a directory, got {path!r}.")
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        raise InvalidRequestError(f"The path of an index cannot be encoded as a file name: {name!r}.") from None
    if "\0" in name:
        raise InvalidRequestError(f"The path of an index must not contain a NUL character, got {name!r}.")
    expanded = os.path.expanduser(name)  # noqa: PTH111  # `Path` takes "./~" for "~"
    if expanded == name and name.startswith("~"):
        raise InvalidRequestError(
            f"The path of an index begins with ~, and that home directory does not exist: {name!r}. For a directory of "
            f"this name: {f'./{name}'!r}."
        )
    return Path(expanded).absolute()


def has_index(path: str | os.PathLike[str]) -> bool:
    """Return whether there is an index at this path. See `open_directory` for the errors."""
    return _has_catalog(resolve_root(path))


def _has_catalog(root: Path) -> bool:
    """Return whether there is an index in the directory.

    Raises:
        CorruptIndexError: There are segments but no catalog, or the catalog is not a regular file.
        IndexNotFoundError: The path is a file.
        StorageError: The directory cannot be read.
    """
    with disk_errors(root):
        with suppress(FileNotFoundError, NotADirectoryError):
            if not stat.S_ISREG(os.lstat(root / CATALOG).st_mode):
                raise CorruptIndexError(f"{root / CATALOG} is not a regular file. Restore the index from a copy.")
            return True
        _check_no_file(root)
        for parent, column in ((SEGMENTS, "offsets.npy"), (CODEBOOKS, "centroids.npy")):
            for path in (root / parent).iterdir() if is_directory(root / parent) else ():
                if is_name(path.name) and (path / column).is_file():
                    raise CorruptIndexError(
                        f"{root} contains {parent} of an index, but {CATALOG} is missing. Nothing was changed. "
                        f"Restore {CATALOG} from a copy of the index, or name another directory."
                    )
        return False


def _check_no_file(root: Path) -> None:
    """Raise `IndexNotFoundError` if the path, or what it is said to be in, cannot be a directory."""
    for path in (root, *root.parents):
        if path.is_dir():
            return
        if os.path.lexists(path):
            kind = "a symbolic link to nothing" if path.is_symlink() and not path.exists() else "a file"
            where = "" if path == root else f" {root} cannot be in it."
            raise IndexNotFoundError(f"{path} is {kind}. The path of an index must be a directory.{where}")


def _make_root(root: Path) -> None:
    """Create the directory of a new index, which must be missing or empty.

    Raises:
        InvalidRequestError: The directory is not empty.
        StorageError: The directory cannot be created.
    """
    with disk_errors(root):
        if root.is_dir():
            others = sorted(path.name for path in root.iterdir() if not _is_unfinished(path))
            if others and CATALOG not in others:  # another process may have created the index meanwhile
                raise InvalidRequestError(
                    f"{root} is not empty and not an index: it contains {', '.join(map(repr, others[:3]))}. "
                    "Name a directory that is empty or does not exist."
                )
        make_directories(root)


def _is_unfinished(path: Path) -> bool:
    if path.name in (SEGMENTS, CODEBOOKS):
        return is_directory(path) and not any(path.iterdir())
    return path.name in _UNFINISHED


def _names_in(parent: Path) -> list[str]:
    """Return the names in ``segments`` or ``codebooks``; none if the directory is missing."""
    try:
        if not stat.S_ISDIR(os.lstat(parent).st_mode):
            raise CorruptIndexError(f"{parent} is not a directory. Restore the index from a copy.")
        return os.listdir(parent)  # noqa: PTH208  # only names are needed
    except FileNotFoundError:
        return []


def look_around(
    opened: Opened, states: States, transactions: Transactions | None, maintenance: Maintenance | None
) -> None:
    """Detect lost commits in an index that was just opened, and remove the files of writes that crashed.

    A reader only logs a warning of lost commits. A writer moves their files into ``set-aside``.

    Args:
        opened: The index.
        states: Gives the last commit.
        transactions: The write transactions; None for a reader.
        maintenance: Rewrites segments; None for a reader.

    Raises:
        CorruptIndexError: ``segments`` or ``codebooks`` is not a directory.
        StorageError: A file cannot be written, moved or removed.
    """
    root = opened.location.root
    with disk_errors(root):
        parents = () if transactions is None else (SEGMENTS, CODEBOOKS)
        present = {name for parent in parents for name in _names_in(root / parent)}
        last_commit, _ = read_last_commit(root)  # before the catalog, to which another process may commit meanwhile
    with states.reading() as (reader, snapshot):
        spare = {} if transactions is None else reader.spare_names()
    is_lost = last_commit is not None and last_commit > snapshot.generation
    if is_lost:
        _logger.warning("%s", lost_commits_problem(root, last_commit or 0, snapshot.generation))
    if transactions is None or maintenance is None:
        return
    if is_lost:
        with disk_errors(root / SET_ASIDE):
            set_aside(root, last_commit or 0, snapshot.names)
        transactions.commit(lambda writer: writer.forget_names(spare), after=last_commit or 0)
        return
    with disk_errors(root):
        (root / SEGMENTS).mkdir(exist_ok=True)  # a tool that copied the index may have skipped an empty directory
    existing = [name for name in spare if name in present]
    transactions.names.add(name for name, is_retired in spare.items() if not is_retired and name not in existing)
    transactions.forget(name for name, is_retired in spare.items() if is_retired and name not in existing)
    retired = [name for name in existing if spare[name]]
    if retired and not opened.catalog.checkpoint():
        maintenance.remove_later()
        existing = [name for name in existing if not spare[name]]
    transactions.forget(remove_directories(root, existing))
