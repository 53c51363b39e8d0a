"""The single-vector embedding that LlamaIndex's classes insist on, where none is needed."""

from __future__ import annotations

from collections.abc import Callable

from llama_index.core.base.embeddings.base import BaseEmbedding

__all__ = ["NoEmbedding", "TextsOfQuery"]


class TextsOfQuery(list[float]):
    """The empty embedding of a query, with the texts that it was asked for.

    Attributes:
        texts: The strings of LlamaIndex's `QueryBundle`: what HyDE wrote, or the query itself.
    """

    def __init__(self, texts: list[str]) -> None:
        super().__init__()
        self.texts = texts


class NoEmbedding(BaseEmbedding):
    """An embedding model that computes nothing: every embedding is an empty list.

    LlamaIndex's `VectorStoreIndex` and `IngestionPipeline` give a vector store only nodes that have an embedding. An
    empty one is enough for `LateInteractionVectorStore`, which encodes nodes itself. Any store that searches by
    single vectors refuses it. That of a query carries its texts: LlamaIndex's retrievers pass the strings of a
    `QueryBundle` to the embedding model alone.
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

    def get_agg_embedding_from_queries(
        self, queries: list[str], agg_fn: Callable[..., list[float]] | None = None
    ) -> list[float]:
        """Return an empty embedding that carries these texts."""
        return TextsOfQuery(queries)

    async def aget_agg_embedding_from_queries(
        self, queries: list[str], agg_fn: Callable[..., list[float]] | None = None
    ) -> list[float]:
        """Return an empty embedding that carries these texts."""
        return TextsOfQuery(queries)
