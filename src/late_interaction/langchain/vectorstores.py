"""The index as a LangChain vector store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_core.documents import Document as LangChainDocument
from langchain_core.vectorstores import VectorStore

from late_interaction.adapters.arguments import as_index
from late_interaction.adapters.event_loop import in_thread
from late_interaction.errors import InvalidRequestError
from late_interaction.index import Index, Mode
from late_interaction.langchain.documents import from_langchain, from_text, hit_to_langchain, to_langchain

if TYPE_CHECKING:
    from late_interaction.documents import Hit
    from late_interaction.encoders import Encoder
    from late_interaction.filters import Where

__all__ = ["LateInteractionVectorStore"]

StoreFilter: TypeAlias = Mapping[str, Any] | Callable[[LangChainDocument], bool]


class LateInteractionVectorStore(VectorStore):
    """Documents in an `Index`, behind LangChain's store interface.

    Args:
        index: The index, or the path of one, which is opened for writing.
        encoder: For a path: the encoder of a new index.

    Example:
        >>> from late_interaction.langchain import LateInteractionVectorStore
        >>> store = LateInteractionVectorStore(index=tmp / "store2", encoder="minilm")
        >>> store.add_texts(["Paris is the capital of France.", "The Nile is a river."], ids=["paris", "nile"])
        ['paris', 'nile']
        >>> [document.id for document in store.similarity_search("African rivers", k=1)]
        ['nile']
        >>> store.index.close()
    """

    def __init__(
        self, *, index: Index | str | os.PathLike[str], encoder: Encoder | str | os.PathLike[str] | None = None
    ) -> None:
        self.index = as_index(index, encoder=encoder)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Any = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        index: Index | str | os.PathLike[str] | None = None,
        encoder: Encoder | str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> LateInteractionVectorStore:
        """A store with these texts.

        Args:
            texts: The texts.
            embedding: The same as ``encoder``, where LangChain's callers expect it. Its single-vector embeddings
                cannot be used.
            metadatas: Metadata of each text.
            ids: Id of each text.
            index: The index, or the path of one.
            encoder: The encoder of a new index: an `Encoder`, or what `load_encoder` takes.
            **kwargs: Passed to `add_texts`.
        """
        if index is None:
            raise InvalidRequestError("from_texts needs index=: an Index, or the path of one.")
        store = cls(index=index, encoder=embedding if encoder is None else encoder)
        store.add_texts(texts, metadatas, ids=ids, **kwargs)
        return store

    @classmethod
    def from_documents(
        cls, documents: list[LangChainDocument], embedding: Any = None, **kwargs: Any
    ) -> LateInteractionVectorStore:
        """Make a store with these documents. See `from_texts` for the other arguments."""
        if isinstance(documents, LangChainDocument):
            raise InvalidRequestError("from_documents takes a list of documents: pass `[document]`.")
        ids = _column("ids", kwargs.pop("ids", None), len(documents))
        kwargs["ids"] = [given or document.id for document, given in zip(documents, ids, strict=True)]
        texts = [document.page_content for document in documents]
        return cls.from_texts(texts, embedding, [document.metadata for document in documents], **kwargs)

    @classmethod
    async def afrom_documents(
        cls, documents: list[LangChainDocument], embedding: Any = None, **kwargs: Any
    ) -> LateInteractionVectorStore:
        """Make a store with these documents without blocking the loop."""
        return await asyncio.to_thread(cls.from_documents, documents, embedding, **kwargs)

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts, replacing those of the same id; their ids. Other arguments of LangChain's callers are ignored."""
        if isinstance(texts, str):
            raise InvalidRequestError("add_texts takes a list of texts: pass `[text]`.")
        texts = list(texts)
        columns = zip(texts, _column("metadatas", metadatas, len(texts)), _column("ids", ids, len(texts)), strict=True)
        as_image = "image" in self.index.modalities
        return self.index.add(
            [from_text(text, metadata, id=given, as_image=as_image) for text, metadata, given in columns]
        )

    def add_documents(self, documents: list[LangChainDocument], **kwargs: Any) -> list[str]:
        """Add documents, replacing those of the same id; their ids (``ids=``, their own, or a hash of the content)."""
        if isinstance(documents, LangChainDocument):
            raise InvalidRequestError("add_documents takes a list of documents: pass `[document]`.")
        ids = _column("ids", kwargs.get("ids"), len(documents))
        pairs = zip(documents, ids, strict=True)
        as_image = "image" in self.index.modalities
        return self.index.add([from_langchain(document, id=given, as_image=as_image) for document, given in pairs])

    def delete(self, ids: list[str] | None = None, *, where: Where | None = None, **kwargs: Any) -> bool:
        """Delete by ids or by filter. Unknown ids are not an error.

        Without both it is an error, although LangChain's own documentation lets it delete everything: a variable that
        happens to be None must not. For that there is ``store.index.clear()``.
        """
        self.index.delete(ids, where=where)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[LangChainDocument]:
        """The documents of these ids, in this order; unknown ids are left out."""
        return [to_langchain(document) for document in self.index.get(ids)]

    def similarity_search(
        self,
        query: str,
        k: int = 4,
        *,
        filter: StoreFilter | None = None,
        mode: Mode = "late",
        **kwargs: Any,
    ) -> list[LangChainDocument]:
        """The k best documents, of those that pass the filter.

        Args:
            query: The query.
            k: How many.
            filter: A ``where`` dict, or a function of a document, which is asked about every one of the store.
            mode: ``late``, ``lexical`` or ``hybrid``.
            **kwargs: No others are known.
        """
        return [hit_to_langchain(hit) for hit in self._search(query, k, filter, mode, kwargs)]

    def similarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        *,
        filter: StoreFilter | None = None,
        mode: Mode = "late",
        **kwargs: Any,
    ) -> list[tuple[LangChainDocument, float]]:
        """The same with `Hit.score`: greater is better."""
        return [(hit_to_langchain(hit), hit.score) for hit in self._search(query, k, filter, mode, kwargs)]

    async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[LangChainDocument]:
        """`similarity_search` without blocking the loop."""
        return await in_thread(self.similarity_search, query, k, **kwargs)

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[LangChainDocument, float]]:
        """`similarity_search_with_score` without blocking the loop."""
        return await in_thread(self.similarity_search_with_score, query, k, **kwargs)

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: StoreFilter | None = None,
        mode: Mode = "late",
        **kwargs: Any,
    ) -> list[LangChainDocument]:
        """Some of the ``fetch_k`` best documents that are unlike each other, by MaxSim between them.

        Args:
            query: The query.
            k: How many.
            fetch_k: Of how many.
            lambda_mult: 1 counts relevance alone, 0 difference alone.
            filter: As for `similarity_search`.
            mode: ``late``, ``lexical`` or ``hybrid``.
            **kwargs: No others are known.
        """
        if not 0 <= lambda_mult <= 1:
            raise InvalidRequestError(f"lambda_mult must be between 0 and 1, not {lambda_mult!r}.")
        hits = self._search(query, k, filter, mode, kwargs, diversity=1 - lambda_mult, diversity_pool=fetch_k)
        return [hit_to_langchain(hit) for hit in hits]

    async def amax_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[LangChainDocument]:
        """The same without blocking the loop."""
        return await in_thread(self.max_marginal_relevance_search, query, k, fetch_k, lambda_mult, **kwargs)

    def _similarity_search_with_relevance_scores(
        self,
        query: str,
        k: int = 4,
        *,
        filter: StoreFilter | None = None,
        mode: Mode = "late",
        **kwargs: Any,
    ) -> list[tuple[LangChainDocument, float]]:
        return [(hit_to_langchain(hit), hit.relevance) for hit in self._search(query, k, filter, mode, kwargs)]

    async def _asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[LangChainDocument, float]]:
        return await in_thread(self._similarity_search_with_relevance_scores, query, k, **kwargs)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return lambda relevance: relevance  # a hit knows its relevance

    def _search(
        self,
        query: str,
        k: int,
        passes: StoreFilter | None,
        mode: Mode,
        others: dict[str, Any],
        **options: Any,
    ) -> list[Hit]:
        if others:  # a misspelt filter must not become no filter
            raise InvalidRequestError(f"Unknown arguments: {', '.join(others)}. Known: k, filter, mode.")
        if not callable(passes):
            return self.index.search(query, k, where=passes, mode=mode, **options)
        with self.index.one_state():
            passing = [document.id for document in self.index.scan() if passes(to_langchain(document))]
            return self.index.search(query, k, candidates=passing, mode=mode, **options)


def _column(name: str, values: Sequence[Any] | None, length: int) -> Iterable[Any]:
    if values is None:
        return repeat(None, length)
    if len(values) != length:
        raise InvalidRequestError(f"{name} has {len(values)} entries for {length} documents.")
    return values
