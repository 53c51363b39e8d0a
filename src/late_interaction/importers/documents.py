"""Read the documents that the caller passes for a source that keeps no texts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from late_interaction.documents import Document
from late_interaction.errors import InvalidDocumentError, InvalidRequestError
from late_interaction.readers import read_jsonl

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GivenSource", "document_reader"]

GivenSource: TypeAlias = "str | os.PathLike[str] | Iterable[Document | str]"


def document_reader(documents: GivenSource | None) -> Callable[[], Iterator[Document]] | None:
    """Return a function that reads the documents anew each time; None without documents.

    Args:
        documents: The path of a JSONL file (`late_interaction.readers.read_jsonl`) or of a collection of ColBERT in
            TSV: id, text and perhaps a title, which is encoded as ``title | text``. Or documents and strings; an
            iterator is read into memory.

    Raises:
        InvalidRequestError: The file does not exist or has another suffix, or it is not an iterable of documents.
    """
    if documents is None:
        return None
    if isinstance(documents, (str, os.PathLike)):
        path = Path(documents)
        read = {".jsonl": _jsonl, ".tsv": _tsv}.get(path.suffix.lower())
        if read is None or not path.is_file():
            raise InvalidRequestError(
                f"documents={str(path)!r} must be an existing .jsonl file, with an object on each line, or a .tsv "
                "file, with id, text and title."
            )
        return lambda: read(path)
    if isinstance(documents, Document) or not isinstance(documents, Iterable):
        raise InvalidRequestError(f"documents must be a path or a list of documents, got {type(documents).__name__}.")
    given = documents if isinstance(documents, Sequence) else list(documents)
    return lambda: map(_document, given)


def _document(given: object) -> Document:
    if isinstance(given, str):
        return Document(given)
    if isinstance(given, Document):
        return given
    raise InvalidDocumentError(f"documents must be documents or strings, got {type(given).__name__}.")


def _jsonl(path: Path) -> Iterator[Document]:
    with path.open(encoding="utf-8") as lines:
        yield from read_jsonl(lines)


def _tsv(path: Path) -> Iterator[Document]:
    """Yield the documents of a collection as colbert-ai 0.2.22 reads it (`colbert.data.collection.Collection`)."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                key, text, *rest = line.decode("utf-8-sig" if number == 1 else "utf-8").strip("\n\r ").split("\t")
            except UnicodeDecodeError as error:
                raise InvalidDocumentError(f"Line {number} of {path} is not UTF-8 ({error.reason}).") from None
            except ValueError:
                raise InvalidDocumentError(
                    f"Line {number} of {path} must have an id and a text, separated by a tab."
                ) from None
            title = rest[0] if rest else ""
            try:
                yield Document(text, id=key, encoded_text=f"{title} | {text}" if title else None)
            except InvalidDocumentError as error:
                raise InvalidDocumentError(f"Line {number} of {path}: {error}") from None
