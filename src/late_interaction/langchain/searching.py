"""What LangChain's stores and retrievers name the arguments of a search, and the filters that they take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_core.documents import Document as LangChainDocument

from late_interaction.adapters.arguments import check_known, index_of
from late_interaction.adapters.results import Found, check_search, scan, search_many
from late_interaction.documents import Hit
from late_interaction.errors import InvalidRequestError
from late_interaction.filters import AllOf, is_always_true, parse
from late_interaction.langchain.documents import to_langchain
from late_interaction.validation import check_fraction, is_invisible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from late_interaction.cascades import Cascade
    from late_interaction.documents import Document
    from late_interaction.filters import Where
    from late_interaction.index import Index

__all__ = ["SEARCH_ARGUMENTS", "StoreFilter", "one_filter", "restriction", "search_options", "search_or_list"]

StoreFilter: TypeAlias = Mapping[str, Any] | Callable[[LangChainDocument], bool]

SEARCH_ARGUMENTS = ("k", "filter", "where_document", "mode", "score_threshold", "offset")

_MMR = "max_marginal_relevance_search"
_MMR_ARGUMENTS = ("fetch_k", "lambda_mult")


def search_options(given: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Return the options of `adapters.results.search_many` that the keyword arguments of a search stand for.

    Args:
        given: The keyword arguments, as `LateInteractionVectorStore.similarity_search` describes them; without those
            that `max_marginal_relevance_search` alone has.
        method: The name of the method, for errors.

    Raises:
        InvalidRequestError: One is unknown.
    """
    for name in _MMR_ARGUMENTS:
        if name in given:
            raise InvalidRequestError(f"{method} has no argument {name!r}: {_MMR} has, and search_type='mmr'.")
    if "where" in given:
        raise InvalidRequestError(f"{method} has no argument 'where': its name is filter=.")
    check_known(given, (*SEARCH_ARGUMENTS, *(_MMR_ARGUMENTS if method == _MMR else ())), method)
    offset, threshold = given.get("offset"), given.get("score_threshold")
    return {
        **restriction(given.get("filter"), given.get("where_document")),
        "mode": given.get("mode", "late"),
        "min_relevance": None if threshold is None else check_fraction(threshold, "score_threshold"),
        "offset": 0 if offset is None else offset,
    }


def restriction(filter: StoreFilter | None, where_document: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what `adapters.results` calls a filter of LangChain: ``where``, and ``passes`` for a function.

    Args:
        filter: A filter of the metadata, or a function of a document.
        where_document: A filter of the text, as Chroma writes it.
    """
    clauses: list[Where] = [] if where_document is None else [_of_text(where_document)]
    passes = None
    if callable(filter):
        function = filter

        def passes(document: Document) -> bool:
            return function(to_langchain(document))

    elif filter is not None:
        clauses.append(filter)
    where = AllOf(tuple(map(parse, clauses))) if len(clauses) > 1 else next(iter(clauses), None)
    return {"where": where, "passes": passes}


def search_or_list(index: Index | Cascade, queries: Sequence[Any], k: int, **options: Any) -> list[list[Found]]:
    """Return what `adapters.results.search_many` does, and for a blank text with a filter the first that pass.

    `SelfQueryRetriever` asks a space where a question is a filter only, such as "films after 2000". There is nothing to
    compare, so these come in the order of addition, with score and relevance 0.

    Args:
        index: The index or cascade.
        queries: The queries.
        k: The number of hits of each.
        **options: Those of `adapters.results.search_many`.
    """
    blank = [isinstance(query, str) and is_invisible(query) for query in queries]
    where, passes = options["where"], options["passes"]
    is_restricted = passes is not None or (where is not None and not is_always_true(parse(where)))
    if not (any(blank) and is_restricted):
        return search_many(index, queries, k, **options)
    check_search(index, k, **options)
    listed: list[Found] = []
    if not options.get("min_relevance"):
        documents = scan(index_of(index), None, where=where, passes=passes, offset=options.get("offset", 0), limit=k)
        listed = [Found(Hit(document, 0.0, 0.0), [] if options.get("explain") else None) for document in documents]
    asked = [query for query, is_blank in zip(queries, blank, strict=True) if not is_blank]
    found = iter(search_many(index, asked, k, **options) if asked else ())
    return [listed if is_blank else next(found) for is_blank in blank]


def one_filter(filter: Any, where: Any) -> Any:
    """Return the filter that is given by one of its two names.

    Raises:
        InvalidRequestError: Both are given.
    """
    if filter is not None and where is not None:
        raise InvalidRequestError("filter= and where= are two names of one argument: give one of them.")
    return where if filter is None else filter


def _of_text(condition: object) -> dict[str, Any]:
    if isinstance(condition, Mapping) and len(condition) == 1:
        ((operator, parts),) = condition.items()
        if operator in ("$and", "$or") and isinstance(parts, (list, tuple)):
            return {operator: [_of_text(part) for part in parts]}
    return {"$text": condition}
