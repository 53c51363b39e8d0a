"""What LlamaIndex's `QueryBundle` and `VectorStoreQuery` ask of an index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llama_index.core.vector_stores.types import VectorStoreQueryMode

from late_interaction.adapters.arguments import takes_images
from late_interaction.adapters.filters import all_of
from late_interaction.documents import Document
from late_interaction.errors import InvalidRequestError, UnsupportedError
from late_interaction.llama_index.filters import to_filter
from late_interaction.llama_index.no_embedding import TextsOfQuery
from late_interaction.llama_index.nodes import REF_DOC_ID
from late_interaction.validation import check_fraction, check_ids, check_k

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llama_index.core.schema import QueryBundle
    from llama_index.core.vector_stores.types import MetadataFilters, VectorStoreQuery

    from late_interaction.filters import Filter, Where
    from late_interaction.index import Index, Mode

__all__ = ["QUERY_SETTINGS", "query_of", "restriction", "search_arguments"]

QUERY_SETTINGS = ("where", "mmr_threshold", "mmr_prefetch_k")
"""What `LateInteractionVectorStore.query` takes besides the query: the ``vector_store_kwargs`` of a retriever."""

_MODES: dict[VectorStoreQueryMode, Mode] = {
    VectorStoreQueryMode.DEFAULT: "late",
    VectorStoreQueryMode.MMR: "late",
    VectorStoreQueryMode.SPARSE: "lexical",
    VectorStoreQueryMode.TEXT_SEARCH: "lexical",
    VectorStoreQueryMode.HYBRID: "hybrid",
}
_BALANCED, _LEXICAL, _LATE = 0.5, 0, 1  # what ``alpha`` may be in the mode hybrid
_MMR_THRESHOLD = 0.5  # LlamaIndex's own default


def query_of(bundle: QueryBundle, index: Index) -> Any:
    """Return what to search for: a text, token vectors, or a document with an image.

    The text is ``custom_embedding_strs`` where there are any, such as the hypothetical answers of HyDE, joined: MaxSim
    is a sum over the tokens of a query, so all of them count. An ``embedding`` of (tokens, dim) is searched for itself.
    What cannot be compared is meant for other retrievers of the same bundle, and not used: one vector for the whole
    text, and an image where the encoder reads text alone.

    Raises:
        InvalidRequestError: The bundle has nothing that can be compared.
    """
    text = _joined(bundle.custom_embedding_strs or [bundle.query_str])
    if bundle.image_path is not None and takes_images(index):
        return Document(text, image=bundle.image_path)
    return _text_or_vectors(text, bundle.embedding)


def restriction(where: Where | None, filters: MetadataFilters | None, doc_ids: Sequence[str] | None) -> Filter | None:
    """Return one filter for the restrictions of a search, or None. Only nodes that pass all of them are found.

    Raises:
        InvalidFilterError: A filter is malformed.
        InvalidRequestError: ``doc_ids`` is one string.
    """
    of_sources = None if doc_ids is None else {REF_DOC_ID: {"$in": check_ids(doc_ids)}}
    return all_of(where, None if filters is None else to_filter(filters), of_sources)


def search_arguments(query: VectorStoreQuery, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `Index.search` for a query to a vector store.

    Args:
        query: The query. Its ``node_ids`` are no restriction if they are empty, as `VectorStoreIndex` gives them.
        settings: Some of `QUERY_SETTINGS`.

    Raises:
        UnsupportedError: A mode or a setting that the index does not have.
        InvalidRequestError: A value is out of range, or the query has no text.
    """
    mode = VectorStoreQueryMode(query.mode)
    if mode not in _MODES:
        known = ", ".join(f"{known.value!r}" for known in _MODES)
        raise UnsupportedError(f"The query mode {mode.value!r} is not available. Allowed: {known}.")
    for name in ("output_fields", "embedding_field"):
        if getattr(query, name) is not None:
            raise UnsupportedError(f"{name}= cannot be used: nodes come back whole, and there is one field.")
    return {
        "query": _text_or_vectors(query.query_str, query.query_embedding),
        "where": restriction(settings.get("where"), query.filters, query.doc_ids),
        "candidates": query.node_ids or None,
        **_ranking(query, mode),
        **_diversity(query, mode, settings),
    }


def _ranking(query: VectorStoreQuery, mode: VectorStoreQueryMode) -> dict[str, Any]:
    """Return the mode of the index and the number of hits."""
    ranked: Mode = _MODES[mode]
    top_k = {"similarity_top_k": query.similarity_top_k}
    if mode is not VectorStoreQueryMode.HYBRID:
        if query.alpha is not None or query.hybrid_top_k is not None:
            raise UnsupportedError(f"alpha= and hybrid_top_k= belong to the mode 'hybrid', not {mode.value!r}.")
        if query.sparse_top_k is not None:
            if ranked != "lexical":
                raise UnsupportedError(f"sparse_top_k= belongs to the mode 'sparse', not {mode.value!r}.")
            top_k = {"sparse_top_k": query.sparse_top_k}
    else:
        if query.sparse_top_k is not None:
            raise UnsupportedError("sparse_top_k= cannot be chosen in the mode 'hybrid': leave it out.")
        if query.alpha not in (None, _BALANCED, _LEXICAL, _LATE):
            raise UnsupportedError(
                f"alpha={query.alpha!r} is not available: the mode 'hybrid' fuses ranks, late and lexical alike. "
                "Allowed: 0.5; 1 for late alone; 0 for lexical alone."
            )
        ranked = {_LATE: "late", _LEXICAL: "lexical"}.get(query.alpha, ranked)  # type: ignore[call-overload]
        if query.hybrid_top_k is not None:
            top_k = {"hybrid_top_k": query.hybrid_top_k}
    [(name, number)] = top_k.items()
    return {"k": check_k(number, name), "mode": ranked}


def _diversity(query: VectorStoreQuery, mode: VectorStoreQueryMode, settings: dict[str, Any]) -> dict[str, Any]:
    """Return how the mode MMR chooses hits; nothing for the others."""
    threshold = query.mmr_threshold if query.mmr_threshold is not None else settings.get("mmr_threshold")
    pool = settings.get("mmr_prefetch_k")
    if mode is not VectorStoreQueryMode.MMR:
        if threshold is not None or pool is not None:
            raise UnsupportedError(f"mmr_threshold= and mmr_prefetch_k= belong to the mode 'mmr', not {mode.value!r}.")
        return {}
    threshold = check_fraction(_MMR_THRESHOLD if threshold is None else threshold, "mmr_threshold")
    return {"diversity": 1 - threshold, "diversity_pool": pool if pool is None else check_k(pool, "mmr_prefetch_k")}


def _text_or_vectors(text: str | None, embedding: Sequence[Any] | None) -> Any:
    if isinstance(embedding, TextsOfQuery):
        return _joined(embedding.texts)
    if embedding is None or not len(embedding):
        if text is None:
            raise InvalidRequestError("The query has no text: give query_str, or an embedding of (tokens, dim).")
        return text
    if np.ndim(embedding[0]):
        return np.asarray(embedding, np.float32)
    if not text:
        raise InvalidRequestError(
            "The query has one vector and no text. A late-interaction query has one vector for each token: give "
            "query_str, or an embedding of (tokens, dim)."
        )
    return text


def _joined(texts: Sequence[str]) -> str:
    return "\n".join(texts)
