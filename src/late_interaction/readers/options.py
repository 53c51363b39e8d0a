"""`ReadOptions`: what `read_paths` was asked for, given to the reader of each file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from late_interaction.readers.page_ranges import PageRanges

__all__ = ["ReadOptions"]


@dataclass(frozen=True)
class ReadOptions:
    """Options of reading one file.

    Attributes:
        max_chars: Maximum length of a passage, in characters.
        keep_images: Whether the index keeps a thumbnail of each page image.
        encoding: The encoding of files of text; None for UTF-8, or the one that a file declares.
        password_of: Returns the password of a PDF, or None.
        pages_of: Returns the pages to read of a PDF or image file, or None for all.
        fold_equal_pages: Whether equal pages of a file become one document.
        report: Called with a path that cannot be read as a whole, and the reason.
    """

    max_chars: int
    keep_images: bool
    encoding: str | None
    password_of: Callable[[Path], str | None]
    pages_of: Callable[[Path], PageRanges | None]
    fold_equal_pages: bool
    report: Callable[[Path, str], None]
