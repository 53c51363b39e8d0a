"""What the retrievers and vector stores of every framework ask of an index, and the metadata keys of the answers."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from late_interaction.adapters.arguments import index_of
from late_interaction.cascades import Cascade
from late_interaction.engines.base import require
from late_interaction.errors import InvalidRequestError
from late_interaction.retrieval.request import SearchRequest
from late_interaction.validation import check_count, check_fraction, check_ids, check_k

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

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
    "scan",
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
    index: Index | Cascade,
    queries: Sequence[Any],
    k: int,
    *,
    passes: Callable[[Document], bool] | None = None,
    offset: int = 0,
    explain: bool = False,
    **options: Unpack[SearchOptions],
) -> list[list[Found]]:
    """Return the hits of several queries, which are encoded together. See `Index.search` and `Cascade.search`.

    Documents deleted or replaced after the search, and pages whose image is needed and gone, get no match spans.

    Args:
        index: The index or cascade.
        queries: The queries.
        k: The number of hits of each.
        passes: Only documents for which this function is true. It is called with every document that passes ``where``.
        offset: Leave out this many of the best hits.
        explain: Add the words or patches that match.
        **options: Those of `Index.search`.

    Raises:
        InvalidRequestError: A cascade is asked for a mode or for diversity.
    """
    depth = check_k(k) + check_count(offset, "offset")
    with nullcontext() if passes is None else index_of(index).one_state():
        if passes is not None:
            options["candidates"] = [
                document.id for document in index_of(index).scan(where=options.get("where")) if passes(document)
            ]
        found: Sequence[list[Hit]]
        if isinstance(index, Cascade):
            found = index.search_many(queries, depth, **_options_of_cascade(options))
        else:
            found = index.search_many(queries, depth, **options)
    return [
        _explained(index_of(index), query, hits[offset:], explain=explain)
        for query, hits in zip(queries, found, strict=True)
    ]


def check_search(
    index: Index | Cascade,
    k: int,
    *,
    passes: Callable[[Document], bool] | None = None,
    offset: int = 0,
    explain: bool = False,
    **options: Unpack[SearchOptions],
) -> None:
    """Check the arguments of `search_many` without searching.

    Raises:
        InvalidRequestError: An argument is out of range.
        InvalidFilterError: The filter is malformed.
        UnsupportedError: The engine lacks what one of them needs.
    """
    del passes  # any function may be one
    depth = check_k(k) + check_count(offset, "offset")
    if isinstance(index, Cascade):
        index.check(depth, **_options_of_cascade(options))
    else:
        SearchRequest.of(index.engine, depth, **options)
    if explain:
        require(index.engine, "vectors")


def scan(
    index: Index,
    ids: Iterable[str] | None,
    *,
    where: Where | None = None,
    passes: Callable[[Document], bool] | None = None,
    offset: int = 0,
    limit: int | None = None,
) -> list[Document]:
    """Return stored documents, in the order of the ids, or else of addition.

    Args:
        index: The index.
        ids: Only documents of these ids. Unknown ids are left out.
        where: Only documents that pass this filter.
        passes: Only documents for which this function is true.
        offset: Leave out this many of the first documents.
        limit: Return at most this many; None for all.
    """
    check_count(offset, "offset")
    stop = None if limit is None else offset + check_count(limit, "limit")
    documents: Iterable[Document]
    if ids is None:
        documents = index.scan(where=where)
    elif where is None:
        documents = index.get(check_ids(ids))
    else:
        wanted = dict.fromkeys(check_ids(ids))
        passing = {document.id: document for document in index.scan(where=where) if document.id in wanted}
        documents = [passing[name] for name in wanted if name in passing]
    return list(islice((each for each in documents if passes is None or passes(each)), offset, stop))


def _options_of_cascade(options: SearchOptions) -> dict[str, Any]:
    """Return the options of `Cascade.search`.

    Raises:
        InvalidRequestError: There is a mode, or diversity.
    """
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if given.pop("mode", "late") != "late":  # the default of retrievers
        raise InvalidRequestError(
            f"mode={options['mode']!r} does not go with a Cascade, whose stages say how documents are ranked. Leave it "
            "out, or pass the Index."
        )
    for name in ("diversity", "diversity_pool"):
        if name in given:
            raise InvalidRequestError(f"A Cascade has no {name}, got {given[name]!r}. Leave it out, or pass the Index.")
    return given


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


def diversity_options(lambda_mult: float, fetch_k: int) -> SearchOptions:
    """Return the options of `Index.search` for maximal marginal relevance as frameworks ask for it.

    Args:
        lambda_mult: 1 counts relevance alone, 0 difference alone.
        fetch_k: The number of best documents among which the diverse ones are chosen.

    Raises:
        InvalidRequestError: One is out of range.
    """
    return {
        "diversity": 1 - check_fraction(lambda_mult, "lambda_mult"),
        "diversity_pool": check_k(fetch_k, "fetch_k"),
    }
