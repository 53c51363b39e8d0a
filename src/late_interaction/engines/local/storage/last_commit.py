"""The number of the last commit, in a file beside the catalog.

SQLite treats a damaged log as a truncated one: it silently drops every commit from the first wrong bit on. So the
number of each commit is also written here, durably, before the commit is acknowledged. If the last commit in the
catalog has a lower number, commits were lost (see recovery.py).

The file has two lines of equal size, which are overwritten alternately. A torn write leaves the other line intact.
"""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING

from late_interaction.engines.local.storage.files import LAST_COMMIT, sync_directory, sync_file
from late_interaction.engines.local.storage.regular_files import open_regular

if TYPE_CHECKING:
    from io import FileIO
    from pathlib import Path

__all__ = ["LastCommit", "read_last_commit"]

_LINES = 2
_LINE_BYTES = 32


def read_last_commit(root: Path) -> tuple[int | None, bool]:
    """Return the number of the last commit, or None if it is unknown, and whether the file is undamaged.

    Raises:
        OSError: The file exists and cannot be read.
    """
    try:
        with open_regular(root / LAST_COMMIT) as file:
            numbers = _numbers(file)
    except FileNotFoundError:
        return None, True
    known = [number for number in numbers if number is not None]
    return max(known, default=None), len(known) == len(numbers) == _LINES


class LastCommit:
    """Writes the file. Only for the holder of the writer lock.

    Args:
        root: The directory of the index.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file: FileIO | None = None
        self._next_line = 0

    def write(self, number: int) -> None:
        """Write the number of a commit durably.

        Raises:
            OSError: The file cannot be opened or written.
        """
        if self._file is None:
            self._file = self._opened()
        os.lseek(self._file.fileno(), self._next_line * _LINE_BYTES, os.SEEK_SET)
        self._file.write(_line(number))
        getattr(os, "fdatasync", os.fsync)(self._file.fileno())
        self._next_line = 1 - self._next_line

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> FileIO:
        """Open the file, first writing both lines if one is missing or damaged, so that later writes keep its size."""
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
        self._next_line = numbers.index(min(number or 0 for number in numbers))
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
