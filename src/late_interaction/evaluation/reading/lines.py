"""Read lines of text files, plain or compressed by gzip, with errors that name the file and the line."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

from late_interaction.errors import InvalidRequestError
from late_interaction.readers.decoding import UTF_8, describe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Line", "check_expansion", "json_lines", "read_lines"]

_GZIP_MAGIC = b"\x1f\x8b"
_MAX_LINE_BYTES = 64 << 20
_MAX_EXPANSION = 200  # times the size of a compressed file; text expands by less than 20
_SMALL_BYTES = 64 << 20  # of decompressed data, which may expand by more
_SHOWN_CHARACTERS = 80


class Line:
    """A line of a file.

    Attributes:
        text: The line, without its end.
        path: The file.
        number: From 1.
    """

    __slots__ = ("number", "path", "text")

    def __init__(self, text: str, path: Path, number: int) -> None:
        self.text = text
        self.path = path
        self.number = number

    def error(self, problem: str) -> InvalidRequestError:
        """Return the error for a line, which names the file and the line."""
        return InvalidRequestError(f"{self.path}, line {self.number}: {problem}")

    def shown(self) -> str:
        """Return the beginning of the line, for messages."""
        return repr(self.text.strip()[:_SHOWN_CHARACTERS])


def read_lines(path: Path) -> Iterator[Line]:
    r"""Yield the lines of a UTF-8 file that are not blank. Memory is bounded by the longest line.

    A file that begins as gzip files do is decompressed while it is read. Lines end in ``\n`` or ``\r\n``.

    Raises:
        InvalidRequestError: The file cannot be read, is damaged, is not UTF-8, has a line of more than 64 MiB, or
            expands more than 200-fold.
    """
    number = total = 0
    try:
        if not path.is_file():  # opening a pipe may block, and a device may never end
            raise InvalidRequestError(f"{path} is not a file." if path.exists() else f"{path} does not exist.")
        with path.open("rb") as file:
            compressed = path.stat().st_size if file.peek(2)[:2] == _GZIP_MAGIC else None
            lines = file if compressed is None else gzip.GzipFile(fileobj=file)
            while raw := lines.readline(_MAX_LINE_BYTES + 1):
                number += 1
                total += len(raw)
                if compressed is not None:
                    check_expansion(path, compressed, total)
                if len(raw) > _MAX_LINE_BYTES:
                    raise InvalidRequestError(f"{path}, line {number}: longer than {_MAX_LINE_BYTES >> 20} MiB.")
                text = raw.decode(UTF_8 if number == 1 else "utf-8").rstrip("\r\n")
                if text.strip():
                    yield Line(text, path, number)
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"{path}, line {number}: not UTF-8 ({error.reason}). Convert the file.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InvalidRequestError(f"{path}: damaged or truncated after line {number} ({error}).") from None
    except OSError as error:
        raise InvalidRequestError(f"{path} cannot be read: {describe(error)}.") from None


def check_expansion(path: Path, compressed: int, decompressed: int) -> None:
    """Raise `InvalidRequestError` if data expands more than any text or table does, as a decompression bomb does.

    Args:
        path: The file.
        compressed: The size of the data, in bytes.
        decompressed: Its size after decompression, so far.
    """
    if decompressed > max(_SMALL_BYTES, _MAX_EXPANSION * compressed):
        raise InvalidRequestError(
            f"{path} expands more than {_MAX_EXPANSION}-fold, from {compressed:,} bytes to at least {decompressed:,}. "
            "Decompress it yourself if you trust it."
        )


def json_lines(path: Path) -> Iterator[tuple[Line, dict[str, Any]]]:
    """Yield the JSON objects of a file, one from each line.

    Raises:
        InvalidRequestError: As `read_lines`; or a line is not a JSON object, or has a key twice.
    """
    for line in read_lines(path):
        try:
            value = json.loads(line.text, object_pairs_hook=_without_duplicates)
        except (ValueError, RecursionError) as error:
            raise line.error(f"not JSON ({error}): {line.shown()}.") from None
        if not isinstance(value, dict):
            raise line.error(f"expected a JSON object, got {line.shown()}.")
        yield line, value


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key occurs twice in one object")
    return values
