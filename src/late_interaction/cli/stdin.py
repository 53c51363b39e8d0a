"""Lines of standard input."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from late_interaction.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["STDIN", "stdin_lines"]

STDIN = "-"  # as an argument


def stdin_lines() -> Iterator[str]:
    """Yield the lines of standard input, which must be UTF-8, without their ends.

    Raises:
        InvalidRequestError: A line is not UTF-8.
    """
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="strict")
    try:
        for line in sys.stdin:
            yield line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"Standard input must be UTF-8 text: {error}.") from None
