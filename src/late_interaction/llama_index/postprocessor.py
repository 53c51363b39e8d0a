"""Second-stage reranking in LlamaIndex."""

from __future__ import annotations

import os
from typing import Any

from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle

from late_interaction.compatibility import as_encoder
from late_interaction.encoders import Encoder
from late_interaction.errors import InvalidRequestError
from late_interaction.index import Index, as_index
from late_interaction.llama_index.nodes import candidate
from late_interaction.reranking import rerank

__all__ = ["LateInteractionRerank"]


class LateInteractionRerank(BaseNodePostprocessor):
    """Orders nodes by MaxSim and keeps the best.

    With an index, nodes it holds (same id, same text) are scored from their stored vectors; only the rest are encoded.
    With an encoder alone, all are encoded. The nodes given are never changed; scores are relevances in [0, 1].

    Args:
        index: An `Index`, or the path of one, which is opened for reading.
        encoder: An `Encoder`, or what `load_encoder` takes; instead of an index.
        top_n: How many nodes to keep.
    """

    top_n: int = Field(default=3, gt=0, description="How many nodes to keep.")
    _index: Index | None = PrivateAttr()
    _encoder: Any = PrivateAttr()

    def __init__(
        self,
        *,
        index: Index | str | os.PathLike[str] | None = None,
        encoder: Encoder | str | os.PathLike[str] | None = None,
        top_n: int = 3,
        **kwargs: Any,
    ) -> None:
        if (index is None) == (encoder is None):
            raise InvalidRequestError("Give either index= or encoder=.")
        super().__init__(top_n=top_n, **kwargs)  # type: ignore[call-arg]  # a pydantic field
        self._index = None if index is None else as_index(index, read_only=True)
        self._encoder = None if encoder is None else as_encoder(encoder)

    @classmethod
    def class_name(cls) -> str:
        """The name LlamaIndex knows the class by."""
        return "LateInteractionRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise InvalidRequestError("Reranking needs the query.")
        candidates = [candidate(node.node) for node in nodes]
        if self._index is not None:
            hits = self._index.rerank(query_bundle.query_str, documents=candidates, k=self.top_n)
        else:
            hits = rerank(query_bundle.query_str, candidates, encoder=self._encoder, k=self.top_n)
        positions = {id(document): position for position, document in enumerate(candidates)}
        return [NodeWithScore(node=nodes[positions[id(hit.document)]].node, score=hit.relevance) for hit in hits]
