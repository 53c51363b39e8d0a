"""Decode the bytes of a file as text."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from late_interaction.errors import InvalidRequestError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["UTF_8", "UnreadableFileError", "check_encoding", "describe", "read_text", "undecodable"]

UTF_8 = "utf-8-sig"
"""UTF-8, with or without a byte order mark: the encoding of files of text, unless the caller says another."""


class UnreadableFileError(Exception):
    """A file cannot be read; the message is the reason. `read_paths` reports it, so it never reaches the user."""


def check_encoding(encoding: str | None) -> str:
    """Return the name of an encoding of text, UTF-8 for None.

    Raises:
        InvalidRequestError: Python has no encoding of text of this name.
    """
    if encoding is None:
        return UTF_8
    try:
        "".encode(encoding)
        name = codecs.lookup(encoding).name
    except (LookupError, TypeError, ValueError):
        raise InvalidRequestError(
            f"encoding must be the name of an encoding of text, such as 'utf-8', 'cp1252', 'utf-16' or 'shift_jis', "
            f"got {encoding!r}."
        ) from None
    return UTF_8 if name == "utf-8" else name


def read_text(path: Path, encoding: str = UTF_8) -> str:
    r"""Decode a file, by default as UTF-8, with or without a byte order mark; every line ends in ``\n``.

    Raises:
        UnreadableFileError: The file cannot be opened, or is not text in this encoding.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableFileError(describe(error)) from None
    if encoding == UTF_8 and b"\0" in content:
        raise UnreadableFileError("it has NUL bytes: it is binary, or not UTF-8")
    try:
        text = content.decode(encoding)
    except UnicodeError as error:
        raise undecodable(error, encoding) from None
    return text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace").decode()


def undecodable(error: UnicodeError, encoding: str) -> UnreadableFileError:
    """Return the error for a file whose bytes are not text in this encoding."""
    name = "UTF-8" if encoding == UTF_8 else encoding
    if isinstance(error, UnicodeDecodeError):
        return UnreadableFileError(f"it is not {name} ({error.reason} at byte {error.start})")
    return UnreadableFileError(f"it is not {name} ({error})")


def describe(error: OSError) -> str:
    """Return what went wrong, without the path."""
    return error.strerror or str(error) or type(error).__name__
