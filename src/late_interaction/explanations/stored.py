"""Stored documents explained with the help of the encoder that made their vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.encoders import ReducedEncoder, has_spans, reads_images
from late_interaction.encoding import encode_queries
from late_interaction.errors import MissingEncoderError
from late_interaction.explanations.patches import explain_page
from late_interaction.explanations.words import explain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from late_interaction.documents import Document
    from late_interaction.encoders import Encoder
    from late_interaction.explanations.patches import PageExplanation
    from late_interaction.explanations.words import Explanation

__all__ = ["explain_documents"]


def explain_documents(
    encoder: Encoder, query: str, documents: Sequence[Document], stored: Mapping[str, NDArray[np.floating[Any]]]
) -> dict[str, Explanation | PageExplanation]:
    """By id, which words or patches of each document the words of a query meet.

    Args:
        encoder: The encoder.
        query: The query.
        documents: The documents.
        stored: Their vectors by id, (tokens, dim).

    Raises:
        MissingEncoderError: The encoder cannot say what its vectors stand for.
        ImageUnavailableError: Vectors are pooled, so a page must be encoded again, and its image is gone.
    """
    if not has_spans(encoder):
        raise MissingEncoderError(f"{type(encoder).__name__} has no token_spans, so there are no words to show.")
    query_vectors = encode_queries(encoder, [query])[0]
    token_spans = encoder.token_spans
    query_spans = token_spans(query, "query")
    explained: dict[str, Explanation | PageExplanation] = {}
    for document in documents:
        vectors = _unpooled(encoder, document, stored[document.id])
        similarities = query_vectors @ np.asarray(vectors, np.float32).T
        if document.image is None:
            document_spans = token_spans(document.text_to_encode, "document")
            explained[document.id] = explain(query, document, similarities, query_spans, document_spans)
        elif reads_images(encoder) and hasattr(encoder, "patch_boxes"):
            boxes = encoder.patch_boxes(document.image.loaded_size(encoder.viewed_size))
            explained[document.id] = explain_page(query, document, similarities, query_spans, boxes)
        else:
            raise MissingEncoderError(f"{type(encoder).__name__} has no patch_boxes, so there are no patches to show.")
    return explained


def _unpooled(encoder: Encoder, document: Document, stored: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """One vector for each token or patch, where a stored one stands for several."""
    if not (isinstance(encoder, ReducedEncoder) and encoder.pooling > 1):
        return stored
    if document.image is None:
        return encoder.encode_unpooled([document.text_to_encode])[0]
    unpooled: NDArray[np.float32] = encoder.encode_images_unpooled([document.image.load(encoder.viewed_size)])[0]
    return unpooled
