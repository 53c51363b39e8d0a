"""Between LangChain's documents and ours."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document as LangChainDocument

from late_interaction.adapters.documents import as_document, metadata_of
from late_interaction.adapters.pages import held_document, jpeg_of
from late_interaction.documents import Document, Hit
from late_interaction.errors import ImageUnavailableError, InvalidDocumentError, InvalidRequestError
from late_interaction.index import Index

if TYPE_CHECKING:
    from late_interaction.langchain.retrievers import LateInteractionRetriever
    from late_interaction.langchain.vectorstores import LateInteractionVectorStore

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


def image_block(
    page: LangChainDocument | Document | Hit,
    *,
    index: Index | LateInteractionVectorStore | LateInteractionRetriever | None = None,
) -> dict[str, str]:
    """Return the image of a page as a content block of a chat message: JPEG, of at most 2,048 pixels a side.

    Args:
        page: A document of LangChain that a retriever found, a `Hit`, or a document of ours.
        index: Where it was found: the index, or a store or retriever over it. It is needed for a document of LangChain
            whose image only the index keeps, as a thumbnail of at most 1,024 pixels a side: a PIL image that was added,
            or a file that is gone.

    Raises:
        InvalidRequestError: ``index`` is none of these.
        ImageUnavailableError: It has no image, or the file is gone or has changed.
        UnknownIdError: The index does not hold it.

    Example:
        >>> HumanMessage([{"type": "text", "text": question}, *map(image_block, retriever.invoke(question))])
        ... # doctest: +SKIP
    """
    if isinstance(page, Hit):
        page = page.document
    if isinstance(page, LangChainDocument):
        data = _jpeg_of_reference(page) if index is None else jpeg_of(held_document(_index_of(index), page.id))
    else:
        data = jpeg_of(page)
    return {"type": "image", "base64": data, "mime_type": "image/jpeg"}


def _jpeg_of_reference(page: LangChainDocument) -> str:
    document = from_langchain(page, keep_metadata=False)
    try:
        return jpeg_of(document)
    except ImageUnavailableError as error:
        image = document.image
        if image is None or not image.has_thumbnail:
            raise
        name, reason = image.path or "The page image", f"{error.reason}; pass index=, which keeps a thumbnail"
        raise ImageUnavailableError(name, reason) from None


def _index_of(source: object) -> Index:
    index = getattr(source, "index", source)
    if not isinstance(index, Index):
        raise InvalidRequestError(
            f"index= takes the Index, the store or the retriever that found the page, not {type(source).__name__}."
        )
    return index
