"""The index as a LangChain vector store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_core.documents import Document as LangChainDocument
from langchain_core.vectorstores import VectorStore

from late_interaction.adapters.arguments import as_index, check_known, takes_images
from late_interaction.adapters.documents import as_documents, at_position, column
from late_interaction.adapters.event_loop import async_search, async_write
from late_interaction.adapters.results import diversity_options, search
from late_interaction.errors import InvalidRequestError
from late_interaction.index import Mode
from late_interaction.langchain.documents import from_langchain, to_langchain

if TYPE_CHECKING:
    from late_interaction.adapters.arguments import EncoderOrName, IndexOrPath
    from late_interaction.documents import Hit
    from late_interaction.filters import Where

__all__ = ["LateInteractionVectorStore"]

StoreFilter: TypeAlias = Mapping[str, Any] | Callable[[LangChainDocument], bool]


class LateInteractionVectorStore(VectorStore):
    """Documents in an `Index`, behind LangChain's store interface.

    **Thread safety.** Any thread may call, and so may any event loop.

    **Limits.** There is no search by a vector: a query has one vector for each token. LangChain's ``score_threshold``
    compares `Hit.relevance`, which tells ranks alone in the mode ``hybrid``; there, that of `LateInteractionRetriever`
    compares the relevance of mode ``late``.

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

    def __init__(self, *, index: IndexOrPath | None, encoder: EncoderOrName | None = None) -> None:
        self.index = as_index(index, encoder=encoder)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Any = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        index: IndexOrPath | None = None,
        encoder: EncoderOrName | None = None,
        **kwargs: Any,
    ) -> LateInteractionVectorStore:
        """Return a store with these texts, added by `add_texts`.

        ``index`` is an index, or the path of one, and ``encoder`` the encoder of a new one: an `Encoder`, or what
        `load_encoder` takes. ``embedding`` is the same as ``encoder``, where LangChain's callers expect it; its
        single-vector embeddings cannot be used.
        """
        store = cls(index=index, encoder=embedding if encoder is None else encoder)
        store.add_texts(texts, metadatas, **kwargs)
        return store

    @classmethod
    def from_documents(
        cls, documents: list[LangChainDocument], embedding: Any = None, *, ids: list[str] | None = None, **kwargs: Any
    ) -> LateInteractionVectorStore:
        """Return a store with these documents, added by `add_documents`. See `from_texts` for the other arguments."""
        store = cls.from_texts([], embedding, **kwargs)
        store.add_documents(documents, ids=ids)
        return store

    afrom_documents = classmethod(async_write(from_documents))

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts, replacing those of the same id; return their ids. LangChain's other arguments are ignored."""
        return self.index.add(as_documents(texts, metadatas, ids, as_image=takes_images(self.index)))

    def add_documents(self, documents: list[LangChainDocument], **kwargs: Any) -> list[str]:
        """Add documents, replacing those of the same id; return their ids.

        The id of a document is that of ``ids=``, or its own, or a hash of the content.
        """
        if isinstance(documents, LangChainDocument):
            raise InvalidRequestError("add_documents takes a list of documents: pass `[document]`.")
        rows = zip(documents, column("ids", kwargs.get("ids"), len(documents)), strict=False)
        as_image = takes_images(self.index)
        found = []
        for position, (document, given) in enumerate(rows):
            with at_position(position, given or document.id):
                found.append(from_langchain(document, id=given, as_image=as_image))
        return self.index.add(found)

    def delete(self, ids: list[str] | None = None, *, where: Where | None = None, **kwargs: Any) -> bool:
        """Delete by ids or by filter. Unknown ids are not an error.

        Without both it is an error, although LangChain's own documentation lets it delete everything: a variable that
        happens to be None must not. For that there is ``store.index.clear()``.
        """
        self.index.delete(ids, where=where)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[LangChainDocument]:
        """Return the documents of these ids, in this order; unknown ids are left out."""
        return [to_langchain(document) for document in self.index.get(ids)]

    def similarity_search(
        self, query: str, k: int = 4, *, filter: StoreFilter | None = None, mode: Mode = "late", **kwargs: Any
    ) -> list[LangChainDocument]:
        """Return the k best documents, of those that pass the filter, best first.

        Args:
            query: The query.
            k: How many.
            filter: A ``where`` dict, or a function of a document, which is asked about every document of the store.
            mode: ``late``, ``lexical`` or ``hybrid``.
            **kwargs: An error: a misspelt filter must not become no filter.
        """
        hits = self._search(query, k, {"filter": filter, "mode": mode, **kwargs})
        return [to_langchain(hit.document) for hit in hits]

    def similarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[LangChainDocument, float]]:
        """Return the documents of `similarity_search`, each with `Hit.score`: greater is better."""
        return [(to_langchain(hit.document), hit.score) for hit in self._search(query, k, kwargs)]

    def _similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[LangChainDocument, float]]:
        return [(to_langchain(hit.document), hit.relevance) for hit in self._search(query, k, kwargs)]

    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[LangChainDocument]:
        """Return k of the ``fetch_k`` best documents that are unlike each other, by MaxSim between them.

        With ``lambda_mult`` 1 relevance alone counts, with 0 difference alone. Takes ``filter`` and ``mode`` as
        `similarity_search` does.
        """
        hits = self._search(query, k, kwargs, **diversity_options(lambda_mult, fetch_k))
        return [to_langchain(hit.document) for hit in hits]

    asimilarity_search = async_search(similarity_search)
    asimilarity_search_with_score = async_search(similarity_search_with_score)
    _asimilarity_search_with_relevance_scores = async_search(_similarity_search_with_relevance_scores)
    amax_marginal_relevance_search = async_search(max_marginal_relevance_search)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return lambda relevance: relevance  # a hit knows its relevance

    def _search(self, query: str, k: int, given: dict[str, Any], **options: Any) -> list[Hit]:
        check_known(given, ("filter", "mode"), "The search")
        passes = given.get("filter")
        where = (lambda document: passes(to_langchain(document))) if callable(passes) else passes
        return search(self.index, query, k, where=where, mode=given.get("mode", "late"), **options)
