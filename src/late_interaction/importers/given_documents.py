"""The documents that the caller passes for the passages of a source."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from late_interaction.documents import Document
from late_interaction.errors import DuplicateIdError, InvalidDocumentError, InvalidRequestError
from late_interaction.readers import read_jsonl
from late_interaction.wording import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GivenDocuments", "GivenSource", "document_reader"]

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


class GivenDocuments:
    """Documents of the caller, one for each passage, in the order in which the passages were added to the source.

    A document without an id of its own gets that of its passage: ids that are hashes of contents would let equal
    passages replace each other.

    Args:
        read: Reads the documents, each time from the first.
        passages: The number of passages of the source, deleted ones included.
        live: The numbers of those that are not deleted, ascending. Documents for these alone are accepted, too. None
            for all.
        ids: The ids of all passages; None for their numbers, from 0.

    Raises:
        InvalidRequestError: There are more or fewer documents than passages.
        DuplicateIdError: Two documents have the same id.
    """

    def __init__(
        self,
        read: Callable[[], Iterator[Document]],
        *,
        passages: int,
        live: NDArray[np.int64] | None = None,
        ids: Sequence[str] | None = None,
    ) -> None:
        self._read = read
        self._live: Sequence[int] = range(passages) if live is None else live.tolist()
        self._ids = ids
        self._numbers: Sequence[int] = range(passages)
        hashes = array("q", (hash(document.id) for document in self._all()))
        if len(hashes) == len(self._live) < passages:
            self._numbers = self._live
            hashes = array("q", (hash(document.id) for document in self._all()))
        if len(hashes) != len(self._numbers):
            raise InvalidRequestError(_wrong_count(len(hashes), passages, len(self._live)))
        self._check_unique(hashes)

    def from_position(self, start: int) -> Iterator[Document]:
        """Yield the documents of the passages that are not deleted, without the first ``start`` ones.

        Raises:
            InvalidRequestError: They have become fewer since they were counted.
        """
        wanted = iter(self._live[start:])
        following = next(wanted, None)
        for number, document in zip(self._numbers, self._all(), strict=False):  # more are those that were not counted
            if number == following:
                yield document
                following = next(wanted, None)
        if following is not None:
            raise InvalidRequestError(
                f"The given documents end before passage {following:,}: they changed while they were read."
            )

    def _all(self) -> Iterator[Document]:
        """Yield all documents, also those beyond the number of passages, so that they are counted."""
        numbers = iter(self._numbers)
        for document in self._read():
            number = next(numbers, None)
            yield document if number is None or not document.has_content_id else self._named(document, number)

    def _named(self, document: Document, number: int) -> Document:
        return Document.restored(
            document.text,
            id=str(number) if self._ids is None else self._ids[number],
            metadata=dict(document.metadata),
            encoded_text=document.encoded_text,
            image=document.image,
        )

    def _check_unique(self, hashes: array[int]) -> None:
        values, counts = np.unique(np.frombuffer(hashes, np.int64), return_counts=True)
        repeated = set(values[counts > 1].tolist())
        seen: set[str] = set()
        for document in self._all() if repeated else ():
            if document.id in seen:
                raise DuplicateIdError(
                    f"Two of the given documents have the id {document.id!r:.200}. Ids must be unique; leave them out "
                    "to use those of the source."
                )
            if hash(document.id) in repeated:
                seen.add(document.id)


def _wrong_count(given: int, passages: int, live: int) -> str:
    deleted = f", {live:,} of them not deleted" if live < passages else ""
    return (
        f"{counted(given, 'document')} given, and the source has {counted(passages, 'passage')}{deleted}. Pass the "
        "documents that were indexed, one for each passage or page, in the same order."
    )


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
