"""First-stage retrieval in LlamaIndex."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from llama_index.core.retrievers import BaseRetriever

from late_interaction.adapters.arguments import as_index
from late_interaction.adapters.event_loop import in_thread
from late_interaction.filters import AllOf, Filter, parse
from late_interaction.index import Index, Mode
from late_interaction.llama_index.filters import to_filter
from late_interaction.llama_index.nodes import REF_DOC_ID, hit_to_node, with_matches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llama_index.core.schema import NodeWithScore, QueryBundle
    from llama_index.core.vector_stores.types import MetadataFilters

    from late_interaction.filters import Where

__all__ = ["LateInteractionRetriever"]


class LateInteractionRetriever(BaseRetriever):
    """Retrieves nodes from an `Index` by late interaction.

    What restricts the nodes is looked at before they are scored, and may be combined.

    Args:
        index: The index, or the path of one, which is opened for reading.
        similarity_top_k: How many nodes.
        where: Only nodes that pass this filter.
        filters: Only nodes that pass these filters of LlamaIndex, nested as one likes.
        node_ids: Only these nodes.
        doc_ids: Only nodes of these source documents.
        mode: ``late``, ``lexical`` or ``hybrid``.
        explain: Put the words that match into the metadata of each node, under ``match_spans``, which is shown neither
            to models nor to encoders.
        **kwargs: Passed to LlamaIndex's `BaseRetriever`.

    The score of a node is its relevance in [0, 1].
    """

    def __init__(
        self,
        *,
        index: Index | str | os.PathLike[str],
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
        query = query_bundle.query_str
        hits = self.index.search(
            query, self.similarity_top_k, where=self._restriction(), candidates=self.node_ids, mode=self.mode
        )
        found = [hit_to_node(hit) for hit in hits]
        if self.explain:
            explanations = self.index.explain_many(query, [hit.id for hit in hits])
            found = [with_matches(node, explanations.get(node.node_id)) for node in found]
        return found

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await in_thread(self._retrieve, query_bundle)

    def _restriction(self) -> Filter | None:
        """All that restricts the nodes but their ids, as one filter."""
        clauses: list[Filter] = []
        if self.where is not None:
            clauses.append(parse(self.where))
        if self.filters is not None:
            clauses.append(to_filter(self.filters))
        if self.doc_ids is not None:
            clauses.append(parse({REF_DOC_ID: {"$in": list(self.doc_ids)}}))
        return AllOf(tuple(clauses)) if clauses else None
