"""Estimate how many documents each file has, without reading the files completely."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from late_interaction.errors import ImageUnavailableError, OptionalDependencyError
from late_interaction.images.pdf import open_pdf
from late_interaction.readers.kinds import ALL_SUFFIXES
from late_interaction.readers.page_ranges import PageRanges
from late_interaction.readers.passages import MAX_CHARS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["expected_documents"]

_TEXT_BYTES = MAX_CHARS  # a passage is a little shorter than allowed, and a character sometimes more than a byte


def expected_documents(
    files: Iterable[Path], *, password: str | None = None, pages: str | None = None
) -> dict[str, int]:
    """Return about how many documents each file has, by the ``source`` that `read_paths` gives them.

    A PDF has one for each page, any other image one; a text has as many as its size suggests.

    Args:
        files: The files.
        password: The password of encrypted PDFs.
        pages: The pages of PDFs that are read, for example ``1-3,7``; None for all.
    """
    chosen = None if pages is None else PageRanges.parse(pages)
    return {path.as_posix(): _expected(path, password, chosen) for path in files}


def _expected(path: Path, password: str | None, chosen: PageRanges | None) -> int:
    suffix = path.suffix.lower()
    try:
        if suffix == ".pdf":
            with open_pdf(os.path.abspath(path), password) as pdf:  # noqa: PTH100  # resolve() would follow links
                return pdf.pages if chosen is None else len(chosen.within(pdf.pages))
        return 1 if ALL_SUFFIXES.get(suffix) == "image" else 1 + path.stat().st_size // _TEXT_BYTES
    except (ImageUnavailableError, OptionalDependencyError, OSError):
        return 0  # reported when it is read
