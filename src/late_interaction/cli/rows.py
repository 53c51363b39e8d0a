"""Documents and hits as JSON values, in the form that ``index`` reads again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from late_interaction.documents import Document, Hit

__all__ = ["document_row", "hit_row"]


def document_row(document: Document) -> dict[str, Any]:
    """Return a document; its page image, if there is one, as a reference to the file."""
    row = {"id": document.id, "text": document.text, "metadata": document.metadata}
    if document.encoded_text is not None:
        row["encoded_text"] = document.encoded_text
    if document.image is not None:
        row["image"] = document.image.to_json()
    return row


def hit_row(hit: Hit) -> dict[str, Any]:
    """Return a hit."""
    return {
        "id": hit.id,
        "score": hit.score,
        "relevance": hit.relevance,
        "text": hit.text,
        "metadata": hit.metadata,
    }
