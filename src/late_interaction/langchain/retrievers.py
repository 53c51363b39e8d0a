"""First-stage retrieval in LangChain."""

from __future__ import annotations

from typing import Any, TypeAlias

from langchain_core.documents import Document as LangChainDocument
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from langchain_core.runnables.config import RunnableConfig, get_config_list
from pydantic import ConfigDict, Field, field_validator

from late_interaction.adapters.arguments import as_index, engine_name
from late_interaction.adapters.event_loop import async_search
from late_interaction.adapters.results import search_many
from late_interaction.index import Index, Mode
from late_interaction.langchain.documents import to_langchain

__all__ = ["LateInteractionRetriever"]

_Configs: TypeAlias = RunnableConfig | list[RunnableConfig] | None


class LateInteractionRetriever(BaseRetriever):
    """Retrieves from an `Index` by late interaction.

    **Thread safety.** Any thread may call, and so may any event loop.

    **Limits.** ``explain``, ``lexical`` and ``hybrid`` need an engine with these capabilities; the local one has them.

    Attributes:
        index: The index, or the path of one, which is opened for reading.
        k: How many documents.
        where: Only documents that pass this filter.
        mode: ``late``, ``lexical`` or ``hybrid``.
        score_threshold: Only documents of at least this relevance, in [0, 1], as ``min_relevance`` of `Index.search`.
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
        self, inputs: list[str], config: _Configs = None, *, return_exceptions: bool = False, **kwargs: Any
    ) -> list[list[LangChainDocument]]:
        """Return the documents of several queries, which are encoded together."""
        try:
            found = self._search_many(inputs, **kwargs)
        except Exception:  # noqa: BLE001  # one by one, so that each call reports, and returns or raises, its own
            return super().batch(inputs, config, return_exceptions=return_exceptions, **kwargs)
        calls = zip(inputs, get_config_list(config, len(inputs)), found, strict=True)
        return [self.invoke(query, each, **kwargs, found=documents) for query, each, documents in calls]

    async def abatch(
        self, inputs: list[str], config: _Configs = None, *, return_exceptions: bool = False, **kwargs: Any
    ) -> list[list[LangChainDocument]]:
        """Return the documents of several queries, which are encoded together; the event loop is not blocked."""
        try:
            found = await self._asearch_many(inputs, **kwargs)
        except Exception:  # noqa: BLE001  # as above
            return await super().abatch(inputs, config, return_exceptions=return_exceptions, **kwargs)
        calls = zip(inputs, get_config_list(config, len(inputs)), found, strict=True)
        return [await self.ainvoke(query, each, **kwargs, found=documents) for query, each, documents in calls]

    # ``found`` is what `batch` has found already.

    def _get_relevant_documents(
        self, query: str, *, run_manager: Any, found: list[LangChainDocument] | None = None, **settings: Any
    ) -> list[LangChainDocument]:
        return self._search_many([query], **settings)[0] if found is None else found

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: Any, found: list[LangChainDocument] | None = None, **settings: Any
    ) -> list[LangChainDocument]:
        return (await self._asearch_many([query], **settings))[0] if found is None else found

    def _search_many(
        self, queries: list[str], k: int | None = None, where: dict[str, Any] | None = None
    ) -> list[list[LangChainDocument]]:
        found = search_many(
            self.index,
            queries,
            self.k if k is None else k,
            where=self.where if where is None else where,
            mode=self.mode,
            min_relevance=self.score_threshold,
            explain=self.explain,
        )
        scores = self.include_scores
        return [
            [to_langchain(each.hit.document, **each.metadata(with_score=scores)) for each in hits] for hits in found
        ]

    _asearch_many = async_search(_search_many)

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        params = super()._get_ls_params(**kwargs)
        params["ls_vector_store_provider"] = engine_name(self.index)
        params["ls_embedding_provider"] = "late-interaction"
        if self.index.encoder_name is not None:
            params["ls_embedding_model"] = self.index.encoder_name
        return params
