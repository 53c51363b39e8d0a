"""First-stage retrieval in LangChain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document as LangChainDocument
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from langchain_core.runnables.config import RunnableConfig, get_config_list
from pydantic import ConfigDict, Field, field_validator

from late_interaction.adapters.arguments import as_index
from late_interaction.adapters.event_loop import in_thread
from late_interaction.documents import Hit
from late_interaction.index import Index, Mode
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
        score_threshold: Only documents of at least this relevance, in [0, 1].
        include_scores: Put the relevance into the metadata of each document, under ``relevance_score``.
        explain: Put the words that match into the metadata of each document, under ``match_spans``.

    ``k`` and ``where`` may also be given to one call: ``retriever.invoke(query, k=3, where={"lang": "en"})``. The
    queries of a batch are encoded together.

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
    score_threshold: float | None = Field(default=None, ge=0, le=1)
    include_scores: bool = False
    explain: bool = False

    @field_validator("index", mode="before")
    @classmethod
    def _open(cls, index: object) -> object:
        return as_index(index, read_only=True)

    def batch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[list[LangChainDocument]]:
        """The documents of several queries, which are encoded together."""
        try:
            found = self._search_many(inputs, kwargs.get("k"), kwargs.get("where"))
        except Exception:  # noqa: BLE001  # one by one, so that each call reports, and returns or raises, its own
            return super().batch(inputs, config, return_exceptions=return_exceptions, **kwargs)
        configs = get_config_list(config, len(inputs))
        calls = zip(inputs, configs, found, strict=True)
        return [self.invoke(query, each, **kwargs, found=documents) for query, each, documents in calls]

    async def abatch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[list[LangChainDocument]]:
        """The documents of several queries, which are encoded together; the loop is not blocked."""
        try:
            found = await in_thread(self._search_many, inputs, kwargs.get("k"), kwargs.get("where"))
        except Exception:  # noqa: BLE001  # as above
            return await super().abatch(inputs, config, return_exceptions=return_exceptions, **kwargs)
        configs = get_config_list(config, len(inputs))
        calls = zip(inputs, configs, found, strict=True)
        return [await self.ainvoke(query, each, **kwargs, found=documents) for query, each, documents in calls]

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # of the base class
        k: int | None = None,
        where: dict[str, Any] | None = None,
        found: list[LangChainDocument] | None = None,  # by `batch` already
    ) -> list[LangChainDocument]:
        return self._search_many([query], k, where)[0] if found is None else found

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,  # of the base class
        k: int | None = None,
        where: dict[str, Any] | None = None,
        found: list[LangChainDocument] | None = None,
    ) -> list[LangChainDocument]:
        if found is None:
            found = (await in_thread(self._search_many, [query], k, where))[0]
        return found

    def _search_many(
        self, queries: list[str], k: int | None, where: dict[str, Any] | None
    ) -> list[list[LangChainDocument]]:
        k, where = self.k if k is None else k, self.where if where is None else where
        found = self.index.search_many(queries, k, where=where, mode=self.mode)
        return [self._documents(query, hits) for query, hits in zip(queries, found, strict=True)]

    def _documents(self, query: str, hits: list[Hit]) -> list[LangChainDocument]:
        threshold = self.score_threshold or 0.0
        hits = [hit for hit in hits if hit.relevance >= threshold]
        explanations = self.index.explain_many(query, [hit.id for hit in hits]) if self.explain and hits else None
        return [hit_to_langchain(hit, with_score=self.include_scores, explanations=explanations) for hit in hits]

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        params = super()._get_ls_params(**kwargs)
        params["ls_vector_store_provider"] = type(self.index.engine).__name__
        params["ls_embedding_provider"] = "late-interaction"
        if self.index.encoder_name is not None:
            params["ls_embedding_model"] = self.index.encoder_name
        return params
