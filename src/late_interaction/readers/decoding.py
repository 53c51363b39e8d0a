"""Decode the bytes of a file as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["UnreadableFileError", "describe", "read_text"]


class UnreadableFileError(Exception):
    """A file cannot be read; the message is the reason. `read_paths` reports it, so it never reaches the user."""


def read_text(path: Path) -> str:
    r"""Decode a file as UTF-8, with or without a byte order mark; every line ends in ``\n``.

    Raises:
        UnreadableFileError: The file cannot be opened, or is not UTF-8 text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableFileError(describe(error)) from None
    if b"\0" in content:
        raise UnreadableFileError("it has NUL bytes: it is binary, or not UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFileError(f"it is not UTF-8 ({error.reason} at byte {error.start})") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def describe(error: OSError) -> str:
    """Return what went wrong, without the path."""
    return error.strerror or str(error) or type(error).__name__
