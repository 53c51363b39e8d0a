"""Ordering the candidates of another retriever by MaxSim."""

from __future__ import annotations

from typing import TYPE_CHECKING

from late_interaction.documents import Document, Hit
from late_interaction.retrieval.encoding import encode_documents, encode_queries, is_blank
from late_interaction.validation import check_vectors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from late_interaction.encoders import Encoder
    from late_interaction.engines import Record

__all__ = ["late_hit", "rank", "rerank"]


def rerank(query: str, documents: Sequence[Document], *, encoder: Encoder, k: int | None = None) -> list[Hit]:
    """Order documents by MaxSim, best first, encoding all of them. `Index.rerank` encodes only those it does not hold.

    Example:
        >>> from late_interaction import load_encoder
        >>> documents = [Document("A bank of stone."), Document("The Nile.")]
        >>> rerank("river", documents, encoder=load_encoder("minilm"), k=1)[0].text
        'The Nile.'
    """
    if is_blank(query) or not documents:
        return []
    return rank(encode_queries(encoder, [query])[0], documents, encoder=encoder)[:k]


def rank(
    query_vectors: NDArray[np.float32],
    documents: Sequence[Document],
    *,
    encoder: Encoder,
    known: Mapping[int, float] | None = None,
) -> list[Hit]:
    """Hits of documents by MaxSim, best first; scores known by position are taken as they are."""
    known = known or {}
    fresh = [document for position, document in enumerate(documents) if position not in known]
    records = encode_documents(encoder, fresh)
    hits = [
        late_hit(
            document,
            known[position] if position in known else _maxsim(query_vectors, next(records), encoder.dim),
            query_vectors,
        )
        for position, document in enumerate(documents)
    ]
    return sorted(hits, key=lambda hit: -hit.score)


def late_hit(document: Document, score: float, query_vectors: NDArray[np.float32]) -> Hit:
    """A hit with its relevance: the mean over the query's vectors, which for unit vectors is a cosine."""
    return Hit(document, score, min(1.0, max(0.0, score / max(1, len(query_vectors)))))


def _maxsim(query_vectors: NDArray[np.float32], record: Record, dim: int) -> float:
    vectors = check_vectors(record.vectors, dim, f"The encoder's vectors of {record.document.id!r}")
    return float((query_vectors @ vectors.T).max(axis=1).sum()) if len(vectors) else 0.0
