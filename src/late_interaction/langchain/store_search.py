"""The searches of the vector store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from langchain_core.documents import Document as LangChainDocument
from langchain_core.vectorstores import VectorStore, VectorStoreRetriever

from late_interaction.adapters.arguments import check_known
from late_interaction.adapters.event_loop import async_search
from late_interaction.adapters.pages import as_image_query
from late_interaction.adapters.results import check_search, diversity_options
from late_interaction.errors import InvalidRequestError, UnsupportedError
from late_interaction.index import Index, Mode
from late_interaction.langchain.documents import to_langchain
from late_interaction.langchain.searching import SEARCH_ARGUMENTS, StoreFilter, search_options, search_or_list

if TYPE_CHECKING:
    from late_interaction.documents import Hit

__all__ = ["StoreSearch"]

_DEFAULT_K = 4  # as in LangChain's own stores
_METHODS = {
    "similarity": "similarity_search",
    "similarity_score_threshold": "similarity_search_with_relevance_scores",
    "mmr": "max_marginal_relevance_search",
}
_BY_VECTOR = (
    "There is no search by a single vector: late interaction has one vector for each token of a query. "
    "`store.index.search(vectors)` takes these, an array of shape (tokens, dim); similarity_search takes a text."
)


class StoreSearch(VectorStore):
    """The half of `LateInteractionVectorStore` that searches its ``index``."""

    index: Index

    def similarity_search(
        self,
        query: str,
        k: int = 4,
        filter: StoreFilter | None = None,
        *,
        where_document: Mapping[str, Any] | None = None,
        mode: Mode = "late",
        score_threshold: float | None = None,
        offset: int | None = None,
        **kwargs: Any,
    ) -> list[LangChainDocument]:
        """Return the k best documents, of those that pass the filter, best first.

        A blank query finds nothing without a filter. With one, it finds the first k documents that pass, in the order
        of addition, with score and relevance 0.

        Args:
            query: The query, in any form that `Index.search` takes.
            k: How many.
            filter: A ``where`` dict, or a function of a document, which is asked about every document of the store.
            where_document: A filter of the text, for example ``{"$contains": "Nile"}``, as Chroma writes it. It is
                short for the key ``$text`` of a filter.
            mode: ``late``, ``lexical`` or ``hybrid``.
            score_threshold: Only documents of at least this relevance, as ``min_relevance`` of `Index.search`.
            offset: Leave out this many of the best.
            **kwargs: An error.
        """
        named = {"filter": filter, "where_document": where_document, "mode": mode}
        given = {**named, "score_threshold": score_threshold, "offset": offset, **kwargs}
        return [to_langchain(hit.document) for hit in self._search("similarity_search", query, k, given)]

    # The others take the arguments of `similarity_search`.

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: StoreFilter | None = None, **kwargs: Any
    ) -> list[tuple[LangChainDocument, float]]:
        """Return the documents of `similarity_search`, each with `Hit.score`: greater is better."""
        hits = self._search("similarity_search_with_score", query, k, {"filter": filter, **kwargs})
        return [(to_langchain(hit.document), hit.score) for hit in hits]

    def similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[LangChainDocument, float]]:
        """Return the documents of `similarity_search`, each with `Hit.relevance`, in [0, 1]."""
        hits = self._search("similarity_search_with_relevance_scores", query, k, kwargs)
        return [(to_langchain(hit.document), hit.relevance) for hit in hits]

    def similarity_search_by_image(
        self, uri: Any, k: int = 4, filter: StoreFilter | None = None, **kwargs: Any
    ) -> list[LangChainDocument]:
        """Return the k documents that are most like an image, best first. The encoder must read images.

        ``uri`` is the path of an image file, never a URL, or a PIL image. Other arguments are those of
        `similarity_search`.
        """
        found = self.similarity_search_by_image_with_relevance_score(uri, k, filter, **kwargs)
        return [document for document, _ in found]

    def similarity_search_by_image_with_relevance_score(
        self, uri: Any, k: int = 4, filter: StoreFilter | None = None, **kwargs: Any
    ) -> list[tuple[LangChainDocument, float]]:
        """Return the documents of `similarity_search_by_image`, each with `Hit.relevance`, in [0, 1]."""
        image = as_image_query(uri)
        hits = self._search("similarity_search_by_image", image, k, {"filter": filter, **kwargs})
        return [(to_langchain(hit.document), hit.relevance) for hit in hits]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: StoreFilter | None = None,
        **kwargs: Any,
    ) -> list[LangChainDocument]:
        """Return k of the ``fetch_k`` best documents that are unlike each other, by MaxSim between them.

        With ``lambda_mult`` 1 relevance alone counts, with 0 difference alone. Other arguments are those of
        `similarity_search`.
        """
        diversity = diversity_options(lambda_mult, fetch_k)
        hits = self._search("max_marginal_relevance_search", query, k, {"filter": filter, **kwargs}, **diversity)
        return [to_langchain(hit.document) for hit in hits]

    def similarity_search_by_vector(self, embedding: list[float], k: int = 4, **kwargs: Any) -> NoReturn:
        """Raise `UnsupportedError`: a query has one vector for each token. ``store.index.search(vectors)`` is it."""
        raise UnsupportedError(_BY_VECTOR)

    def max_marginal_relevance_search_by_vector(
        self, embedding: list[float], k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> NoReturn:
        """Raise `UnsupportedError`: a query has one vector for each token."""
        raise UnsupportedError(_BY_VECTOR)

    asimilarity_search = async_search(similarity_search)
    asimilarity_search_with_score = async_search(similarity_search_with_score)
    asimilarity_search_with_relevance_scores = async_search(similarity_search_with_relevance_scores)
    asimilarity_search_by_image = async_search(similarity_search_by_image)
    asimilarity_search_by_image_with_relevance_score = async_search(similarity_search_by_image_with_relevance_score)
    amax_marginal_relevance_search = async_search(max_marginal_relevance_search)

    def as_retriever(self, **kwargs: Any) -> VectorStoreRetriever:
        """Return a retriever of this store. Its settings are checked now.

        Args:
            **kwargs: ``search_kwargs``, the arguments of the search; ``search_type``: ``similarity``,
                ``similarity_score_threshold`` or ``mmr``; ``tags``, ``metadata`` and ``name`` for traces.
        """
        for name in kwargs:
            if name in (*SEARCH_ARGUMENTS, "where"):
                search = {"filter" if name == "where" else name: kwargs[name]}
                raise InvalidRequestError(f"as_retriever has no argument {name!r}. Pass search_kwargs={search!r}.")
        check_known(kwargs, set(VectorStoreRetriever.model_fields) - {"vectorstore"}, "as_retriever")
        retriever = super().as_retriever(**kwargs)
        self._check(retriever.search_type, dict(retriever.search_kwargs))
        return retriever

    def _check(self, search_type: str, given: dict[str, Any]) -> None:
        k = given.pop("k", _DEFAULT_K)
        options: dict[str, Any] = {}
        if search_type == "mmr":
            options |= diversity_options(given.pop("lambda_mult", 0.5), given.pop("fetch_k", 20))
        check_search(self.index, k, **search_options(given, _METHODS[search_type]), **options)

    def _search(self, method: str, query: Any, k: int, given: dict[str, Any], **options: Any) -> list[Hit]:
        options |= search_options(given, method)
        return [found.hit for found in search_or_list(self.index, [query], k, **options)[0]]
