"""Second-stage reranking in LangChain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.documents import BaseDocumentCompressor
from langchain_core.documents import Document as LangChainDocument
from pydantic import ConfigDict, Field, field_validator, model_validator

from late_interaction.adapters.arguments import as_index
from late_interaction.encoders import reads_images
from late_interaction.index import Index
from late_interaction.index_encoder import as_encoder
from late_interaction.langchain.documents import candidate, from_langchain
from late_interaction.retrieval.reranking import rerank

if TYPE_CHECKING:
    from langchain_core.callbacks import Callbacks

__all__ = ["LateInteractionReranker"]


class LateInteractionReranker(BaseDocumentCompressor):
    """Orders documents by MaxSim and keeps the best.

    With an index, documents it holds (same id, same text) are scored from their stored vectors; only the rest are
    encoded. With an encoder alone, all are encoded. The documents given are never changed: copies come back, with the
    relevance in [0, 1] under ``relevance_score``.

    Attributes:
        index: An `Index`, or the path of one, which is opened for reading; with ``store`` for writing.
        encoder: An `Encoder`, or what `load_encoder` takes; instead of an index.
        top_n: How many documents to keep.
        store: Add documents that the index does not hold to it, so that they are encoded once. One of a known id but
            other text replaces that.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    index: Index | None = None
    encoder: Any = None
    top_n: int = Field(default=3, gt=0)
    store: bool = False

    @model_validator(mode="before")
    @classmethod
    def _open(cls, values: Any) -> Any:
        if values.get("index") is None:
            return values
        return {**values, "index": as_index(values["index"], read_only=not values.get("store"))}

    @field_validator("encoder", mode="before")
    @classmethod
    def _load(cls, encoder: object) -> object:
        return None if encoder is None else as_encoder(encoder)

    @model_validator(mode="after")
    def _one_of_two(self) -> LateInteractionReranker:
        if (self.index is None) == (self.encoder is None):
            raise ValueError("Give either index= or encoder=.")
        if self.store and self.index is None:
            raise ValueError("store=True needs an index= to store in.")
        return self

    def compress_documents(
        self, documents: Sequence[LangChainDocument], query: str, callbacks: Callbacks | None = None
    ) -> list[LangChainDocument]:
        """The ``top_n`` best documents for the query, best first, as copies."""
        as_image = reads_images(self.encoder) if self.index is None else "image" in self.index.modalities
        to_document = from_langchain if self.store else candidate
        candidates = [to_document(document, as_image=as_image) for document in documents]
        if self.index is not None:
            hits = self.index.rerank(query, documents=candidates, k=self.top_n, store=self.store)
        else:
            hits = rerank(query, candidates, encoder=self.encoder, k=self.top_n)
        positions = {id(candidate): position for position, candidate in enumerate(candidates)}
        originals = [(hit, documents[positions[id(hit.document)]]) for hit in hits]
        return [
            original.model_copy(update={"metadata": {**original.metadata, "relevance_score": hit.relevance}})
            for hit, original in originals
        ]
