"""Which documents are the same: equal content, and equal ids in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from late_interaction.documents import Document
from late_interaction.errors import DuplicateIdError, InvalidDocumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["as_document", "has_same_content", "unique_documents"]


def as_document(document: object) -> Document:
    """Return a document, or the one that a plain string stands for.

    Raises:
        InvalidDocumentError: It is neither.
    """
    if isinstance(document, Document):
        return document
    if isinstance(document, str):
        return Document(document)
    raise InvalidDocumentError(f"A document must be a Document or a string, not {type(document).__name__}.")


def has_same_content(document: Document, stored: Document) -> bool:
    """Return whether stored vectors stand for a document, whatever its metadata.

    A document that does not say what to encode matches whatever text was encoded for it.
    """
    if document.image is not None and stored.image is not None:
        return (document.image.digest, document.image.page) == (stored.image.digest, stored.image.page)
    same_kind = document.image is None and stored.image is None
    return same_kind and document.text == stored.text and document.encoded_text in (None, stored.encoded_text)


def unique_documents(documents: Iterable[Document | str], ids: list[str]) -> Iterator[Document]:
    """Yield the documents, each once; append every id to ``ids``, also of those left out as equal.

    Raises:
        DuplicateIdError: Two different documents have the same id.
    """
    seen: dict[str, bool] = {}
    for given in documents:
        document = as_document(given)
        ids.append(document.id)
        if document.id not in seen:
            seen[document.id] = document.has_content_id
            yield document
        elif not (seen[document.id] and document.has_content_id):
            raise DuplicateIdError(f"The id {document.id!r} is given twice in one call. Nothing was added.")
