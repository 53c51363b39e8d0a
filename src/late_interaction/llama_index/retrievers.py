"""First-stage retrieval in LlamaIndex."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore

from late_interaction.adapters.arguments import as_index
from late_interaction.adapters.event_loop import async_search
from late_interaction.adapters.filters import all_of
from late_interaction.adapters.results import MATCH_SPANS, Found, search_many
from late_interaction.llama_index.filters import to_filter
from late_interaction.llama_index.nodes import REF_DOC_ID, to_node, with_hidden

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llama_index.core.schema import QueryBundle
    from llama_index.core.vector_stores.types import MetadataFilters

    from late_interaction.adapters.arguments import IndexOrPath
    from late_interaction.filters import Where
    from late_interaction.index import Mode

__all__ = ["RETRIEVER_SETTINGS", "LateInteractionRetriever"]

RETRIEVER_SETTINGS = ("similarity_top_k", "where", "filters", "node_ids", "doc_ids", "mode", "explain")
"""The arguments of `LateInteractionRetriever` that it does not pass on to LlamaIndex, besides the index."""


class LateInteractionRetriever(BaseRetriever):
    """Retrieves nodes from an `Index` by late interaction.

    Filters are applied before scoring, and may be combined. The score of a node is `Hit.relevance`, in [0, 1], which a
    ``similarity_cutoff`` of LlamaIndex compares; in the mode ``hybrid`` it tells ranks alone. The image of a page is
    rendered when it is first read.

    **Thread safety.** Any thread may call, and so may any event loop.

    **Limits.** ``explain``, ``lexical`` and ``hybrid`` need an engine with these capabilities; the local one has them.

    Args:
        index: The index, or the path of one, which is opened for reading.
        similarity_top_k: How many nodes.
        where: Only nodes that pass this filter.
        filters: Only nodes that pass these filters of LlamaIndex, nested to any depth.
        node_ids: Only these nodes.
        doc_ids: Only nodes of these source documents.
        mode: ``late``, ``lexical`` or ``hybrid``.
        explain: Put the words that match into the metadata of each node, under ``match_spans``, which is shown neither
            to models nor to encoders.
        **kwargs: Passed to LlamaIndex's `BaseRetriever`.
    """

    def __init__(
        self,
        *,
        index: IndexOrPath,
        similarity_top_k: int = 2,
        where: Where | None = None,
        filters: MetadataFilters | None = None,
        node_ids: Sequence[str] | None = None,
        doc_ids: Sequence[str] | None = None,
        mode: Mode = "late",
        explain: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.index = as_index(index, read_only=True)
        self.similarity_top_k = similarity_top_k
        self.where = where
        self.filters = filters
        self.node_ids = node_ids
        self.doc_ids = doc_ids
        self.mode = mode
        self.explain = explain

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        of_sources = None if self.doc_ids is None else {REF_DOC_ID: {"$in": list(self.doc_ids)}}
        where = all_of(self.where, None if self.filters is None else to_filter(self.filters), of_sources)
        [found] = search_many(
            self.index,
            [query_bundle.query_str],
            self.similarity_top_k,
            where=where,
            candidates=self.node_ids,
            mode=self.mode,
            explain=self.explain,
        )
        return [self._node(each) for each in found]

    _aretrieve = async_search(_retrieve)

    def _node(self, found: Found) -> NodeWithScore:
        node = to_node(found.hit.document)
        if self.explain:
            node = with_hidden(node, MATCH_SPANS, found.match_spans)
        return NodeWithScore(node=node, score=found.hit.relevance)
