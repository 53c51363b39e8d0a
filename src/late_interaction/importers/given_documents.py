"""The documents that the caller passes for the passages of a source that keeps no texts."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.documents import Document
from late_interaction.errors import DuplicateIdError, InvalidRequestError
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

__all__ = ["GivenDocuments"]


class GivenDocuments:
    """Documents of the caller, one for each passage, in the order in which the passages were added to the source.

    A document without an id of its own gets the number of its passage: ids that are hashes of contents would let equal
    passages replace each other.

    Args:
        read: Reads the documents, each time from the first.
        passages: The number of passages of the source, deleted ones included.
        live: The numbers of those that are not deleted, ascending. Documents for these alone are accepted, too.

    Raises:
        InvalidRequestError: There are more or fewer documents than passages.
        DuplicateIdError: Two documents have the same id.
    """

    def __init__(self, read: Callable[[], Iterator[Document]], *, passages: int, live: NDArray[np.int64]) -> None:
        self._read = read
        self._live = live
        self._numbers = range(passages)
        hashes = array("q", (hash(document.id) for document in self._all()))
        if len(hashes) == len(live) < passages:
            self._numbers = live.tolist()
            hashes = array("q", (hash(document.id) for document in self._all()))
        if len(hashes) != len(self._numbers):
            raise InvalidRequestError(_wrong_count(len(hashes), passages, len(live)))
        self._check_unique(hashes)

    def from_position(self, start: int) -> Iterator[Document]:
        """Yield the documents of the passages that are not deleted, without the first ``start`` ones."""
        wanted = iter(self._live[start:].tolist())
        following = next(wanted, None)
        for number, document in zip(self._numbers, self._all(), strict=False):  # their number was compared before
            if number == following:
                yield document
                following = next(wanted, None)

    def _all(self) -> Iterator[Document]:
        """Yield all documents, also those beyond the number of passages, so that they are counted."""
        numbers = iter(self._numbers)
        for document in self._read():
            number = next(numbers, None)
            yield document if number is None or not document.has_content_id else _with_id(document, str(number))

    def _check_unique(self, hashes: array[int]) -> None:
        values, counts = np.unique(np.frombuffer(hashes, np.int64), return_counts=True)
        repeated = set(values[counts > 1].tolist())
        seen: set[str] = set()
        for document in self._all() if repeated else ():
            if document.id in seen:
                raise DuplicateIdError(
                    f"Two of the given documents have the id {document.id!r:.200}. Ids must be unique; leave them out "
                    "to use the numbers of the passages."
                )
            if hash(document.id) in repeated:
                seen.add(document.id)


def _with_id(document: Document, document_id: str) -> Document:
    return Document.restored(
        document.text,
        id=document_id,
        metadata=dict(document.metadata),
        encoded_text=document.encoded_text,
        image=document.image,
    )


def _wrong_count(given: int, passages: int, live: int) -> str:
    held = counted(passages, "passage") + (f", {live:,} of them not deleted" if live < passages else "")
    return (
        f"{counted(given, 'document')} given, and the source has {held}. Pass the documents that were indexed, one for "
        "each passage, in the same order."
    )
