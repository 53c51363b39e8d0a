"""Save page images as files, under names made of document ids, without overwriting other files."""

from __future__ import annotations

import io
import re
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from late_interaction.documents import Document

__all__ = ["save_page"]

_UNSAFE = re.compile(r"[^\w.=-]+")
_MAX_NAME_BYTES = 120


def save_page(document: Document, folder: Path) -> Path:
    """Save the image of a page as a PNG file and return its path. A file with the same content is left as it is.

    Raises:
        ImageUnavailableError: The image cannot be loaded.
        OSError: The file cannot be written.
    """
    buffer = io.BytesIO()
    document.load_image().save(buffer, "PNG")
    content = buffer.getvalue()
    folder.mkdir(parents=True, exist_ok=True)
    name = _file_name(document.id)
    paths = (folder / (f"{name}-{number}.png" if number else f"{name}.png") for number in count())
    return next(path for path in paths if _write(path, content))


def _write(path: Path, content: bytes) -> bool:
    """Write a new file and return True, also if the file exists with this content; False if another file is there."""
    try:
        with path.open("xb") as file:  # follows no symbolic link
            file.write(content)
    except FileExistsError:
        return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content
    return True


def _file_name(document_id: str) -> str:
    """Return a file name without separators, spaces and control characters, which is not hidden."""
    name = _UNSAFE.sub("_", document_id).strip("._-")
    return name.encode()[:_MAX_NAME_BYTES].decode(errors="ignore") or "page"
