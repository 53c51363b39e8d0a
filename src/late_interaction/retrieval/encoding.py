"""Encode documents in bounded windows, and queries."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.encoders.protocol import reads_images, reads_text
from late_interaction.encoders.reduced import UnusableVectorsError
from late_interaction.engines import Record
from late_interaction.errors import InvalidRequestError, InvalidVectorsError
from late_interaction.images.page_image import load_pages
from late_interaction.validation import check_query, check_vectors, is_invisible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from late_interaction.documents import Document
    from late_interaction.encoders import Encoder
    from late_interaction.retrieval.truncation import Truncation

__all__ = ["encode_documents", "encode_queries", "is_blank", "refusal"]

_WINDOW_DOCUMENTS = 128  # encoded together: enough to form batches of similar length, few enough to bound memory
_WINDOW_PIXELS = 24_000_000  # of the page images among them, which are in memory at once as 3 bytes each


def encode_documents(
    encoder: Encoder,
    documents: Iterable[Document],
    report: Callable[[int], object] | None = None,
    *,
    truncation: Truncation,
) -> Iterator[Record]:
    """Yield each document with its token vectors, (tokens, dim), in order. The vectors are not checked.

    A blank text has no vectors, whatever markers the encoder would add. An image is never blank.

    Args:
        encoder: The encoder.
        documents: The documents.
        report: Called with the number of documents that were encoded since the last call.
        truncation: Is asked about each text before it is encoded.

    Raises:
        InvalidRequestError: The encoder does not read text, or does not read images.
        ImageUnavailableError: The image of a page cannot be read.
    """
    for window in _windows(encoder, documents):
        truncated: set[str] = set()
        for document, vectors in zip(window, _encode(encoder, window, truncation, truncated), strict=True):
            yield Record(document, vectors, truncated=document.id in truncated)
        if report is not None:
            report(len(window))


def _windows(encoder: Encoder, documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Yield the documents in groups that fit into memory together with their images."""
    window: list[Document] = []
    pixels = 0
    for document in documents:
        window.append(document)
        pixels += _pixels(encoder, document)
        if len(window) == _WINDOW_DOCUMENTS or pixels >= _WINDOW_PIXELS:
            yield window
            window, pixels = [], 0
    if window:
        yield window


def _pixels(encoder: Encoder, document: Document) -> int:
    """Return the number of pixels that a document's image has when it is loaded for the encoder.

    Raises:
        InvalidRequestError: The encoder cannot encode the document.
    """
    if reason := refusal(encoder, document):
        raise InvalidRequestError(f"{document.id!r} cannot be encoded: {reason}")
    if document.image is None or not reads_images(encoder):
        return 0
    width, height = document.image.loaded_size(encoder.viewed_size)
    return width * height


def refusal(encoder: Encoder, document: Document) -> str | None:
    """Return why the encoder cannot encode a document: its modality, or the shape of its image. None if it can."""
    if document.image is None:
        if reads_text(encoder):
            return None
        return (
            f"it is a text, and {type(encoder).__name__} encodes page images only. Keep text in an index "
            "of its own, or use one that encodes both."
        )
    if not reads_images(encoder):
        return (
            f"it is a page image, and {type(encoder).__name__} encodes text only. Use an encoder for pages, for "
            "example vidore/colqwen2.5-v0.2, or give the text of the page alone."
        )
    try:
        encoder.viewed_size(document.image.width, document.image.height)
    except InvalidRequestError as error:
        return str(error)
    return None


def _encode(encoder: Encoder, window: list[Document], truncation: Truncation, truncated: set[str]) -> Iterator[Any]:
    # Of a blank text, an encoder would return the vectors of its markers, which are similar to any short query.
    passages = [document for document in window if document.image is None and not is_invisible(document.text_to_encode)]
    truncated |= truncation.documents(encoder, passages)
    with _named(passages):
        texts = [document.text_to_encode for document in passages]
        encoded_texts = iter(_same_length(encoder.encode_documents(texts), texts) if texts else ())
    pages = [document for document in window if document.image is not None]
    encoded_pages: Iterator[Any] = iter(())
    if pages and reads_images(encoder):
        images = load_pages([document.image for document in pages if document.image is not None], encoder.viewed_size)
        with _named(pages):
            encoded_pages = iter(_same_length(encoder.encode_images(images), images))
    for document in window:
        if document.image is not None:
            yield next(encoded_pages)
        elif is_invisible(document.text_to_encode):
            yield _no_vectors(encoder)
        else:
            yield next(encoded_texts)


@contextmanager
def _named(documents: list[Document]) -> Iterator[None]:
    """Name the document whose vectors cannot be used."""
    try:
        yield
    except UnusableVectorsError as error:
        if not error.position < len(documents):
            raise
        raise InvalidVectorsError(f"Vectors of {documents[error.position].id!r}: {error.reason}.") from None


def encode_queries(encoder: Encoder, queries: Sequence[str]) -> list[NDArray[np.float32]]:
    """Return the token vectors of each query, (query tokens, dim) float32; a blank query has none.

    Raises:
        InvalidVectorsError: The encoder returned anything else.
    """
    visible = [query for query in queries if not is_blank(query)]
    encoded = iter(_same_length(encoder.encode_queries(visible), visible) if visible else ())
    return [
        _no_vectors(encoder)
        if is_blank(query)
        else check_vectors(next(encoded), encoder.dim, "The encoder's query vectors")
        for query in queries
    ]


def is_blank(query: object) -> bool:
    """Return whether a query has no visible character, so there is nothing to search for.

    Raises:
        InvalidRequestError: The query is not a string.
    """
    return is_invisible(check_query(query))


def _no_vectors(encoder: Encoder) -> NDArray[np.float32]:
    return np.empty((0, encoder.dim), np.float32)


def _same_length(encoded: Sequence[Any], given: Sequence[Any]) -> Sequence[Any]:
    if not hasattr(encoded, "__len__") or len(encoded) != len(given):
        raise InvalidVectorsError(f"The encoder must return one array for each input, {len(given)} in this call.")
    return encoded
