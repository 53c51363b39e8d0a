"""Which documents are the same: equal content, and equal ids in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from late_interaction.documents import Document
from late_interaction.errors import DuplicateIdError, InvalidDocumentError
from late_interaction.validation import valid_unicode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["as_candidate", "as_document", "has_same_content", "unique_documents", "unique_pairs"]

_Vectors = TypeVar("_Vectors")


def as_document(document: object, position: int) -> Document:
    """Return a document, or the one that a plain string stands for.

    Args:
        document: The document or string.
        position: Its position in the call, for errors.

    Raises:
        InvalidDocumentError: It is neither, or the string cannot be stored.
    """
    if isinstance(document, Document):
        return document
    if not isinstance(document, str):
        raise InvalidDocumentError(
            f"documents[{position}]: a document must be a Document or a string, not {type(document).__name__}."
        )
    try:
        return Document(document)
    except InvalidDocumentError as error:
        raise InvalidDocumentError(f"documents[{position}]: {error}") from None


def as_candidate(document: object, position: int) -> Document:
    """Return a document that is ranked and not stored: also of a string that cannot be stored, which it keeps.

    Only the encoder is given the string with replaced surrogates.
    """
    if isinstance(document, str) and document != (readable := valid_unicode(document)):
        own_id = Document(readable).id
        return Document.restored(document, id=own_id, metadata={}, encoded_text=readable, image=None)
    return as_document(document, position)


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
    for position, (given, vectors) in enumerate(pairs):
        document = as_document(given, position)
        ids.append(document.id)
        if document.id not in seen:
            seen[document.id] = document.has_content_id
            yield document, vectors
        elif not (seen[document.id] and document.has_content_id):
            raise DuplicateIdError(f"The id {document.id!r} is given twice in one call. Nothing was added.")
