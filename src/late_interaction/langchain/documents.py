"""Between LangChain's documents and ours."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document as LangChainDocument

from late_interaction.adapters.documents import as_document, metadata_of
from late_interaction.adapters.pages import held_document, jpeg_of
from late_interaction.documents import Document, Hit
from late_interaction.errors import InvalidDocumentError

if TYPE_CHECKING:
    from late_interaction.index import Index

__all__ = ["from_langchain", "image_block", "to_langchain"]


def from_langchain(document: LangChainDocument, *, id: str | None = None, **settings: bool) -> Document:
    """Return our document, under the id given or its own. The settings are those of `as_document`.

    Raises:
        InvalidDocumentError: It is not a document of LangChain.
    """
    if not isinstance(document, LangChainDocument):
        raise InvalidDocumentError(
            f"A Document of langchain_core is needed, not {type(document).__name__}: {reprlib.repr(document)}. "
            "add_texts takes strings."
        )
    return as_document(document.page_content, document.metadata, id=id or document.id, **settings)


def to_langchain(document: Document, **added: Any) -> LangChainDocument:
    """Return LangChain's document, with the id; what it has no field for is in the metadata, and what is added."""
    metadata = {**metadata_of(document), **added}
    return LangChainDocument(page_content=document.text, id=document.id, metadata=metadata)


def image_block(page: LangChainDocument | Document | Hit, *, index: Index | None = None) -> dict[str, str]:
    """Return the image of a page as a content block of a chat message: JPEG, of at most 2,048 pixels a side.

    Args:
        page: A document of LangChain that a retriever found, a `Hit`, or a document of ours.
        index: Where it was found; needed for a document of LangChain whose image only the index keeps.

    Raises:
        ImageUnavailableError: It has no image, or the file is gone or has changed.
        UnknownIdError: The index does not hold it.

    Example:
        >>> HumanMessage([{"type": "text", "text": question}, *map(image_block, retriever.invoke(question))])
        ... # doctest: +SKIP
    """
    if isinstance(page, Hit):
        page = page.document
    if isinstance(page, LangChainDocument):
        page = from_langchain(page, keep_metadata=False) if index is None else held_document(index, page.id)
    return {"type": "image", "base64": jpeg_of(page), "mime_type": "image/jpeg"}
