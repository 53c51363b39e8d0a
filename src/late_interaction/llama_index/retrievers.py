"""First-stage retrieval in LlamaIndex."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore

from late_interaction.adapters.arguments import as_searchable, check_known, index_of
from late_interaction.adapters.event_loop import async_search
from late_interaction.adapters.results import MATCH_SPANS, Found, check_search, search_many
from late_interaction.cascades import Cascade
from late_interaction.errors import InvalidRequestError
from late_interaction.llama_index.nodes import to_node, with_hidden
from late_interaction.llama_index.queries import query_of, restriction
from late_interaction.validation import check_ids, check_k

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from llama_index.core.schema import QueryBundle
    from llama_index.core.vector_stores.types import MetadataFilters

    from late_interaction.adapters.arguments import IndexOrPath
    from late_interaction.filters import Where
    from late_interaction.index import Mode

__all__ = ["RETRIEVER_SETTINGS", "LateInteractionRetriever", "check_settings"]

RETRIEVER_SETTINGS = (
    *("similarity_top_k", "where", "filters", "node_ids", "doc_ids", "mode", "explain"),
    *("callback_manager", "object_map", "objects", "verbose"),  # those of LlamaIndex's `BaseRetriever`
)
"""The arguments of `LateInteractionRetriever`, besides the index."""

_DEFAULT_TOP_K = 2  # as of LlamaIndex's own retrievers

_INSTEAD = {
    "vector_store_query_mode": "mode= takes 'late', 'lexical' or 'hybrid'",
    "alpha": "mode='hybrid' fuses both rankings alike",
    "sparse_top_k": "similarity_top_k= is the number of nodes in every mode",
    "hybrid_top_k": "similarity_top_k= is the number of nodes in every mode",
    "embed_model": "the index has its own encoder",
}
"""What `VectorStoreIndex` has, and what there is here."""


def check_settings(given: Iterable[str], known: Iterable[str], method: str) -> None:
    """Refuse arguments that nobody knows. See `check_known`."""
    for name in given:
        if name in _INSTEAD and name not in known:
            raise InvalidRequestError(f"{method} has no argument {name!r}: {_INSTEAD[name]}.")
    check_known(given, known, method)


class LateInteractionRetriever(BaseRetriever):
    """Retrieves nodes from an `Index` by late interaction, or from a `Cascade` by its stages.

    Filters are applied before scoring, and may be combined. The score of a node is `Hit.relevance`, in [0, 1], which a
    ``similarity_cutoff`` of LlamaIndex compares; in the mode ``hybrid`` it tells ranks alone. The image of a page is
    rendered when it is first read. Settings are checked when the retriever is made.

    Of a `QueryBundle`, ``custom_embedding_strs`` (HyDE) are searched for in place of the query, joined to one text, and
    so is an ``embedding`` of (tokens, dim), or an ``image_path`` where the encoder reads pages.

    **Thread safety.** Any thread may call, and so may any event loop.

    **Limits.** ``explain``, ``lexical`` and ``hybrid`` need an engine with these capabilities; the local one has them.

    Args:
        index: The index, or the path or address of one, which is opened for reading; or a cascade.
        similarity_top_k: How many nodes, 2 by default; of a cascade, at most what its last stage keeps, which is its
            default.
        where: Only nodes that pass this filter.
        filters: Only nodes that pass these filters of LlamaIndex, nested to any depth.
        node_ids: Only these nodes.
        doc_ids: Only nodes of these source documents.
        mode: ``late``, ``lexical`` or ``hybrid``. A cascade has its stages instead.
        explain: Put the words that match into the metadata of each node, under ``match_spans``, which is shown neither
            to models nor to encoders.
        **kwargs: Passed to LlamaIndex's `BaseRetriever`.
    """

    def __init__(
        self,
        *,
        index: IndexOrPath | Cascade,
        similarity_top_k: int | None = None,
        where: Where | None = None,
        filters: MetadataFilters | None = None,
        node_ids: Sequence[str] | None = None,
        doc_ids: Sequence[str] | None = None,
        mode: Mode = "late",
        explain: bool = False,
        **kwargs: Any,
    ) -> None:
        check_settings(kwargs, RETRIEVER_SETTINGS, type(self).__name__)
        super().__init__(**kwargs)
        self.index = as_searchable(index)
        if similarity_top_k is None:
            similarity_top_k = self.index.max_k if isinstance(self.index, Cascade) else _DEFAULT_TOP_K
        self.similarity_top_k = similarity_top_k
        self.where = where
        self.filters = filters
        self.node_ids = None if node_ids is None else check_ids(node_ids)
        self.doc_ids = None if doc_ids is None else check_ids(doc_ids)
        self.mode = mode
        self.explain = explain
        check_search(self.index, check_k(similarity_top_k, "similarity_top_k"), **self._options())

    def _options(self) -> dict[str, Any]:
        where = restriction(self.where, self.filters, self.doc_ids)
        return {"where": where, "candidates": self.node_ids, "mode": self.mode, "explain": self.explain}

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        query = query_of(query_bundle, index_of(self.index))
        [found] = search_many(self.index, [query], self.similarity_top_k, **self._options())
        return [self._node(each) for each in found]

    _aretrieve = async_search(_retrieve)

    def _node(self, found: Found) -> NodeWithScore:
        node = to_node(found.hit.document)
        if self.explain:
            node = with_hidden(node, MATCH_SPANS, found.match_spans)
        return NodeWithScore(node=node, score=found.hit.relevance)
