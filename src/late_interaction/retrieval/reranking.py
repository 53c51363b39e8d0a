"""Rerank candidates by MaxSim: stored documents from their stored vectors, others by encoding them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from late_interaction.documents import Document, Hit
from late_interaction.engines.background import MAX_DOCUMENT_TOKENS, Background, sampling_step
from late_interaction.errors import InvalidRequestError, UnknownIdError
from late_interaction.retrieval.encoding import encode_documents
from late_interaction.retrieval.identity import as_candidate, as_document, has_same_content
from late_interaction.retrieval.queries import Query, encode
from late_interaction.retrieval.scores import LateRelevance
from late_interaction.retrieval.truncation import Truncation
from late_interaction.validation import check_ids, check_k, check_vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from late_interaction.encoders.protocol import Encoder
    from late_interaction.engines.base import Engine
    from late_interaction.retrieval.queries import QueryLike

__all__ = ["rerank", "rerank_candidates", "stored_scores"]


def rerank(query: QueryLike, documents: Sequence[Document], *, encoder: Encoder, k: int | None = None) -> list[Hit]:
    """Order documents by MaxSim, best first, encoding all of them. `Index.rerank` encodes only those it does not hold.

    Relevance 0 is what the median of these documents gets.

    Example:
        >>> from late_interaction import load_encoder
        >>> documents = [Document("A bank of stone."), Document("The Nile.")]
        >>> rerank("river", documents, encoder=load_encoder("minilm"), k=1)[0].text
        'The Nile.'
    """
    if k is not None:
        k = check_k(k)
    asked = Query.of(query, encoder.dim)
    if asked.is_blank or not documents:
        return []
    truncation = Truncation()
    (vectors,) = encode([asked], lambda: encoder, truncation)
    hits = _rank(vectors, documents, load_encoder=lambda: encoder, known={}, null=None, truncation=truncation)
    truncation.warn()
    return hits[:k]


def rerank_candidates(
    engine: Engine,
    load_encoder: Callable[[], Encoder],
    query: QueryLike,
    ids: Sequence[str] | None,
    documents: Sequence[Document | str] | None,
    *,
    k: int | None,
    add: Callable[[list[Document]], object] | None,
    truncate: bool = True,
) -> list[Hit]:
    """Order stored or given documents by MaxSim, best first. See `Index.rerank`.

    Args:
        engine: Holds stored documents.
        load_encoder: Returns the encoder; not called where the query has vectors and all documents are stored.
        query: The query, in any form (see `queries.Query`).
        ids: Of stored documents.
        documents: Given documents, instead of ids.
        k: The number of hits; None for all.
        add: Called with the documents that are not stored, before they are ranked; None to store none.
        truncate: Whether texts that are longer than the encoder reads are truncated; else they are an error.
    """
    if (ids is None) == (documents is None):
        raise InvalidRequestError("rerank takes either ids or documents.")
    if isinstance(ids, str) or isinstance(documents, (str, Document)):
        raise InvalidRequestError("rerank takes a list: pass `[document]`.")
    if k is not None:
        k = check_k(k)
    asked = Query.of(query, engine.dim)
    if asked.is_blank or not (ids or documents):
        return []
    truncation = Truncation(allowed=truncate)
    (vectors,) = encode([asked], load_encoder, truncation)
    if ids is not None:
        truncation.warn()
        return _rank_stored(engine, vectors, check_ids(ids))[:k]
    convert = as_candidate if add is None else as_document
    given = [convert(document, position) for position, document in enumerate(documents or ())]
    if add is not None:
        add(_not_stored(engine, given))
    held, scores = stored_scores(engine, vectors, [document.id for document in given])
    known = {
        position: scores[document.id]
        for position, document in enumerate(given)
        if document.id in held and document.id in scores and has_same_content(document, held[document.id])
    }
    null = engine.null_score(vectors)
    if null is None and known:
        null = 0.0  # as in a search of this index
    hits = _rank(vectors, given, load_encoder=load_encoder, known=known, null=null, truncation=truncation)
    truncation.warn()
    return hits[:k]


def _rank_stored(engine: Engine, vectors: NDArray[np.float32], ids: list[str]) -> list[Hit]:
    documents, scores = stored_scores(engine, vectors, ids)
    if unknown := sorted(set(ids) - scores.keys()):
        raise UnknownIdError(f"The index does not contain {', '.join(map(repr, unknown[:5]))}.")
    best = sorted(scores.items(), key=lambda item: -item[1])
    relevance = LateRelevance.of(vectors, engine.null_score(vectors))
    return [Hit(documents[found], score, relevance(score)) for found, score in best if found in documents]


def _not_stored(engine: Engine, documents: Iterable[Document]) -> list[Document]:
    """Return those documents that are not stored as they are, each id once."""
    given = {document.id: document for document in documents}
    held = {document.id: document for document in engine.get(list(given))}
    return [
        document
        for document in given.values()
        if document.id not in held or not has_same_content(document, held[document.id])
    ]


def stored_scores(
    engine: Engine, vectors: NDArray[np.float32], ids: Iterable[str]
) -> tuple[dict[str, Document], dict[str, float]]:
    """Return stored documents and their exact MaxSim, by id: no score is that of another text.

    Without snapshots a document may be deleted or replaced meanwhile. Then it has a score and no document. One that was
    replaced and put back between two of the three calls is not recognized.
    """
    unique = list(dict.fromkeys(ids))
    with engine.one_state(short=True):
        documents = {document.id: document for document in engine.get(unique)}
        scores = engine.score(vectors, unique)
        if engine.capabilities.snapshots:
            return documents, scores
    now = {document.id: document for document in engine.get(unique)}
    return {found: document for found, document in documents.items() if now.get(found) == document}, scores


def _rank(
    vectors: NDArray[np.float32],
    documents: Sequence[Document],
    *,
    load_encoder: Callable[[], Encoder],
    known: Mapping[int, float],
    null: float | None,
    truncation: Truncation,
) -> list[Hit]:
    """Return hits of documents by MaxSim, best first.

    Args:
        vectors: (query tokens, dim).
        documents: The documents.
        load_encoder: Returns what encodes the documents whose score is not known.
        known: Scores by position, which are taken as they are.
        null: The MaxSim that an unrelated document gets; None to take it from the documents that are encoded.
        truncation: Notes those that are longer than the encoder reads.
    """
    fresh = [document for position, document in enumerate(documents) if position not in known]
    dim = vectors.shape[1]
    step = sampling_step(len(fresh))
    sample = []
    scores = dict(known)
    remaining = (position for position in range(len(documents)) if position not in known)
    encoded_records = encode_documents(load_encoder(), fresh, truncation=truncation) if fresh else ()
    for number, record in enumerate(encoded_records):
        encoded = check_vectors(record.vectors, dim, f"The encoder's vectors of {record.document.id!r}")
        scores[next(remaining)] = float((vectors @ encoded.T).max(axis=1).sum()) if len(encoded) else 0.0
        if null is None and number % step == 0:
            sample.append(encoded[:MAX_DOCUMENT_TOKENS].copy())  # a part of an array would keep all of it
    if null is None:
        null = Background.of(sample, dim).null_score(vectors)
    relevance = LateRelevance.of(vectors, null)
    hits = [Hit(document, scores[position], relevance(scores[position])) for position, document in enumerate(documents)]
    return sorted(hits, key=lambda hit: -hit.score)
