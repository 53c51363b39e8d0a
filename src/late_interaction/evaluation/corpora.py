"""Documents that are read again each time that they are iterated, and those of JSONL files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from late_interaction.documents import Document
from late_interaction.errors import InvalidDocumentError, InvalidRequestError
from late_interaction.evaluation.lines import json_lines
from late_interaction.evaluation.queries import as_id
from late_interaction.readers.jsonl import document_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from late_interaction.evaluation.lines import Line

__all__ = ["StreamedDocuments", "jsonl_documents", "jsonl_ids"]


class StreamedDocuments:
    """Documents that can be iterated any number of times without being in memory.

    Args:
        read: Returns a new iterator over the documents.
        count: The number of documents.
    """

    def __init__(self, read: Callable[[], Iterator[Document]], count: int) -> None:
        self._read = read
        self._count = count

    def __iter__(self) -> Iterator[Document]:
        return self._read()

    def __len__(self) -> int:
        return self._count


def jsonl_documents(path: Path) -> Iterator[Document]:
    """Yield the documents of a JSONL file, plain or compressed by gzip.

    Each line is either as `late_interaction.readers.read_jsonl` reads it, or as in BEIR: ``_id``, ``text``, and perhaps
    ``title`` and ``metadata``. There the title is encoded and searched before the text. It is kept in the metadata, as
    are other keys.

    Raises:
        InvalidDocumentError: A line is not a document. The message names the file and line.
        InvalidRequestError: The file cannot be read, or a line is not a JSON object.
    """
    return (document for _, document in _lines(path))


def jsonl_ids(path: Path) -> set[str]:
    """Return the ids of the documents that `jsonl_documents` yields.

    Raises:
        InvalidDocumentError: As for `jsonl_documents`, or two documents have the same id.
        InvalidRequestError: As for `jsonl_documents`.
    """
    ids: set[str] = set()
    for line, document in _lines(path):
        if document.id in ids:
            raise InvalidDocumentError(str(line.error(f"the document id {document.id!r} occurs twice.")))
        ids.add(document.id)
    return ids


def _lines(path: Path) -> Iterator[tuple[Line, Document]]:
    for line, values in json_lines(path):
        try:
            document = _beir_document(values) if "_id" in values else document_in(line.text, line.number)
        except (InvalidDocumentError, InvalidRequestError) as error:
            problem = str(error).removeprefix(f"Line {line.number}").removeprefix(":").strip()
            raise InvalidDocumentError(str(line.error(problem))) from None
        yield line, document


def _beir_document(values: dict[str, Any]) -> Document:
    """Return the document of a line of BEIR.

    Raises:
        InvalidDocumentError: Title, text or metadata are invalid.
        InvalidRequestError: The id is invalid.
    """
    title, text, metadata = values.get("title"), values.get("text"), values.get("metadata")
    if not isinstance(text, str) or not isinstance(title, (str, type(None))):
        raise InvalidDocumentError("text must be a string, and so must title, if there is one.")
    if not isinstance(metadata, (dict, type(None))):
        raise InvalidDocumentError(f"metadata must be a JSON object, got {metadata!r:.80}.")
    used = ("_id", "text", "metadata") if title else ("_id", "text", "metadata", "title")
    others = {key: value for key, value in values.items() if key not in used}
    return Document(
        text,
        id=as_id(values["_id"], "_id"),
        metadata={**others, **(metadata or {})},
        encoded_text=f"{title} {text}".strip() if title else None,
    )
