"""Escape control characters, so that a string cannot control the terminal or reorder the text."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["printable", "to_json"]

# Control characters of ASCII and Latin-1 (C0, DEL, C1), line and paragraph separators, bidirectional controls, and
# unpaired surrogates, which cannot be encoded.
_CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff"
_UNSAFE = re.compile(f"[{_CONTROLS}]")
_UNSAFE_IN_A_LINE = re.compile(f"[{_CONTROLS}\t\n]")


def printable(text: str, *, one_line: bool = False) -> str:
    r"""Return the text with control characters as visible escapes.

    Args:
        text: Any string.
        one_line: Also escape newlines and tabs.

    Example:
        >>> print(printable("a\x1b[2Jb"))
        a\x1b[2Jb
    """
    pattern = _UNSAFE_IN_A_LINE if one_line else _UNSAFE
    return pattern.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def to_json(value: Any, encoding: str | None = "utf-8", *, indent: int | None = 2) -> str:
    """Return the value as JSON with control characters escaped. A round trip returns the value unchanged.

    Args:
        value: A JSON value.
        encoding: The encoding of the output stream. Unless it is a Unicode encoding, non-ASCII characters are escaped.
        indent: Spaces of each level; None for one line.
    """
    is_unicode = (encoding or "").lower().startswith("utf")
    text = json.dumps(value, ensure_ascii=not is_unicode, indent=indent)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
