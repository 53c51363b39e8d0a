"""`ReadOptions`: what `read_paths` was asked for, given to the reader of each file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["ReadOptions"]


@dataclass(frozen=True)
class ReadOptions:
    """Options of reading one file.

    Attributes:
        max_chars: Maximum length of a passage, in characters.
        keep_images: Whether the index keeps a thumbnail of each page image.
        report: Called with a path that cannot be read as a whole, and the reason.
    """

    max_chars: int
    keep_images: bool
    report: Callable[[Path, str], None]
