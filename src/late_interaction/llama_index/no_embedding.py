"""The single-vector embedding that LlamaIndex's classes insist on, where none is needed."""

from __future__ import annotations

from llama_index.core.base.embeddings.base import BaseEmbedding

__all__ = ["NoEmbedding"]


class NoEmbedding(BaseEmbedding):
    """An embedding model that computes nothing: every embedding is an empty list.

    LlamaIndex's `VectorStoreIndex` and `IngestionPipeline` give a vector store only nodes that have an embedding. An
    empty one is enough for `LateInteractionVectorStore`, which encodes nodes itself. Any store that searches by
    single vectors refuses it.
    """

    model_name: str = "none"

    @classmethod
    def class_name(cls) -> str:
        """Return the name LlamaIndex knows the class by."""
        return "NoEmbedding"

    def _get_text_embedding(self, text: str) -> list[float]:
        return []

    def _get_query_embedding(self, query: str) -> list[float]:
        return []

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return []
