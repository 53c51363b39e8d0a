"""Between LangChain's documents and ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_core.documents import Document as LangChainDocument

from late_interaction.documents import Document, Hit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from late_interaction.explain import Explanation

__all__ = ["from_langchain", "hit_to_langchain", "to_langchain"]


def from_langchain(document: LangChainDocument, *, id: str | None = None) -> Document:
    """Our document; the id given, its own, or the hash of its content."""
    return Document(document.page_content, id=id or document.id, metadata=document.metadata)


def to_langchain(document: Document) -> LangChainDocument:
    """LangChain's document, with the id."""
    return LangChainDocument(page_content=document.text, id=document.id, metadata=dict(document.metadata))


def hit_to_langchain(
    hit: Hit, *, with_score: bool = False, explanations: Mapping[str, Explanation] | None = None
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
