"""Decode the bytes of a file as text."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from late_interaction.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = [
    "MARK_BYTES",
    "UTF_8",
    "UnreadableFileError",
    "check_encoding",
    "describe",
    "marked_encoding",
    "nuls",
    "read_text",
    "undecodable",
]

UTF_8 = "utf-8-sig"
"""UTF-8, with or without a byte order mark: the encoding of text, unless the file or the caller says another."""

MARK_BYTES = 4
"""The number of bytes at the start of a file that `marked_encoding` needs."""

_MARKS = {  # that of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF8: UTF_8,
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_ADVICE = "; if it is text in another encoding, pass the name of that, such as encoding='cp1252' (--encoding cp1252)"


class UnreadableFileError(Exception):
    """A file cannot be read; the message is the reason. `read_paths` reports it, so it never reaches the user."""


def check_encoding(encoding: str | None) -> str | None:
    """Return the name of an encoding of text, or None.

    Raises:
        InvalidRequestError: Python has no encoding of text of this name.
    """
    if encoding is None:
        return None
    try:
        "".encode(encoding)
        name = codecs.lookup(encoding).name
    except (LookupError, TypeError, ValueError):
        raise InvalidRequestError(
            f"encoding must be the name of an encoding of text, such as 'utf-8', 'cp1252', 'utf-16' or 'shift_jis', "
            f"got {encoding!r}."
        ) from None
    return UTF_8 if name == "utf-8" else name


def marked_encoding(start: bytes) -> str | None:
    """Return the encoding of which a file has the byte order mark, or None.

    Args:
        start: The first bytes of the file, at least `MARK_BYTES`.
    """
    return next((encoding for mark, encoding in _MARKS.items() if start.startswith(mark)), None)


def read_text(
    path: Path, encoding: str | None = None, *, declared: Callable[[bytes], str | None] = lambda _: None
) -> str:
    r"""Decode a file; every line ends in ``\n``.

    Args:
        path: The file.
        encoding: Its encoding if it has no byte order mark; None for the declared one, or UTF-8 if there is none.
        declared: Returns the encoding that the content of a file declares, or None.

    Raises:
        UnreadableFileError: The file cannot be opened, or is not text in this encoding.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableFileError(describe(error)) from None
    marked = marked_encoding(content)
    name = marked or encoding or declared(content) or UTF_8
    if b"\0" in content and marked in (None, UTF_8) and encoding in (None, UTF_8):
        raise nuls(encoding)
    try:
        text = content.decode(name)
    except UnicodeError as error:
        raise undecodable(error, name, is_chosen=encoding is not None) from None
    if marked and "\0" in text:
        raise nuls(encoding)
    return text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace").decode()


def undecodable(error: UnicodeError, encoding: str, *, is_chosen: bool) -> UnreadableFileError:
    """Return the error for a file whose bytes are not text in this encoding.

    Args:
        error: The error of the decoder.
        encoding: The encoding.
        is_chosen: The caller named an encoding, and needs no advice to do so.
    """
    name = "UTF-8" if encoding == UTF_8 else encoding
    where = f"{error.reason} at byte {error.start}" if isinstance(error, UnicodeDecodeError) else f"{error}"
    return UnreadableFileError(f"it is not {name} ({where}){'' if is_chosen else _ADVICE}")


def nuls(encoding: str | None) -> UnreadableFileError:
    """Return the error for a file with NUL bytes.

    Args:
        encoding: The encoding that the caller named, or None.
    """
    return UnreadableFileError(
        f"it has NUL bytes: it is binary, or not {'UTF-8' if encoding in (None, UTF_8) else encoding}"
        f"{_ADVICE if encoding is None else ''}"
    )


def describe(error: OSError) -> str:
    """Return what went wrong, without the path."""
    return error.strerror or str(error) or type(error).__name__
