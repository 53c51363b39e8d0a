"""Second-stage reranking in LlamaIndex."""

from __future__ import annotations

import os
from typing import Any

from llama_index.core.bridge.pydantic import Field, field_serializer
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle

from late_interaction.adapters.arguments import as_index
from late_interaction.encoders import Encoder, reads_images
from late_interaction.errors import InvalidRequestError
from late_interaction.index import Index
from late_interaction.index_encoder import as_encoder
from late_interaction.llama_index.nodes import candidate, from_node, with_hidden, without_object
from late_interaction.retrieval.reranking import rerank

__all__ = ["LateInteractionRerank"]

_dispatcher = get_dispatcher(__name__)


class LateInteractionRerank(BaseNodePostprocessor):
    """Orders nodes by MaxSim and keeps the best.

    With an index, nodes it holds (same id, same text) are scored from their stored vectors; only the rest are encoded.
    With an encoder alone, all are encoded. The nodes given are never changed; scores are relevances in [0, 1].

    ``to_dict`` writes the index as its path and the encoder as its name, from which ``from_dict`` opens them again. An
    encoder of your own has none: ``from_dict(data, encoder=…)``.

    Args:
        index: An `Index`, or the path of one, which is opened for reading; with ``store`` for writing.
        encoder: An `Encoder`, or what `load_encoder` takes; instead of an index.
        top_n: How many nodes to keep.
        keep_retrieval_score: Keep the score a node came with in its metadata, under ``retrieval_score``.
        store: Add nodes that the index does not hold to it, so that they are encoded once. One of a known id but other
            text replaces that.
        **kwargs: Passed to LlamaIndex's `BaseNodePostprocessor`.
    """

    index: Any = Field(default=None, description="An index, or the path of one.")
    encoder: Any = Field(default=None, description="An encoder, or the name of one; instead of an index.")
    top_n: int = Field(default=3, gt=0, description="How many nodes to keep.")
    keep_retrieval_score: bool = Field(default=False, description="Keep the first score in the metadata.")
    store: bool = Field(default=False, description="Add nodes that the index does not hold to it.")

    def __init__(
        self,
        *,
        index: Index | str | os.PathLike[str] | None = None,
        encoder: Encoder | str | os.PathLike[str] | None = None,
        store: bool = False,
        **kwargs: Any,
    ) -> None:
        if (index is None) == (encoder is None):
            raise InvalidRequestError("Give either index= or encoder=.")
        if store and index is None:
            raise InvalidRequestError("store=True needs an index= to store in.")
        opened = None if index is None else as_index(index, read_only=not store)
        loaded = None if encoder is None else as_encoder(encoder)
        super().__init__(index=opened, encoder=loaded, store=store, **kwargs)  # type: ignore[call-arg]  # its fields

    @field_serializer("index")
    def _path_of(self, index: Index | None) -> str | None:
        path = None if index is None else index.path
        return None if path is None else str(path)

    @field_serializer("encoder")
    def _name_of(self, encoder: Encoder | None) -> str | None:
        source = getattr(encoder, "source", None)
        return None if source is None else str(source)

    @classmethod
    def class_name(cls) -> str:
        """The name LlamaIndex knows the class by."""
        return "LateInteractionRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise InvalidRequestError("Reranking needs the query.")
        query, model = query_bundle.query_str, self._model_name
        _dispatcher.event(ReRankStartEvent(query=query_bundle, nodes=nodes, top_n=self.top_n, model_name=model))
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: model,
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: self.top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            reranked = self._rerank(nodes, query)
            event.on_end(payload={EventPayload.NODES: reranked})
        _dispatcher.event(ReRankEndEvent(nodes=reranked))
        return reranked

    def _rerank(self, nodes: list[NodeWithScore], query: str) -> list[NodeWithScore]:
        as_image = reads_images(self.encoder) if self.index is None else "image" in self.index.modalities
        to_document = from_node if self.store else candidate
        candidates = [to_document(without_object(node.node), as_image=as_image) for node in nodes]
        if self.index is not None:
            hits = self.index.rerank(query, documents=candidates, k=self.top_n, store=self.store)
        else:
            hits = rerank(query, candidates, encoder=self.encoder, k=self.top_n)
        positions = {id(document): position for position, document in enumerate(candidates)}
        return [self._scored(nodes[positions[id(hit.document)]], hit.relevance) for hit in hits]

    def _scored(self, given: NodeWithScore, relevance: float) -> NodeWithScore:
        node = given.node
        if self.keep_retrieval_score:
            node = with_hidden(node, "retrieval_score", given.score)
        return NodeWithScore(node=node, score=relevance)

    @property
    def _model_name(self) -> str:
        """What encodes, for whoever watches."""
        encoder = self.encoder or self.index.encoder
        return str(getattr(encoder, "source", None) or type(encoder).__name__)
