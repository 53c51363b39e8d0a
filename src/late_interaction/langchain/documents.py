"""Between LangChain's documents and ours."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document as LangChainDocument

from late_interaction.documents import Document, Hit
from late_interaction.errors import InvalidDocumentError, UnknownIdError
from late_interaction.images.pictures import to_jpeg
from late_interaction.images.reference import PAGE_IMAGE, from_metadata, to_metadata

if TYPE_CHECKING:
    from late_interaction.explanations import Explanation, PageExplanation
    from late_interaction.index import Index

__all__ = ["candidate", "from_langchain", "from_text", "hit_to_langchain", "image_block", "to_langchain"]

_ENCODED_TEXT = "_encoded_text"


def from_langchain(document: LangChainDocument, *, id: str | None = None, as_image: bool = True) -> Document:
    """Our document, as `to_langchain` took it apart; the id given, its own, or the hash of its content.

    Args:
        document: LangChain's.
        id: Its id.
        as_image: A page stands for its image; else, for encoders that read text alone, for the text on it.

    Raises:
        InvalidDocumentError: A page without text, where only text is read.
    """
    return from_text(document.page_content, document.metadata, id=id or document.id, as_image=as_image)


def from_text(text: str, metadata: Mapping[str, Any] | None, *, id: str | None, as_image: bool = True) -> Document:
    """Our document of what a document of LangChain holds. See `from_langchain`."""
    if not isinstance(text, str) or not isinstance(metadata, Mapping):
        return Document(text, id=id, metadata=metadata)
    if not as_image and PAGE_IMAGE in metadata and not text.strip():
        raise InvalidDocumentError(f"{id!r} is a page without text, and the encoder reads text alone.")
    own = {key: value for key, value in metadata.items() if key not in (PAGE_IMAGE, _ENCODED_TEXT)}
    return Document(text, id=id, metadata=own, **_parts(text, metadata, as_image=as_image))


def candidate(document: LangChainDocument, *, as_image: bool = True) -> Document:
    """Our document for reranking, which needs no metadata: another store's may not be JSON."""
    parts = _parts(document.page_content, document.metadata, as_image=as_image)
    return Document(document.page_content, id=document.id, **parts)


def _parts(text: str, metadata: Mapping[str, Any], *, as_image: bool) -> dict[str, Any]:
    """What a document of ours has besides text and metadata, for which LangChain's has no fields."""
    encoded = metadata.get(_ENCODED_TEXT)
    encoded_text = None
    if isinstance(encoded, dict) and encoded.get("of") == _hash(text):  # or the text was changed since
        encoded_text = encoded.get("text")
    return {"image": from_metadata(metadata) if as_image else None, "encoded_text": encoded_text}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def to_langchain(document: Document) -> LangChainDocument:
    """LangChain's document, with the id; what it has no field for is in the metadata."""
    metadata = dict(document.metadata)
    if document.encoded_text is not None:
        metadata[_ENCODED_TEXT] = {"of": _hash(document.text), "text": document.encoded_text}
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
            held = index.get([page.id]) if page.id else []
            if not held:
                raise UnknownIdError(f"The index holds no document {page.id!r}.")
            document = held[0]
    else:
        document = page.document if isinstance(page, Hit) else page
    return {"type": "image", "base64": to_jpeg(document.load_image()), "mime_type": "image/jpeg"}


def hit_to_langchain(
    hit: Hit, *, with_score: bool = False, explanations: Mapping[str, Explanation | PageExplanation] | None = None
) -> LangChainDocument:
    """The document of a hit; its metadata is what was stored, with the relevance and the matching words if asked for.

    Documents deleted after the search get no match spans.
    """
    document = to_langchain(hit.document)
    if with_score:
        document.metadata["relevance_score"] = hit.relevance
    if explanations is not None:
        document.metadata["match_spans"] = explanations[hit.id].to_dicts() if hit.id in explanations else []
    return document
