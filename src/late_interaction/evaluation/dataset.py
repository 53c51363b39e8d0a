"""A test collection: documents, queries, and which documents are relevant to each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from late_interaction.documents import Document

__all__ = ["Dataset", "JudgedQuery"]


@dataclass(frozen=True)
class JudgedQuery:
    """A query, and the documents that are known to be relevant to it.

    Attributes:
        id: Names the query in judgments and runs.
        query: What is searched for: a text, or a document with an image.
        relevant: Grades by document id: above 0 relevant, 0 judged as not relevant. Documents without a grade count as
            not relevant.
    """

    id: str
    query: str | Document
    relevant: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """A test collection.

    Attributes:
        name: For reports.
        documents: The documents, which may be iterated any number of times; None if they are those of an index.
        queries: The queries with their judgments.
        notes: What was left out or changed while reading, as sentences.
    """

    name: str
    documents: Iterable[Document] | None
    queries: Sequence[JudgedQuery]
    notes: tuple[str, ...] = ()
