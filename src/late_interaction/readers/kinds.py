"""The kinds of files that can be read, by suffix, and what each of them is read as."""

from __future__ import annotations

from typing import TYPE_CHECKING

from late_interaction.errors import InvalidRequestError
from late_interaction.readers.sections import SUFFIXES as TEXTS

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["ALL_SUFFIXES", "PDF", "PICTURES", "suffixes_of"]

PDF = ".pdf"
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")

ALL_SUFFIXES: dict[str, str] = {**dict.fromkeys((*TEXTS, PDF), "text"), **dict.fromkeys(PICTURES, "image")}
"""Every suffix that is known, with the modality that such files need; PDFs go with either."""

_SUFFIXES = {"text": (*TEXTS, PDF), "image": (PDF, *PICTURES)}


def suffixes_of(modalities: Collection[str]) -> tuple[str, ...]:
    """The suffixes of the files that documents of these modalities can be made from.

    Raises:
        InvalidRequestError: Another than ``text`` and ``image``, or none.
    """
    if isinstance(modalities, str) or not modalities or not set(modalities) <= _SUFFIXES.keys():
        raise InvalidRequestError(f"modalities must be some of {sorted(_SUFFIXES)}, not {modalities!r}.")
    return tuple(dict.fromkeys(suffix for modality in modalities for suffix in _SUFFIXES[modality]))
