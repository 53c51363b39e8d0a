"""Open files of an untrusted index: only regular files in real directories.

A symbolic link could lead to any file, a pipe or a device would block, and a sparse file can have any size. The check
is made on the descriptor that is then read, so the file cannot be replaced in between. Windows has neither `O_NOFOLLOW`
nor `dir_fd`: there, each path is checked before it is opened.
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
    from io import FileIO
    from pathlib import Path

__all__ = ["check_catalog_files", "open_regular", "opened_folder"]

_HAS_DIR_FD = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
_FLAGS = sum(getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
_MIN_SPARSE_BYTES = 1 << 20  # smaller files may have any holes
_MAX_COMPRESSION = 8  # a compressing file system may store a file in its size divided by this
_BLOCK_BYTES = 512  # unit of `st_blocks`
_OTHER_KIND_ERRORS = {errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO, errno.EMLINK}


def open_regular(path: Path, *, create: bool = False) -> FileIO:
    """Open a regular file: for reading, or with ``create`` for reading and writing, creating it if it is missing.

    A symbolic link is not followed, and a pipe does not block.

    Raises:
        CorruptIndexError: The path leads to anything that is not a regular file.
        OSError: The file cannot be opened.
    """
    flags = _FLAGS | (os.O_RDWR | os.O_CREAT if create else os.O_RDONLY)
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise _other_kind(path, "regular file") from None
        raise
    file = os.fdopen(descriptor, "r+b" if create else "rb", buffering=0)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise _other_kind(path, "regular file")
    return file


@contextmanager
def opened_folder(path: Path) -> Iterator[Callable[[str], int]]:
    """Open a folder of column files, ``segments/NAME`` or ``codebooks/NAME``.

    Yields:
        A function that opens a file of the folder for reading, by name. The caller closes the descriptor.

    Raises:
        FileNotFoundError: The folder, or a file of it, is missing.
        CorruptIndexError: The folder is not a directory, or a file is not a regular file or is sparse.
        StorageError: The folder or a file cannot be opened.
    """
    with ExitStack() as stack:
        parent = _open_directory(path.parent, None)
        stack.callback(_close, parent)
        folder = _open_directory(path, parent)
        stack.callback(_close, folder)
        yield lambda name: _open_file(path / name, folder)


def _open_directory(path: Path, parent: int | None) -> int | None:
    """Open a directory in an open parent. On Windows, which cannot, check its path and return None."""
    with _converted_errors(path, "directory"):
        if not _HAS_DIR_FD:
            _check_kind(path, path.lstat(), stat.S_ISDIR, "directory")
            return None
        name = path if parent is None else path.name
        return os.open(name, _FLAGS | os.O_RDONLY | os.O_DIRECTORY, dir_fd=parent)


def check_catalog_files(path: Path) -> None:
    """Check the catalog and the logs beside it, before SQLite opens them by their paths.

    The files are not opened here: closing one would release all locks that this process has on it, SQLite's too.

    Raises:
        CorruptIndexError: One is not a regular file.
        StorageError: The directory cannot be read.
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
    with _converted_errors(path, "regular file"):
        if folder is None:
            _check_kind(path, path.lstat(), stat.S_ISREG, "regular file")
            descriptor = os.open(path, _FLAGS | os.O_RDONLY)
        else:
            descriptor = os.open(path.name, _FLAGS | os.O_RDONLY, dir_fd=folder)
        try:
            status = os.fstat(descriptor)
            _check_kind(path, status, stat.S_ISREG, "regular file")
            if _may_be_sparse(status):
                _check_holes(path, descriptor, status)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def _check_kind(path: Path, status: os.stat_result, is_kind: Callable[[int], bool], kind: str) -> None:
    if not is_kind(status.st_mode):
        raise _other_kind(path, kind)


def _may_be_sparse(status: os.stat_result) -> bool:
    """Return whether a file takes far less space than its size, as sparse files and compressed ones do."""
    blocks = getattr(status, "st_blocks", None)
    return blocks is not None and status.st_size > max(_MIN_SPARSE_BYTES, _MAX_COMPRESSION * _BLOCK_BYTES * blocks)


def _check_holes(path: Path | str, descriptor: int, status: os.stat_result) -> None:
    if hasattr(os, "SEEK_HOLE") and os.lseek(descriptor, 0, os.SEEK_HOLE) < status.st_size:
        raise CorruptIndexError(
            f"{path} is sparse: its size is {status.st_size} bytes, and {_BLOCK_BYTES * status.st_blocks} are stored. "
            "Restore the index from a copy."
        )
    os.lseek(descriptor, 0, os.SEEK_SET)


def _other_kind(path: Path | str, kind: str) -> CorruptIndexError:
    return CorruptIndexError(
        f"{path} is not a {kind}, but a symbolic link, a pipe or the like. Restore the index from a copy."
    )


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


@contextmanager
def _converted_errors(path: Path, kind: str) -> Iterator[None]:
    """Convert errors of the system into errors of this package, except `FileNotFoundError`."""
    try:
        yield
    except FileNotFoundError:
        raise
    except StorageError:
        raise
    except OSError as error:
        if error.errno in _OTHER_KIND_ERRORS:
            raise _other_kind(path, kind) from None
        raise StorageError(f"{path} could not be opened: {error.strerror or error}.") from error
