"""The body of every framework's reranker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from late_interaction.adapters.arguments import as_index, takes_images
from late_interaction.errors import InvalidRequestError
from late_interaction.index_encoder import as_encoder
from late_interaction.retrieval.reranking import rerank

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from late_interaction.documents import Document
    from late_interaction.encoders import Encoder
    from late_interaction.index import Index

__all__ = ["opened", "ranked", "sharing_encoder"]


def opened(*, index: object, encoder: object, store: bool) -> dict[str, Any]:
    """Return the index and the encoder that a reranker is given, opened or loaded; one of them is None.

    Args:
        index: An `Index`, or the path or address of one, which is opened for reading; with ``store`` for writing.
        encoder: An `Encoder`, or what `load_encoder` takes; instead of an index.
        store: Whether documents that the index does not hold will be added to it.

    Raises:
        InvalidRequestError: Both or neither is given, or there is no index to store in.
    """
    if (index is None) == (encoder is None):
        raise InvalidRequestError("Give either index= or encoder=.")
    if index is not None:
        return {"index": as_index(index, read_only=not store), "encoder": None}
    if store:
        raise InvalidRequestError("store=True needs an index= to store in.")
    return {"index": None, "encoder": as_encoder(encoder)}


def sharing_encoder(memo: dict[int, Any] | None, encoder: Encoder | None) -> dict[int, Any]:
    """Return the memo for a deep copy of a reranker, whose encoder is not copied: any thread may call it."""
    memo = {} if memo is None else memo
    if encoder is not None:
        memo[id(encoder)] = encoder
    return memo


def ranked(
    query: str,
    given: Iterable[Any],
    convert: Callable[..., Document],
    *,
    index: Index | None,
    encoder: Encoder | None,
    top_n: int,
    store: bool,
) -> list[tuple[int, float]]:
    """Return the positions of the best of a framework's documents, and their relevance in [0, 1], best first.

    Args:
        query: The query.
        given: The framework's documents.
        convert: Called with each of them, ``as_image`` and ``keep_metadata`` (see `documents.as_document`).
        index: The index whose stored vectors are used.
        encoder: What encodes all of them, without an index.
        top_n: How many to return.
        store: Add those that the index does not hold to it.
    """
    as_image = takes_images(index, encoder)
    candidates = [convert(document, as_image=as_image, keep_metadata=store) for document in given]
    if encoder is not None:
        hits = rerank(query, candidates, encoder=encoder, k=top_n)
    elif index is not None:
        hits = index.rerank(query, documents=candidates, k=top_n, store=store)
    # By identity, because several documents may have one id.
    positions = {id(candidate): position for position, candidate in enumerate(candidates)}
    return [(positions[id(hit.document)], hit.relevance) for hit in hits]
