"""Opening files of an index that may come from a stranger: regular files in real directories, nothing else.

A symlink could lead to any file, a pipe or device would block, and a sparse file can claim any size. What is checked is
the descriptor that is then read, so nothing can be exchanged in between. Windows has neither `O_NOFOLLOW` nor `dir_fd`:
there each path is looked at before it is opened.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from late_interaction.errors import CorruptIndexError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["check_catalog_files", "opened_folder"]

_HAS_DIR_FD = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_SPARSE_BYTES = 1 << 20  # smaller files may have any holes
_SPARSE_FACTOR = 8  # what is stored of a file may be so much smaller than its size
_NOT_THAT_KIND = {errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO, errno.EMLINK}


@contextmanager
def opened_folder(path: Path) -> Iterator[Callable[[str], int]]:
    """Open a folder of column files, ``segments/NAME`` or ``codebooks/NAME``.

    Yields:
        A function that opens a file of it for reading, by name; the caller closes the descriptor.

    Raises:
        FileNotFoundError: The folder, or a file of it, is missing.
        CorruptIndexError: It is a symlink or anything else that is not a directory or regular file, or a sparse file.
        StorageError: The system does not let it be opened.
    """
    with ExitStack() as stack:
        parent = _open_directory(path.parent, None)
        stack.callback(_close, parent)
        folder = _open_directory(path, parent)
        stack.callback(_close, folder)
        yield lambda name: _open_file(path / name, folder)


def _open_directory(path: Path, parent: int | None) -> int | None:
    """Open a directory, of a parent that is open; None where the system cannot (Windows), which is checked by path."""
    with _explained(path, "directory"):
        if not _HAS_DIR_FD:
            _check_kind(path, path.lstat(), stat.S_ISDIR, "directory")
            return None
        name = path if parent is None else path.name
        return os.open(name, _READ | os.O_DIRECTORY, dir_fd=parent)


def check_catalog_files(path: Path) -> None:
    """Check the catalog, and the logs beside it, before SQLite opens them by their paths.

    They are not opened: closing a file releases all locks that this process has on it, SQLite's too.

    Raises:
        CorruptIndexError: One is a symlink, a pipe or anything else that is not a regular file.
    """
    for suffix in ("", "-wal", "-shm", "-journal"):
        name = f"{path}{suffix}"
        try:
            status = os.lstat(name)
            if not stat.S_ISREG(status.st_mode):
                raise _other_kind(name, "regular file")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StorageError(f"{name} could not be opened: {error.strerror or error}.") from error


def _open_file(path: Path, folder: int | None) -> int:
    with _explained(path, "regular file"):
        if folder is None:
            _check_kind(path, path.lstat(), stat.S_ISREG, "regular file")
            descriptor = os.open(path, _READ)
        else:
            descriptor = os.open(path.name, _READ, dir_fd=folder)
        try:
            status = os.fstat(descriptor)
            _check_kind(path, status, stat.S_ISREG, "regular file")
            if _claims_more(status):
                _check_holes(path, descriptor, status)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def _check_kind(path: Path, status: os.stat_result, is_kind: Callable[[int], bool], kind: str) -> None:
    if not is_kind(status.st_mode):
        raise _other_kind(path, kind)


def _claims_more(status: os.stat_result) -> bool:
    """Whether much less is stored of a file than its size. File systems that compress are meant to do that, too."""
    blocks = getattr(status, "st_blocks", None)
    return blocks is not None and status.st_size > max(_SPARSE_BYTES, _SPARSE_FACTOR * 512 * blocks)


def _check_holes(path: Path | str, descriptor: int, status: os.stat_result) -> None:
    if hasattr(os, "SEEK_HOLE") and os.lseek(descriptor, 0, os.SEEK_HOLE) < status.st_size:
        raise CorruptIndexError(
            f"{path} is sparse: it claims {status.st_size} bytes and {512 * status.st_blocks} are stored. "
            "Restore the index from a copy."
        )
    os.lseek(descriptor, 0, os.SEEK_SET)


def _other_kind(path: Path | str, kind: str) -> CorruptIndexError:
    return CorruptIndexError(
        f"{path} is not a {kind}, but a symlink, pipe or something else that no index has. Restore the index from a "
        "copy."
    )


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


@contextmanager
def _explained(path: Path, kind: str) -> Iterator[None]:
    """Turn what the system says into errors of this package; a missing file stays a `FileNotFoundError`."""
    try:
        yield
    except FileNotFoundError:
        raise
    except StorageError:
        raise
    except OSError as error:
        if error.errno in _NOT_THAT_KIND:
            raise _other_kind(path, kind) from None
        raise StorageError(f"{path} could not be opened: {error.strerror or error}.") from error
