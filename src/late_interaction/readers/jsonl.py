"""Read documents from JSONL, one JSON object a line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from late_interaction.documents import Document
from late_interaction.errors import InvalidDocumentError
from late_interaction.images import PageImage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["document_in", "read_jsonl"]

_KEYS = ("id", "text", "metadata", "encoded_text", "image")


def read_jsonl(lines: Iterable[str]) -> Iterator[Document]:
    r"""Yield the documents of JSONL: an object with ``text`` and, if wanted, ``id`` and ``metadata`` on each line.

    A page has ``image`` too, a reference to its file as `PageImage.to_json` returns it, with the hash of the file.

    Args:
        lines: An open file, or any other lines. Blank lines are skipped.

    Raises:
        InvalidDocumentError: A line is not a document. The message has its number.

    Example:
        >>> [document.id for document in read_jsonl(['{"id": "a", "text": "Go.", "metadata": {"year": 2020}}\n'])]
        ['a']
    """
    number = 0
    iterator = iter(lines)
    while True:
        number += 1
        try:
            line = next(iterator, None)
        except UnicodeDecodeError as error:
            raise InvalidDocumentError(f"Line {number}, or one close after it, is not {error.encoding}.") from None
        if line is None:
            return
        if number == 1:
            line = line.removeprefix("\ufeff")
        if line.strip():
            yield document_in(line, number)


def document_in(line: str, number: int) -> Document:
    """Return the document that is in a line.

    Raises:
        InvalidDocumentError: It is not a document. The message has the number of the line.
    """
    try:
        values = json.loads(line, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise InvalidDocumentError(f"Line {number} is not JSON: {error}.") from None
    if not isinstance(values, dict):
        raise InvalidDocumentError(f"Line {number} is not a JSON object: {line.strip()[:80]!r}.")
    if unknown := [key for key in values if key not in _KEYS]:
        raise InvalidDocumentError(
            f"Line {number} has the unknown key {unknown[0]!r}. Known are {', '.join(_KEYS)}; put other fields into "
            "metadata."
        )
    if not isinstance(values.get("text"), str):
        raise InvalidDocumentError(f"Line {number} has no text: {line.strip()[:80]!r}.")
    try:
        return Document(
            values["text"],
            id=values.get("id"),
            metadata=values.get("metadata"),
            encoded_text=values.get("encoded_text"),
            image=None if values.get("image") is None else PageImage.from_json(values["image"]),
        )
    except ValueError as error:  # also of a reference to a page image
        raise InvalidDocumentError(f"Line {number}: {error}") from None


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key occurs twice in one object")
    return values
