"""Read lines of text files, plain or compressed by gzip, with errors that name the file and the line."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

from late_interaction.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Line", "json_lines", "read_lines"]

_GZIP_MAGIC = b"\x1f\x8b"
_MAX_LINE_BYTES = 64 << 20
_SHOWN_CHARACTERS = 80


class Line:
    """A line of a file: its text without the line end, and where it is.

    Attributes:
        text: The line.
        path: The file.
        number: From 1.
    """

    __slots__ = ("number", "path", "text")

    def __init__(self, text: str, path: Path, number: int) -> None:
        self.text = text
        self.path = path
        self.number = number

    def error(self, problem: str) -> InvalidRequestError:
        """Return the error for a line, which says what is wrong and where."""
        return InvalidRequestError(f"{self.path}, line {self.number}: {problem}")

    def shown(self) -> str:
        """Return the beginning of the line, for messages."""
        return repr(self.text.strip()[:_SHOWN_CHARACTERS])


def read_lines(path: Path) -> Iterator[Line]:
    r"""Yield the lines of a UTF-8 file that are not blank. Memory is bounded by the longest line.

    Files that begin as gzip files do are decompressed while they are read. Lines end in ``\n`` or ``\r\n``.

    Raises:
        InvalidRequestError: The file cannot be read, is damaged, has a line of more than 64 MiB, or is not UTF-8.
    """
    number = 0
    try:
        with path.open("rb") as file:
            is_compressed = file.peek(2)[:2] == _GZIP_MAGIC
            lines = gzip.GzipFile(fileobj=file) if is_compressed else file
            while raw := lines.readline(_MAX_LINE_BYTES + 1):
                number += 1
                if len(raw) > _MAX_LINE_BYTES:
                    raise InvalidRequestError(f"{path}, line {number}: longer than {_MAX_LINE_BYTES >> 20} MiB.")
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                if text.strip():
                    yield Line(text, path, number)
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"{path}, line {number}: not UTF-8 ({error.reason}). Convert the file.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InvalidRequestError(f"{path}: damaged or truncated after line {number} ({error}).") from None
    except OSError as error:
        raise InvalidRequestError(f"{path} cannot be read: {error.strerror or error}.") from None


def json_lines(path: Path) -> Iterator[tuple[Line, dict[str, Any]]]:
    """Yield the JSON objects of a file, one from each line.

    Raises:
        InvalidRequestError: As `read_lines`; or a line is not a JSON object.
    """
    for line in read_lines(path):
        try:
            value = json.loads(line.text)
        except (ValueError, RecursionError) as error:
            raise line.error(f"not JSON ({error}): {line.shown()}.") from None
        if not isinstance(value, dict):
            raise line.error(f"expected a JSON object, got {line.shown()}.")
        yield line, value
