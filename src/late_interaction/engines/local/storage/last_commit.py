"""The number of the last commit, kept beside the catalog.

SQLite takes a damaged log for one that was cut off: it drops every commit from the first wrong bit on, without a word.
So each commit is also noted here, durably, before it is acknowledged. A catalog that is behind this number has lost
commits (see recovery.py).

The file has two lines of one size, written in turns and in place: a write that is torn leaves the other.
"""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING

from late_interaction.engines.local.storage.files import LAST_COMMIT, open_regular, sync_directory, sync_file

if TYPE_CHECKING:
    from io import FileIO
    from pathlib import Path

__all__ = ["LastCommit", "read_last_commit"]

_LINES = 2
_LINE_BYTES = 32


def read_last_commit(root: Path) -> tuple[int | None, bool]:
    """Return the number of the last commit, None if it is not known, and whether the file is as it was written.

    Raises:
        OSError: The file is there and cannot be read.
    """
    try:
        with open_regular(root / LAST_COMMIT) as file:
            numbers = _numbers(file)
    except FileNotFoundError:
        return None, True
    known = [number for number in numbers if number is not None]
    return max(known, default=None), len(known) == len(numbers) == _LINES


class LastCommit:
    """The file, open for writing. For the writer alone.

    Args:
        root: The directory of the index.

    Raises:
        OSError: It cannot be made or written.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file: FileIO | None = None
        self._turn = 0

    def write(self, number: int) -> None:
        """Note a commit, durably.

        Raises:
            OSError: The disk does not take it.
        """
        if self._file is None:
            self._file = self._opened()
        os.lseek(self._file.fileno(), self._turn * _LINE_BYTES, os.SEEK_SET)
        self._file.write(_line(number))
        getattr(os, "fdatasync", os.fsync)(self._file.fileno())
        self._turn = 1 - self._turn

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> FileIO:
        """The file with two whole lines, so that a later write changes no size."""
        path = self._root / LAST_COMMIT
        known, is_sound = read_last_commit(self._root)
        if known is None or not is_sound:
            unfinished = path.with_name(f"{LAST_COMMIT}.new")
            unfinished.write_bytes(_line(known or 0) * _LINES)
            sync_file(unfinished)
            unfinished.replace(path)
            sync_directory(self._root)
        file = open_regular(path, create=True)
        numbers = _numbers(file)
        self._turn = numbers.index(min(number or 0 for number in numbers))
        return file


def _numbers(file: FileIO) -> list[int | None]:
    content = file.read(_LINES * _LINE_BYTES + 1)
    return [_parsed(content[start : start + _LINE_BYTES]) for start in range(0, len(content), _LINE_BYTES)]


def _line(number: int) -> bytes:
    digits = str(number).encode()
    return b"%s %08x" % (digits, zlib.crc32(digits)) + b" " * (_LINE_BYTES - len(digits) - 10) + b"\n"


def _parsed(line: bytes) -> int | None:
    digits = line.split(b" ")[0]
    if not digits.isdigit() or _line(int(digits)) != line:
        return None
    return int(digits)
