"""Stored documents explained with the help of the encoder that made their vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.encoders import ReducedEncoder, has_spans, reads_images
from late_interaction.errors import ImageUnavailableError, MissingEncoderError
from late_interaction.explanations.patches import explain_page
from late_interaction.explanations.words import explain
from late_interaction.retrieval.encoding import encode_queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from late_interaction.documents import Document
    from late_interaction.encoders import Encoder
    from late_interaction.explanations.patches import PageExplanation
    from late_interaction.explanations.words import Explanation

__all__ = ["explain_documents"]


def explain_documents(
    encoder: Encoder,
    query: str,
    documents: Sequence[Document],
    stored: Mapping[str, NDArray[np.floating[Any]]],
    *,
    leave_out_lost: bool = False,
) -> dict[str, Explanation | PageExplanation]:
    """By id, which words or patches of each document the words of a query meet.

    Args:
        encoder: The encoder.
        query: The query.
        documents: The documents.
        stored: Their vectors by id, (tokens, dim).
        leave_out_lost: Leave out pages whose image is needed and gone, instead of raising.

    Raises:
        MissingEncoderError: The encoder cannot say what its vectors stand for.
        ImageUnavailableError: Vectors are pooled, so a page must be encoded again, and its image is gone.
    """
    if not has_spans(encoder):
        raise MissingEncoderError(f"{type(encoder).__name__} has no token_spans, so there are no words to show.")
    token_spans = encoder.token_spans
    query_vectors, query_spans = encode_queries(encoder, [query])[0], token_spans(query, "query")
    # A stored vector that is pooled stands for several tokens: what it was made of is encoded again.
    unpooled: Any = encoder if isinstance(encoder, ReducedEncoder) and encoder.pooling > 1 else None
    explained: dict[str, Explanation | PageExplanation] = {}
    for document in documents:
        vectors: Any = stored[document.id]
        if document.image is None:
            if unpooled:
                vectors = unpooled.encode_unpooled([document.text_to_encode])[0]
            document_spans = token_spans(document.text_to_encode, "document")
            similarities = query_vectors @ np.asarray(vectors, np.float32).T
            explained[document.id] = explain(query, document, similarities, query_spans, document_spans)
            continue
        if not (reads_images(encoder) and hasattr(encoder, "patch_boxes")):
            raise MissingEncoderError(f"{type(encoder).__name__} has no patch_boxes, so there are no patches to show.")
        size = document.image.loaded_size(encoder.viewed_size)
        if unpooled:
            try:
                image = document.image.load(encoder.viewed_size)
            except ImageUnavailableError:
                if leave_out_lost:
                    continue
                raise
            size, vectors = image.size, unpooled.encode_images_unpooled([image])[0]
        similarities = query_vectors @ np.asarray(vectors, np.float32).T
        explained[document.id] = explain_page(query, document, similarities, query_spans, encoder.patch_boxes(size))
    return explained
