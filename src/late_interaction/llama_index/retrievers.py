"""First-stage retrieval in LlamaIndex."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from llama_index.core.retrievers import BaseRetriever

from late_interaction.index import Index, Mode, as_index
from late_interaction.llama_index.nodes import hit_to_node

if TYPE_CHECKING:
    from llama_index.core.schema import NodeWithScore, QueryBundle

    from late_interaction.filters import Where

__all__ = ["LateInteractionRetriever"]


class LateInteractionRetriever(BaseRetriever):
    """Retrieves nodes from an `Index` by late interaction.

    Args:
        index: The index, or the path of one, which is opened for reading.
        similarity_top_k: How many nodes.
        where: Only nodes that pass this filter.
        mode: ``late``, ``lexical`` or ``hybrid``.
        **kwargs: Passed to LlamaIndex's `BaseRetriever`.

    The score of a node is its relevance in [0, 1].
    """

    def __init__(
        self,
        *,
        index: Index | str | os.PathLike[str],
        similarity_top_k: int = 2,
        where: Where | None = None,
        mode: Mode = "late",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.index = as_index(index, read_only=True)
        self.similarity_top_k = similarity_top_k
        self.where = where
        self.mode = mode

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self.index.search(query_bundle.query_str, self.similarity_top_k, where=self.where, mode=self.mode)
        return [hit_to_node(hit) for hit in hits]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)
