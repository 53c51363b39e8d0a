"""First-stage retrieval in LangChain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from langchain_core.documents import Document as LangChainDocument
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from langchain_core.runnables.config import RunnableConfig, get_config_list
from pydantic import ConfigDict, Field, field_validator, model_validator

from late_interaction.adapters.arguments import as_searchable, check_known, engine_name, index_of
from late_interaction.adapters.event_loop import async_search
from late_interaction.adapters.results import check_search
from late_interaction.cascades import Cascade
from late_interaction.index import Index, Mode
from late_interaction.langchain.documents import to_langchain
from late_interaction.langchain.searching import one_filter, restriction, search_or_list

__all__ = ["LateInteractionRetriever"]

_SETTINGS = ("k", "filter", "where", "mode", "score_threshold", "include_scores", "explain")

_Configs: TypeAlias = RunnableConfig | list[RunnableConfig] | None


class LateInteractionRetriever(BaseRetriever):
    """Retrieves from an `Index` by late interaction, or from a `Cascade` by its stages.

    **Thread safety.** Any thread may call, and so may any event loop.

    **Limits.** ``explain``, ``lexical`` and ``hybrid`` need an engine with these capabilities; the local one has them.

    Attributes:
        index: The index, or the path or address of one, which is opened for reading; or a cascade.
        k: How many documents; of a cascade, at most what its last stage keeps, which is the default.
        filter: Only documents that pass: a ``where`` dict, or a function of a document, which is asked about every
            document of the index. ``where`` is another name of it.
        mode: ``late``, ``lexical`` or ``hybrid``. A cascade has its stages instead.
        score_threshold: Only documents of at least this relevance, in [0, 1], as ``min_relevance`` of `Index.search`.
        include_scores: Put the relevance into the metadata of each document, under ``relevance_score``.
        explain: Put the words that match into the metadata of each document, under ``match_spans``.

    All but the index may also be given to one call: ``retriever.invoke(query, k=3, filter={"lang": "en"})``; None keeps
    the setting of the retriever. Settings are checked when the retriever is made. The queries of a batch are encoded
    together. A blank query finds nothing without a filter; with one, it finds the first k documents that pass, in the
    order of addition, with relevance 0.

    Example:
        >>> from late_interaction import Index
        >>> from late_interaction.langchain import LateInteractionRetriever
        >>> index = Index.open(tmp / "store", encoder="minilm")
        >>> _ = index.add(["Paris is the capital of France.", "The Nile is a river."])
        >>> LateInteractionRetriever(index=index, k=1).invoke("African rivers")[0].page_content
        'The Nile is a river.'
        >>> index.close()
    """

    # Of an address, pydantic would show what our own message leaves out: a password in it.
    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True)

    index: Index | Cascade
    k: int = 4
    filter: dict[str, Any] | Callable[[LangChainDocument], bool] | None = None
    mode: Mode = "late"
    score_threshold: float | None = Field(default=None, ge=0, le=1)
    include_scores: bool = False
    explain: bool = False

    @field_validator("index", mode="before")
    @classmethod
    def _open(cls, index: object) -> object:
        return as_searchable(index)

    @model_validator(mode="before")
    @classmethod
    def _default_k(cls, values: dict[str, Any]) -> dict[str, Any]:
        index = values.get("index")
        return {"k": index.max_k, **values} if isinstance(index, Cascade) else values

    @model_validator(mode="before")
    @classmethod
    def _rename_where(cls, values: dict[str, Any]) -> dict[str, Any]:
        if "where" not in values:
            return values
        kept = {name: value for name, value in values.items() if name != "where"}
        return {**kept, "filter": one_filter(values.get("filter"), values["where"])}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        k, options = self._asked({})
        # Here and not in a validator, so that the error is one of this package, and not a pydantic error about it.
        check_search(self.index, k, explain=self.explain, **options)

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

    def _search_many(self, queries: list[str], **given: Any) -> list[list[LangChainDocument]]:
        k, options = self._asked(given)
        explain, scores = (self._setting(name, given) for name in ("explain", "include_scores"))
        found = search_or_list(self.index, queries, k, explain=explain, **options)
        return [
            [to_langchain(each.hit.document, **each.metadata(with_score=scores)) for each in hits] for hits in found
        ]

    _asearch_many = async_search(_search_many)

    def _asked(self, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return k and the options of a search, by the arguments of one call and the settings."""
        check_known(given, _SETTINGS, "The retriever")
        given = {**given, "filter": one_filter(given.get("filter"), given.get("where"))}
        k, mode, threshold, restricted = (
            self._setting(name, given) for name in ("k", "mode", "score_threshold", "filter")
        )
        return k, {**restriction(restricted), "mode": mode, "min_relevance": threshold}

    def _setting(self, name: str, given: dict[str, Any]) -> Any:
        value = given.get(name)
        return getattr(self, name) if value is None else value

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        params = super()._get_ls_params(**kwargs)
        index = index_of(self.index)
        params["ls_vector_store_provider"] = engine_name(index)
        params["ls_embedding_provider"] = "late-interaction"
        if index.encoder_name is not None:
            params["ls_embedding_model"] = index.encoder_name
        return params
