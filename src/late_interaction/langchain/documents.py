"""Between LangChain's documents and ours."""

from __future__ import annotations

from langchain_core.documents import Document as LangChainDocument

from late_interaction.documents import Document, Hit

__all__ = ["from_langchain", "hit_to_langchain", "to_langchain"]


def from_langchain(document: LangChainDocument, *, id: str | None = None) -> Document:
    """Our document; the id given, its own, or the hash of its content."""
    return Document(document.page_content, id=id or document.id, metadata=document.metadata)


def to_langchain(document: Document) -> LangChainDocument:
    """LangChain's document, with the id."""
    return LangChainDocument(page_content=document.text, id=document.id, metadata=dict(document.metadata))


def hit_to_langchain(hit: Hit) -> LangChainDocument:
    """The document of a hit; its metadata is what was stored, nothing more."""
    return to_langchain(hit.document)
