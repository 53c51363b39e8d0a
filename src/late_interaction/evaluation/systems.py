"""The systems that an evaluation compares: what each searches with, and what it stores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from late_interaction.evaluation.dataset import JudgedQuery
    from late_interaction.evaluation.query_encoding import QueryEncoder
    from late_interaction.index import Index
    from late_interaction.retrieval.request import Mode

__all__ = ["Answer", "System", "limit_of", "searching", "vector_bytes"]


class Answer(NamedTuple):
    """What a system answers to a query.

    Attributes:
        ids: Ids of documents, best first.
        stages: What each stage of a cascade did: ``stage``, ``candidates``, ``milliseconds``.
    """

    ids: Sequence[str]
    stages: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class System:
    """A system that can be asked.

    Bytes per document are what must be stored to search in this way, divided by the number of documents. Ids, texts,
    metadata and page images are not counted: every system keeps them alike. Models are not counted either.

    * late interaction, and single vectors: all files of vectors, with codebooks (``vector_bytes`` of `Index.info`);
    * lexical search: the full-text index (`Engine.lexical_bytes`);
    * hybrid search: both;
    * learned sparse vectors: 8 bytes for each nonzero, a 4-byte number of its word and a float32;
    * a cascade: what its stages need, each part once; a cross-encoder needs nothing.

    Attributes:
        name: The name in reports.
        settings: JSON values that distinguish it, see `SystemResult`.
        search: Returns the best documents for a query, as many as are asked for.
        parts: What it stores, in bytes by the name of the part; None for a size that is not known.
        encoders: Encode the query in a search. They do so once for all systems, so that their time is added to that of
            the search.
        is_deepened: Whether to search once more, without measuring the time, where measures need more documents than
            the user's k. False for systems whose time does not depend on k.
        limit: The most documents that it returns; None for any number.
    """

    name: str
    settings: Mapping[str, Any]
    search: Callable[[JudgedQuery, int], Answer]
    parts: Mapping[str, int | None]
    encoders: Sequence[QueryEncoder] = field(default_factory=tuple)
    is_deepened: bool = True
    limit: int | None = None

    def bytes_per_document(self, documents: int) -> float | None:
        """Return what must be stored for each document, if there are this many; None if that is not known."""
        sizes = list(self.parts.values())
        if None in sizes or not documents:
            return None
        return sum(size for size in sizes if size is not None) / documents


def searching(index: Index, mode: Mode) -> Callable[[JudgedQuery, int], Answer]:
    """Return what searches an index in a mode, for as many documents as its engine finds at most."""
    limit = limit_of(index)

    def search(query: JudgedQuery, k: int) -> Answer:
        hits = index.search(query.query, k if limit is None else min(k, limit), mode=mode)
        return Answer([hit.id for hit in hits])

    return search


def limit_of(index: Index) -> int | None:
    """Return the most documents that the engine of an index finds; None for any number."""
    return index.engine.capabilities.max_candidates


def vector_bytes(index: Index) -> int | None:
    """Return the bytes of all stored vectors of an index; None if its engine does not tell."""
    size: int | None = index.info().get("vector_bytes")
    return size
