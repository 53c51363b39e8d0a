"""Which documents are the same: equal content, and equal ids in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from late_interaction.documents import Document
from late_interaction.errors import DuplicateIdError, InvalidDocumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["as_document", "has_same_content", "unique_documents", "unique_pairs"]

_Vectors = TypeVar("_Vectors")


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
    return (document for document, _ in unique_pairs(((document, None) for document in documents), ids))


def unique_pairs(
    pairs: Iterable[tuple[Document | str, _Vectors]], ids: list[str]
) -> Iterator[tuple[Document, _Vectors]]:
    """Yield documents with what belongs to each, as `unique_documents`; of equal documents the first."""
    seen: dict[str, bool] = {}
    for given, vectors in pairs:
        document = as_document(given)
        ids.append(document.id)
        if document.id not in seen:
            seen[document.id] = document.has_content_id
            yield document, vectors
        elif not (seen[document.id] and document.has_content_id):
            raise DuplicateIdError(f"The id {document.id!r} is given twice in one call. Nothing was added.")
