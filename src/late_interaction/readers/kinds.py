"""The kinds of files that can be read, by suffix, and the function that reads each.

To support another kind of file, write a module with its reader and add its suffixes here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from late_interaction.errors import InvalidRequestError
from late_interaction.readers.documents import read_text_file
from late_interaction.readers.pages import read_pdf_images, read_pdf_text, read_pictures
from late_interaction.readers.sections import SUFFIXES
from late_interaction.readers.tables import read_table_file

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from pathlib import Path

    from late_interaction.documents import Document
    from late_interaction.readers.options import ReadOptions

    Reader: TypeAlias = Callable[[Path, str, ReadOptions], Iterable[Document]]

__all__ = ["ALL_SUFFIXES", "UNREAD_SUFFIXES", "Reader", "readers_of", "suffixes_of"]

_READERS: dict[str, dict[str, Reader]] = {
    "text": {
        **dict.fromkeys(SUFFIXES, read_text_file),
        **dict.fromkeys((".csv", ".tsv"), read_table_file),
        ".pdf": read_pdf_text,
    },
    "image": {
        ".pdf": read_pdf_images,
        **dict.fromkeys((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"), read_pictures),
    },
}
"""By modality and suffix. A reader gets the path, the source that ids and metadata name, and the options."""

ALL_SUFFIXES: dict[str, str] = {
    suffix: next(modality for modality, readers in _READERS.items() if suffix in readers)
    for suffix in (*_READERS["text"], *_READERS["image"])
}
"""Every known suffix, with the modality its files need; ``.pdf`` can be read with either."""

_OFFICE = "save it as PDF, HTML or text"
_JSON = "write each item as a line of a .jsonl file, or make a Document of it"
_JSONL = "name each file itself for `late-interaction index`, or pass it to late_interaction.readers.read_jsonl"

UNREAD_SUFFIXES: dict[str, str] = {
    **dict.fromkeys((".doc", ".docx", ".odt", ".rtf", ".ppt", ".pptx", ".odp", ".epub", ".pages"), _OFFICE),
    **dict.fromkeys((".xls", ".xlsx", ".ods", ".numbers"), "save each sheet as CSV"),
    ".json": _JSON,
    **dict.fromkeys((".jsonl", ".ndjson"), _JSONL),
    **dict.fromkeys((".bmp", ".gif", ".heic", ".svg", ".avif"), "save it as PNG, JPEG, TIFF or WebP"),
}
"""Kinds of documents and images that cannot be read, with the reason or what to do."""


def readers_of(modalities: Collection[str]) -> dict[str, Reader]:
    """Return the reader of each suffix from which documents of these modalities can be made.

    With both modalities, a file that has a reader for each is read as images.

    Raises:
        InvalidRequestError: The modalities are not ``text``, ``image`` or both.
    """
    if isinstance(modalities, str) or not modalities or not set(modalities) <= _READERS.keys():
        raise InvalidRequestError(f"modalities must be a list of {' and '.join(_READERS)}, got {modalities!r}.")
    return {
        suffix: reader
        for modality, readers in _READERS.items()  # the readers of images replace those of text
        if modality in modalities
        for suffix, reader in readers.items()
    }


def suffixes_of(modalities: Collection[str]) -> tuple[str, ...]:
    """Return the suffixes of the files from which documents of these modalities can be made.

    Raises:
        InvalidRequestError: The modalities are not ``text``, ``image`` or both.
    """
    return tuple(readers_of(modalities))
