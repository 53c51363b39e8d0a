"""Documents that are read again each time that they are iterated, and those of JSONL files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from late_interaction.documents import Document
from late_interaction.errors import InvalidDocumentError, InvalidRequestError
from late_interaction.evaluation.reading.lines import json_lines
from late_interaction.evaluation.reading.queries import as_id
from late_interaction.readers.jsonl import document_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from late_interaction.evaluation.reading.lines import Line

__all__ = ["JsonlDocuments", "StreamedDocuments"]


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


class JsonlDocuments:
    """The documents of a JSONL file, plain or compressed by gzip. Each iteration reads the file again.

    Each line is either as `late_interaction.readers.read_jsonl` reads it, or as in BEIR: ``_id``, ``text``, and perhaps
    ``title`` and ``metadata``. There the title is encoded and searched before the text. It is kept in the metadata, as
    are other keys. Ids that are integers become their decimal digits.

    Args:
        path: The file.

    Raises:
        InvalidDocumentError: While it is iterated: a line is not a document. The message names the file and line.
        InvalidRequestError: While it is iterated: the file cannot be read, or a line is not a JSON object.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Document]:
        return (document for _, document in _lines(self._path))

    def ids(self) -> set[str]:
        """Return the ids of all documents.

        Raises:
            InvalidDocumentError: As for the class, or two documents have the same id.
            InvalidRequestError: As for the class.
        """
        ids: set[str] = set()
        for line, document in _lines(self._path):
            if document.id in ids:
                raise InvalidDocumentError(str(line.error(f"the document id {document.id!r} occurs twice.")))
            ids.add(document.id)
        return ids


def _lines(path: Path) -> Iterator[tuple[Line, Document]]:
    for line, values in json_lines(path):
        try:
            document = _beir_document(values) if "_id" in values else document_in(_text(line, values), line.number)
        except (InvalidDocumentError, InvalidRequestError) as error:
            problem = str(error).removeprefix(f"Line {line.number}").removeprefix(":").strip()
            raise InvalidDocumentError(str(line.error(problem))) from None
        yield line, document


def _text(line: Line, values: dict[str, Any]) -> str:
    """Return the text of a line in which the id is a string."""
    return json.dumps({**values, "id": as_id(values["id"], "id")}) if type(values.get("id")) is int else line.text


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
