"""The documents of a JSONL file, streamed each time that they are iterated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from late_interaction.documents import Document
from late_interaction.errors import InvalidDocumentError, InvalidRequestError
from late_interaction.evaluation.lines import json_lines
from late_interaction.evaluation.queries import as_id
from late_interaction.readers.jsonl import document_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from late_interaction.evaluation.lines import Line

__all__ = ["JsonlDocuments"]


class JsonlDocuments:
    """The documents of a JSONL file, plain or compressed by gzip.

    Each line is either as `late_interaction.readers.read_jsonl` reads it, or as in BEIR: ``_id``, ``title``, ``text``
    and ``metadata``. The title is encoded and searched before the text, and kept in the metadata.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __iter__(self) -> Iterator[Document]:
        for line, values in json_lines(self.path):
            yield _document(line, values)

    def ids(self) -> set[str]:
        """Return the ids of all documents.

        Raises:
            InvalidDocumentError: A line is not a document, or two have the same id.
        """
        found: set[str] = set()
        for line, values in json_lines(self.path):
            name = _document(line, values).id
            if name in found:
                raise InvalidDocumentError(str(line.error(f"the document id {name!r} occurs twice.")))
            found.add(name)
        return found


def _document(line: Line, values: dict[str, Any]) -> Document:
    try:
        return _beir_document(values) if "_id" in values else document_in(line.text, line.number)
    except (InvalidDocumentError, InvalidRequestError) as error:
        raise InvalidDocumentError(str(line.error(str(error)))) from None


def _beir_document(values: dict[str, Any]) -> Document:
    title, text = values.get("title") or "", values.get("text") or ""
    if not isinstance(title, str) or not isinstance(text, str):
        raise InvalidDocumentError("title and text must be strings.")
    metadata = dict(values.get("metadata") or {})
    if title:
        metadata.setdefault("title", title)
    return Document(
        text,
        id=as_id(values["_id"], "_id"),
        metadata=metadata,
        encoded_text=f"{title} {text}".strip() if title else None,
    )
