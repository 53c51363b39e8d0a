"""What the retrievers and vector stores of every framework ask of an index, and the metadata keys of the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from late_interaction.engines.base import require
from late_interaction.errors import InvalidRequestError
from late_interaction.retrieval.request import SearchRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Unpack

    from late_interaction.documents import Document, Hit
    from late_interaction.filters import Where
    from late_interaction.index import Index
    from late_interaction.retrieval.request import SearchOptions

__all__ = [
    "MATCH_SPANS",
    "RELEVANCE_SCORE",
    "RETRIEVAL_SCORE",
    "Found",
    "check_search",
    "diversity_options",
    "search",
    "search_many",
]

RELEVANCE_SCORE = "relevance_score"
"""The metadata key for the relevance of a hit, in [0, 1]."""

MATCH_SPANS = "match_spans"
"""The metadata key for the words or patches that match."""

RETRIEVAL_SCORE = "retrieval_score"
"""The metadata key for the score that a document had before it was reranked."""


class Found(NamedTuple):
    """A hit, and the words or patches of it that match, as JSON values; None where nobody asked for them."""

    hit: Hit
    match_spans: list[dict[str, Any]] | None

    def metadata(self, *, with_score: bool) -> dict[str, Any]:
        """Return what is added to the metadata of the hit: the match spans if there are any, and the relevance."""
        added: dict[str, Any] = {RELEVANCE_SCORE: self.hit.relevance} if with_score else {}
        return added if self.match_spans is None else {**added, MATCH_SPANS: self.match_spans}


def search_many(
    index: Index, queries: Sequence[str], k: int, *, explain: bool = False, **options: Unpack[SearchOptions]
) -> list[list[Found]]:
    """Return the hits of several queries, which are encoded together. See `Index.search`.

    Documents deleted or replaced after the search, and pages whose image is needed and gone, get no match spans.

    Args:
        index: The index.
        queries: The queries.
        k: The number of hits of each.
        explain: Add the words or patches that match.
        **options: Those of `Index.search`.
    """
    found = index.search_many(queries, k, **options)
    return [_explained(index, query, hits, explain=explain) for query, hits in zip(queries, found, strict=True)]


def check_search(index: Index, k: int, *, explain: bool = False, **options: Unpack[SearchOptions]) -> None:
    """Check the arguments of `search_many` without searching.

    Raises:
        InvalidRequestError: An argument is out of range.
        InvalidFilterError: The filter is malformed.
        UnsupportedError: The engine lacks what one of them needs.
    """
    SearchRequest.of(index.engine, k, **options)
    if explain:
        require(index.engine, "vectors")


def _explained(index: Index, query: str, hits: list[Hit], *, explain: bool) -> list[Found]:
    if not (explain and hits):
        return [Found(hit, None) for hit in hits]
    explanations = index.explain_many(query, [hit.id for hit in hits])
    found = []
    for hit in hits:
        explanation = explanations.get(hit.id)
        is_of_hit = explanation is not None and explanation.document == hit.document
        found.append(Found(hit, explanation.to_dicts() if explanation is not None and is_of_hit else []))
    return found


def search(
    index: Index,
    query: str,
    k: int,
    *,
    where: Where | Callable[[Document], bool] | None,
    **options: Any,
) -> list[Hit]:
    """Return the k best documents, best first. See `Index.search`.

    Args:
        index: The index.
        query: The query.
        k: The number of hits.
        where: A filter; or a function, which is called with every document of the index.
        **options: Those of `Index.search`.
    """
    if not callable(where):
        return index.search(query, k, where=where, **options)
    with index.one_state():
        passing = [document.id for document in index.scan() if where(document)]
        return index.search(query, k, candidates=passing, **options)


def diversity_options(lambda_mult: float, fetch_k: int) -> SearchOptions:
    """Return the options of `Index.search` for maximal marginal relevance as frameworks ask for it.

    Args:
        lambda_mult: 1 counts relevance alone, 0 difference alone.
        fetch_k: The number of best documents among which the diverse ones are chosen.

    Raises:
        InvalidRequestError: ``lambda_mult`` is out of range.
    """
    if not 0 <= lambda_mult <= 1:
        raise InvalidRequestError(f"lambda_mult must be between 0 and 1, got {lambda_mult!r}.")
    return {"diversity": 1 - lambda_mult, "diversity_pool": fetch_k}
