"""Second-stage reranking in LlamaIndex."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.bridge.pydantic import Field, field_serializer
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle

from late_interaction.adapters.arguments import check_known, encoder_name, location_of, source_of
from late_interaction.adapters.rerank import opened, ranked, sharing_encoder
from late_interaction.adapters.results import RETRIEVAL_SCORE
from late_interaction.errors import InvalidRequestError
from late_interaction.llama_index.nodes import from_node, with_hidden
from late_interaction.llama_index.pickling import PickledWhole

if TYPE_CHECKING:
    from late_interaction.adapters.arguments import EncoderOrName, IndexOrPath
    from late_interaction.encoders import Encoder
    from late_interaction.index import Index

__all__ = ["LateInteractionRerank"]

_dispatcher = get_dispatcher(__name__)


class LateInteractionRerank(PickledWhole, BaseNodePostprocessor):
    """Orders nodes by MaxSim and keeps the best.

    With an index, nodes it holds (same id, same text) are scored from their stored vectors; only the rest are encoded.
    With an encoder alone, all are encoded. The nodes given are never changed; scores are relevances in [0, 1]: 0 is
    what the median node of the index gets; with an encoder alone, the median of the nodes given.

    ``to_dict`` writes the index as its path or address and the encoder as its name, from which ``from_dict`` opens them
    again. A custom encoder has none: ``from_dict(data, encoder=…)``. A pickled reranker is the path of its index,
    opened for reading where it arrives, or its encoder: the name of one that was loaded by name; one of your own must
    pickle itself.

    **Thread safety.** Any thread may call.

    **Limits.** Nodes that the index does not hold are encoded again at every call, unless ``store`` is set.

    Args:
        index: An `Index`, or the path or address of one, which is opened for reading; with ``store`` for writing.
        encoder: An `Encoder`, or what `load_encoder` takes; instead of an index.
        top_n: How many nodes to keep.
        keep_retrieval_score: Keep the score a node came with in its metadata, under ``retrieval_score``.
        store: Add nodes that the index does not hold to it, so that they are encoded once. One with a known id but
            another text replaces the stored node.
        **kwargs: Passed to LlamaIndex's `BaseNodePostprocessor`.
    """

    index: Any = Field(default=None, description="An index, or the path or address of one.")
    encoder: Any = Field(default=None, description="An encoder, or the name of one; instead of an index.")
    top_n: int = Field(default=3, gt=0, description="How many nodes to keep.")
    keep_retrieval_score: bool = Field(default=False, description="Keep the first score in the metadata.")
    store: bool = Field(default=False, description="Add nodes that the index does not hold to it.")

    def __init__(
        self,
        *,
        index: IndexOrPath | None = None,
        encoder: EncoderOrName | None = None,
        store: bool = False,
        **kwargs: Any,
    ) -> None:
        check_known(kwargs, type(self).model_fields, type(self).__name__)
        fields = opened(index=index, encoder=encoder, store=store)
        super().__init__(**fields, store=store, **kwargs)  # type: ignore[call-arg]  # its fields

    @field_serializer("index")
    def _location_of(self, index: Index | None) -> str | None:
        return location_of(index)

    @field_serializer("encoder")
    def _source_of(self, encoder: Encoder | None) -> str | None:
        return source_of(encoder)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> LateInteractionRerank:
        return super().__deepcopy__(sharing_encoder(memo, self.encoder))

    @classmethod
    def class_name(cls) -> str:
        """Return the name LlamaIndex knows the class by."""
        return "LateInteractionRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise InvalidRequestError("Reranking needs the query.")
        query, model = query_bundle.query_str, encoder_name(self.index, self.encoder)
        _dispatcher.event(ReRankStartEvent(query=query_bundle, nodes=nodes, top_n=self.top_n, model_name=model))
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: model,
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: self.top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            source = {"index": self.index, "encoder": self.encoder, "store": self.store}
            best = ranked(query, [given.node for given in nodes], from_node, top_n=self.top_n, **source)
            reranked = [self._scored(nodes[position], relevance) for position, relevance in best]
            event.on_end(payload={EventPayload.NODES: reranked})
        _dispatcher.event(ReRankEndEvent(nodes=reranked))
        return reranked

    def _scored(self, given: NodeWithScore, relevance: float) -> NodeWithScore:
        keep = self.keep_retrieval_score
        node = with_hidden(given.node, RETRIEVAL_SCORE, given.score) if keep else given.node
        return NodeWithScore(node=node, score=relevance)
