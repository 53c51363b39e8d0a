"""The modes of search, over ids: late, lexical, and hybrid, which fuses both. Documents are fetched last, and once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from late_interaction.documents import Document, Hit
from late_interaction.engines.records import Match
from late_interaction.errors import InvalidRequestError
from late_interaction.profiling import stage
from late_interaction.retrieval.diversity import diverse
from late_interaction.retrieval.fusion import reciprocal_rank_fusion
from late_interaction.retrieval.queries import Query, encode
from late_interaction.retrieval.scores import LateRelevance, fused_relevance, lexical_relevance
from late_interaction.retrieval.truncation import Truncation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from late_interaction.encoders.protocol import Encoder
    from late_interaction.engines.base import Engine
    from late_interaction.retrieval.queries import QueryLike
    from late_interaction.retrieval.request import SearchRequest

__all__ = ["search_encoded", "search_many", "side_by_side"]

_Hits = TypeVar("_Hits", bound=list[Hit])

_FUSED_PER_HIT, _MIN_FUSED, _MAX_FUSED = 3, 30, 100
"""How many matches of each ranking hybrid search fuses: some for each hit, within bounds, and never fewer than hits.

Ten hits out of 30 have at least the nDCG of ten hits out of 100 (`benchmarks.quality`), and the ranking by MaxSim takes
a third of the time.
"""

_REMOTE_THREADS = 32  # queries of one call that wait for another machine at the same time


class Ranked(NamedTuple):
    """A match with its relevance in [0, 1]."""

    match: Match
    relevance: float


def search_many(
    engine: Engine, load_encoder: Callable[[], Encoder], request: SearchRequest, queries: Iterable[QueryLike]
) -> list[list[Hit]]:
    """Return the hits of each query; they are encoded together and searched at the same time.

    Args:
        engine: The engine.
        load_encoder: Returns the encoder; not called where the mode or the queries need none.
        request: What to search for.
        queries: The queries, in any form (see `queries.Query`). A blank one has no hits.
    """
    if isinstance(queries, (str, Document)) or not isinstance(queries, Iterable):
        raise InvalidRequestError("search_many takes a list of queries; for one query there is search.")
    parsed = [Query.of(query, engine.dim) for query in queries]
    asked = [query for query in parsed if not query.is_blank]
    for query in asked:
        query.check_mode(request.mode)
    with stage("encode"):
        vectors = [None] * len(asked) if request.mode == "lexical" else _encoded(request, asked, load_encoder)
    texts = [query.text or "" for query in asked]
    found = iter(side_by_side(engine, partial(search_encoded, engine, request), texts, vectors))
    return [[] if query.is_blank else next(found) for query in parsed]


def _encoded(
    request: SearchRequest, queries: list[Query], load_encoder: Callable[[], Encoder]
) -> list[NDArray[np.float32]]:
    truncation = Truncation(allowed=request.truncate)
    vectors = encode(queries, load_encoder, truncation)
    truncation.warn()
    return vectors


def side_by_side(
    engine: Engine, search: Callable[..., _Hits], queries: Sequence[Any], encoded: Sequence[Any]
) -> list[_Hits]:
    """Return ``search(query, encoded)`` of each query, in threads: as many as there are cores, or more that wait.

    Args:
        engine: What is searched; threads wait for one on another machine.
        search: The search.
        queries: The queries.
        encoded: What was encoded of each.
    """
    if len(queries) < 2:
        return list(map(search, queries, encoded))
    threads = _REMOTE_THREADS if engine.capabilities.remote else os.cpu_count() or 1
    contexts = [copy_context() for _ in queries]  # one each: a context can be entered once at a time
    with ThreadPoolExecutor(min(len(queries), threads)) as pool:
        return list(pool.map(Context.run, contexts, repeat(search), queries, encoded))


def search_encoded(
    engine: Engine, request: SearchRequest, query: str, query_vectors: NDArray[np.float32] | None
) -> list[Hit]:
    """Return the hits of one query, best first.

    Args:
        engine: The engine.
        request: What to search for.
        query: The words of the query; not used in the mode ``late``.
        query_vectors: (query tokens, dim); None in the mode ``lexical``, which needs none.
    """
    with engine.one_state(short=True):
        ranking = _rank(engine, request, query, query_vectors)[: request.depth]
        if request.diversity is not None:
            ranking = _diverse(engine, request, ranking)
        with stage("fetch"):
            documents = engine.fetch([ranked.match for ranked in ranking])
    return [Hit(documents[match.id], match.score, relevance) for match, relevance in ranking if match.id in documents]


def _rank(
    engine: Engine, request: SearchRequest, query: str, query_vectors: NDArray[np.float32] | None
) -> list[Ranked]:
    """Return the matches of at least the relevance that the request asks for, best first; at least as many as it needs.

    Hybrid search compares the relevance that a document has in mode ``late``: its own tells ranks alone.
    """
    limit = request.min_relevance
    if query_vectors is None:
        matches = _lexical(engine, request, query, request.depth)
        highest = engine.highest_lexical_score(query) if matches else None
        ranking = [Ranked(match, lexical_relevance(match.score, highest)) for match in matches]
        return [ranked for ranked in ranking if ranked.relevance >= limit]
    if request.mode == "late":
        matches = _late(engine, request, query_vectors, request.depth)
        relevance = _relevance(engine, query_vectors) if matches else float
        ranking = [Ranked(match, relevance(match.score)) for match in matches]
        return [ranked for ranked in ranking if ranked.relevance >= limit]
    depth = request.within_limit(_fusion_depth(request))
    late = _late(engine, request, query_vectors, depth)
    ranking = _fused(late, _lexical(engine, request, query, depth))
    if not limit:
        return ranking
    scores = {match.id: match.score for match in late}
    scores |= engine.score(query_vectors, [match.id for match, _ in ranking if match.id not in scores])
    relevance = _relevance(engine, query_vectors)
    return [ranked for ranked in ranking if relevance(scores.get(ranked.match.id, 0.0)) >= limit]


def _fusion_depth(request: SearchRequest) -> int:
    """Return how many matches of each ranking are fused; the most where their relevance leaves some of them out."""
    fused = max(_MIN_FUSED, _FUSED_PER_HIT * request.depth)
    return max(request.depth, _MAX_FUSED if request.min_relevance else min(fused, _MAX_FUSED))


def _fused(*found: list[Match]) -> list[Ranked]:
    """Return the reciprocal rank fusion of several rankings."""
    matches = {match.id: match for ranking in found for match in ranking}
    # A document that was replaced between two searches would get a score of two texts.
    replaced = {match.id for ranking in found for match in ranking if match.version != matches[match.id].version}
    rankings = [[match.id for match in ranking if match.id not in replaced] for ranking in found]
    return [
        Ranked(Match(match_id, score, matches[match_id].version), fused_relevance(score, len(rankings)))
        for match_id, score in reciprocal_rank_fusion(rankings).items()
    ]


def _relevance(engine: Engine, query_vectors: NDArray[np.float32]) -> LateRelevance:
    with stage("relevance"):
        return LateRelevance.of(query_vectors, engine.null_score(query_vectors))


def _late(engine: Engine, request: SearchRequest, query_vectors: NDArray[np.float32], depth: int) -> list[Match]:
    return _matches(partial(engine.search, query_vectors, depth, where=request.clause), request, depth)


def _lexical(engine: Engine, request: SearchRequest, query: str, depth: int) -> list[Match]:
    return _matches(partial(engine.search_lexical, query, depth, where=request.clause), request, depth)


def _matches(find: Callable[..., list[Match]], request: SearchRequest, depth: int) -> list[Match]:
    """Return the best matches among the candidates, of which an engine may take a limited number at a time."""
    groups = request.candidate_groups()
    if len(groups) == 1:
        return find(candidates=groups[0])
    found = [match for group in groups for match in find(candidates=group)]
    return sorted(found, key=lambda match: -match.score)[:depth]


def _diverse(engine: Engine, request: SearchRequest, ranking: list[Ranked]) -> list[Ranked]:
    vectors = engine.vectors([match.id for match, _ in ranking])
    ranking = [ranked for ranked in ranking if ranked.match.id in vectors]  # others were deleted meanwhile
    chosen = diverse(
        [relevance for _, relevance in ranking],
        [vectors[match.id] for match, _ in ranking],
        request.k,
        diversity=request.diversity or 0.0,
        null_score=engine.null_score,
    )
    return [ranking[position] for position in chosen]
