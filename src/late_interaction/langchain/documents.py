"""Between LangChain's documents and ours."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document as LangChainDocument

from late_interaction.documents import Document, Hit
from late_interaction.errors import UnknownIdError
from late_interaction.images.pictures import to_jpeg
from late_interaction.images.reference import PAGE_IMAGE, from_metadata, to_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping

    from late_interaction.explanations import Explanation, PageExplanation
    from late_interaction.index import Index

__all__ = ["candidate", "from_langchain", "hit_to_langchain", "image_block", "to_langchain"]

_ENCODED_TEXT = "_encoded_text"
_MODEL_SIDE = 2048  # pixels; chat models make larger images smaller themselves


def from_langchain(document: LangChainDocument, *, id: str | None = None) -> Document:
    """Our document, as `to_langchain` took it apart; the id given, its own, or the hash of its content."""
    metadata = {key: value for key, value in document.metadata.items() if key not in (PAGE_IMAGE, _ENCODED_TEXT)}
    parts = _parts(document)
    return Document(document.page_content, id=id or document.id, metadata=metadata, **parts)


def candidate(document: LangChainDocument, *, as_image: bool = True) -> Document:
    """Our document for reranking, which needs no metadata: another store's may not be JSON.

    Args:
        document: LangChain's.
        as_image: A page is ranked by its image; else, for encoders that read text alone, by the text on it.
    """
    parts = _parts(document) if as_image else {**_parts(document), "image": None}
    return Document(document.page_content, id=document.id, **parts)


def _parts(document: LangChainDocument) -> dict[str, Any]:
    """What a document of ours has besides text and metadata, for which LangChain's has no fields."""
    encoded_text = document.metadata.get(_ENCODED_TEXT)
    if not isinstance(encoded_text, str) or document.page_content not in encoded_text:  # the text has been changed
        encoded_text = None
    return {"image": from_metadata(document.metadata), "encoded_text": encoded_text}


def to_langchain(document: Document) -> LangChainDocument:
    """LangChain's document, with the id; what it has no field for is in the metadata."""
    metadata = dict(document.metadata)
    if document.encoded_text is not None:
        metadata[_ENCODED_TEXT] = document.encoded_text
    if document.image is not None:
        metadata |= to_metadata(document.image)
    return LangChainDocument(page_content=document.text, id=document.id, metadata=metadata)


def image_block(page: LangChainDocument | Document | Hit, *, index: Index | None = None) -> dict[str, str]:
    """The image of a page as a content block of a chat message: JPEG, of at most 2,048 pixels a side.

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
    if isinstance(page, LangChainDocument):
        if index is None:
            document = candidate(page)
        else:
            held = index.get([page.id or ""])
            if not held:
                raise UnknownIdError(f"The index holds no document {page.id!r}.")
            document = held[0]
    else:
        document = page.document if isinstance(page, Hit) else page
    data = base64.b64encode(to_jpeg(document.load_image(), _MODEL_SIDE)).decode()
    return {"type": "image", "base64": data, "mime_type": "image/jpeg"}


def hit_to_langchain(
    hit: Hit, *, with_score: bool = False, explanations: Mapping[str, Explanation | PageExplanation] | None = None
) -> LangChainDocument:
    """The document of a hit; its metadata is what was stored, with the relevance and the matching words if asked for.

    A document that is gone since it was found has no words to show.
    """
    document = to_langchain(hit.document)
    if with_score:
        document.metadata["relevance_score"] = hit.relevance
    if explanations is not None:
        document.metadata["match_spans"] = explanations[hit.id].to_dicts() if hit.id in explanations else []
    return document
