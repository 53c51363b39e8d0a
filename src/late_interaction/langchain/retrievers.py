"""First-stage retrieval in LangChain."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document as LangChainDocument
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from pydantic import ConfigDict, field_validator

from late_interaction.index import Index, Mode, as_index
from late_interaction.langchain.documents import hit_to_langchain

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun

__all__ = ["LateInteractionRetriever"]


class LateInteractionRetriever(BaseRetriever):
    """Retrieves from an `Index` by late interaction.

    Attributes:
        index: The index, or the path of one, which is opened for reading.
        k: How many documents.
        where: Only documents that pass this filter.
        mode: ``late``, ``lexical`` or ``hybrid``.

    ``k`` and ``where`` may also be given to one call: ``retriever.invoke(query, k=3, where={"lang": "en"})``.

    Example:
        >>> from late_interaction import Index
        >>> from late_interaction.langchain import LateInteractionRetriever
        >>> index = Index.open(tmp / "store", encoder="minilm")
        >>> _ = index.add(["Paris is the capital of France.", "The Nile is a river."])
        >>> LateInteractionRetriever(index=index, k=1).invoke("African rivers")[0].page_content
        'The Nile is a river.'
        >>> index.close()
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    index: Index
    k: int = 4
    where: dict[str, Any] | None = None
    mode: Mode = "late"

    @field_validator("index", mode="before")
    @classmethod
    def _open(cls, index: object) -> object:
        return as_index(index, read_only=True)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # of the base class
        k: int | None = None,
        where: dict[str, Any] | None = None,
    ) -> list[LangChainDocument]:
        return self._search(query, k, where)

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,  # of the base class
        k: int | None = None,
        where: dict[str, Any] | None = None,
    ) -> list[LangChainDocument]:
        return await asyncio.to_thread(self._search, query, k, where)

    def _search(self, query: str, k: int | None, where: dict[str, Any] | None) -> list[LangChainDocument]:
        hits = self.index.search(
            query, self.k if k is None else k, where=self.where if where is None else where, mode=self.mode
        )
        return [hit_to_langchain(hit) for hit in hits]

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        params = super()._get_ls_params(**kwargs)
        params["ls_vector_store_provider"] = type(self.index.engine).__name__
        return params
