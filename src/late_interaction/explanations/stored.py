"""Explain stored documents, with the encoder that produced their vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.encoders import ReducedEncoder, has_spans, reads_images
from late_interaction.encoders.fingerprint import PROBE_QUERIES
from late_interaction.engines.background import Background
from late_interaction.engines.base import require
from late_interaction.errors import ImageUnavailableError, MissingEncoderError, UnknownIdError
from late_interaction.explanations.centering import Centering
from late_interaction.explanations.heat import Range
from late_interaction.explanations.patches import PageExplanation, explain_page, on_one_scale
from late_interaction.explanations.words import explain
from late_interaction.retrieval.queries import query_vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from late_interaction.documents import Document
    from late_interaction.encoders.protocol import Encoder
    from late_interaction.engines.base import Engine
    from late_interaction.engines.records import Record
    from late_interaction.explanations.words import Explanation

__all__ = ["explain_many", "explain_stored"]


def explain_stored(
    engine: Engine, load_encoder: Callable[[], Encoder], query: str, document_id: str
) -> Explanation | PageExplanation:
    """Explain one stored document. See `Index.explain`."""
    require(engine, "vectors")
    with engine.one_state(short=True):
        records = engine.records([document_id])
        if not records:
            raise UnknownIdError(f"The index does not contain {document_id!r}.")
        background = engine.background()
    return _explain(load_encoder(), query, records, background)[document_id]


def explain_many(
    engine: Engine, load_encoder: Callable[[], Encoder], query: str, ids: Sequence[str]
) -> dict[str, Explanation | PageExplanation]:
    """Explain stored documents, by id. See `Index.explain_many`."""
    require(engine, "vectors")
    with engine.one_state(short=True):
        records, background = engine.records(ids), engine.background()
    return _explain(load_encoder(), query, records, background, leave_out_lost=True)


def _explain(
    encoder: Encoder, query: str, records: Mapping[str, Record], background: Background, *, leave_out_lost: bool = False
) -> dict[str, Explanation | PageExplanation]:
    """Return, by id, which words or patches of each document each query word matches.

    Args:
        encoder: The encoder that produced the vectors.
        query: The query.
        records: Documents with their vectors, by id.
        background: A sample of the index's documents, from which the texts' common part and the similarities that
            unrelated pages have are known.
        leave_out_lost: Leave out pages whose image is needed but unavailable, and documents with vectors that the
            encoder did not make, instead of raising.

    Raises:
        MissingEncoderError: The encoder cannot map its vectors to words or patches, or did not make them.
        ImageUnavailableError: Vectors are pooled, so a page must be encoded again, but its image is unavailable.
    """
    if not has_spans(encoder):
        raise MissingEncoderError(f"{type(encoder).__name__} has no token_spans, so matched words are unknown.")
    token_spans = encoder.token_spans
    vectors_of_query = query_vectors(encoder, [query])[0]
    query_spans = token_spans(query, "query") if len(vectors_of_query) else []
    # A pooled vector stands for several tokens, so the document is encoded again without pooling.
    unpooled: Any = encoder if isinstance(encoder, ReducedEncoder) and encoder.pooling > 1 else None
    centering = Centering(background)
    centered_query = centering(vectors_of_query)
    of_pages: _SimilaritiesOfPages | None = None
    explained: dict[str, Explanation | PageExplanation] = {}
    for record in records.values():
        document = record.document
        vectors: Any = record.vectors
        if document.image is None:
            # A blank document has no vectors, and the encoder is not asked for those of its markers.
            if unpooled and len(vectors):
                vectors = unpooled.encode_unpooled([document.text_to_encode])[0]
            document_spans = token_spans(document.text_to_encode, "document") if len(vectors) else []
            vectors = np.asarray(vectors, np.float32)
            if problem := _other_vectors(document, vectors, document_spans):
                if leave_out_lost:
                    continue
                raise MissingEncoderError(problem)
            explained[document.id] = explain(
                query,
                document,
                centered_query @ centering(vectors).T,
                query_spans,
                document_spans,
                score=_maxsim(vectors_of_query, vectors),
            )
            continue
        if not (reads_images(encoder) and hasattr(encoder, "patch_boxes")):
            raise MissingEncoderError(f"{type(encoder).__name__} has no patch_boxes, so matched patches are unknown.")
        size = document.image.loaded_size(encoder.viewed_size)
        if unpooled:
            try:
                image = document.image.load(encoder.viewed_size)
            except ImageUnavailableError:
                if leave_out_lost:
                    continue
                raise
            size, vectors = image.size, unpooled.encode_images_unpooled([image])[0]
        vectors = np.asarray(vectors, np.float32)
        if problem := _other_vectors(document, vectors, encoder.patch_boxes(size)):
            if leave_out_lost:
                continue
            raise MissingEncoderError(problem)
        if of_pages is None:
            of_pages = _SimilaritiesOfPages(encoder, vectors_of_query, background)
        explained[document.id] = explain_page(
            query,
            document,
            of_pages(vectors),
            query_spans,
            encoder.patch_boxes(size),
            of_pages.limits,
            score=_maxsim(vectors_of_query, vectors),
        )
    pages = on_one_scale([page for page in explained.values() if isinstance(page, PageExplanation)])
    return explained | {page.document.id: page for page in pages}


class _SimilaritiesOfPages:
    """Similarities of a query's token vectors with page vectors, without the common part of the encoder's queries.

    What pages have in common is mostly their content: the color of the paper. A query may ask for it.

    Attributes:
        limits: The similarities of unrelated pages, and of the query with itself.
    """

    def __init__(self, encoder: Encoder, vectors_of_query: NDArray[np.float32], background: Background) -> None:
        self._centering = Centering(Background.of(query_vectors(encoder, PROBE_QUERIES), encoder.dim))
        self._query = self._centering(vectors_of_query)
        unrelated = Background(self._centering(background.vectors), background.offsets)
        identity = (self._query @ self._query.T).max(axis=1, initial=0)
        self.limits = Range(unrelated.null_similarities(self._query), identity)

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the similarities, (query tokens, vectors)."""
        return np.asarray(self._query @ self._centering(vectors).T)


def _maxsim(query: NDArray[np.float32], vectors: NDArray[np.float32]) -> float:
    similarities = query @ vectors.T
    return float(similarities.max(axis=1).sum()) if similarities.size else 0.0


def _other_vectors(document: Document, vectors: NDArray[np.float32], parts: Sequence[object]) -> str | None:
    """Return why vectors cannot be explained that the encoder does not make of a document; None if it makes as many."""
    if len(vectors) == len(parts):
        return None
    return (
        f"{document.id!r} has {len(vectors)} vectors, and the encoder makes {len(parts)} of it. They were added with "
        "vectors=, or the encoder has changed, so it is unknown what they stand for."
    )
