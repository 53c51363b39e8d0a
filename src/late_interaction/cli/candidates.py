"""What the command `rerank` ranks: lines of text, and documents as JSON lines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from late_interaction.documents import Document
from late_interaction.readers.jsonl import document_in

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["read_candidates"]


def read_candidates(lines: Iterable[str]) -> tuple[list[Document], dict[str, str]]:
    """Return the documents of lines, and names for those without an id, by the hash that stands for it.

    A line that is a JSON object with ``text`` or ``id`` is a document, and any other line is a text. Blank lines are
    left out.

    Raises:
        InvalidDocumentError: A document is invalid. The message has the number of its line.
    """
    documents: list[Document] = []
    names: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        values = _document_values(line)
        documents.append(Document(line) if values is None else document_in(line, number))
        if values is None or values.get("id") is None:
            names.setdefault(documents[-1].id, f"line {number}")
    return documents, names


def _document_values(line: str) -> dict[str, Any] | None:
    """Return the JSON object that a line is, if it is a document, else None."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) and not values.keys().isdisjoint(("id", "text")) else None
