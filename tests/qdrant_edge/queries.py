"""Queries of the client's models, with their prefetches, as queries of Edge."""

from __future__ import annotations

import datetime

import qdrant_edge as edge
from qdrant_client.http import models

from .errors import invalid, not_found
from .filters import edge_filter, point_id
from .vectors import edge_payload_selector, edge_vector

_DEFAULT_LIMIT = 10
_DEFAULT_RRF_K = 2


def edge_query(request: models.QueryRequest, find_vector) -> edge.QueryRequest:
    """Convert a query; `find_vector(id, name)` gives the vector of a point that is asked by its id."""
    limit = checked_limit(request.limit)
    return edge.QueryRequest(
        limit=limit,
        offset=request.offset or 0,
        query=_scoring(request, limit, find_vector),
        prefetches=_prefetches(request.prefetch, find_vector),
        with_vector=False if request.with_vector is None else request.with_vector,
        with_payload=edge_payload_selector(request.with_payload, default=False),
        filter=_filter(request),
        score_threshold=request.score_threshold,
        params=edge_params(request.params),
    )


def checked_limit(limit: int | None) -> int:
    """Return the number of points asked for, at least one."""
    if limit is None:
        return _DEFAULT_LIMIT
    if limit < 1:
        raise invalid(f"limit: value {limit} invalid, must be 1 or larger")
    return limit


def _prefetches(prefetch, find_vector) -> list[edge.Prefetch]:
    if prefetch is None:
        return []
    return [
        edge.Prefetch(
            limit=checked_limit(each.limit),
            query=_scoring(each, checked_limit(each.limit), find_vector),
            prefetches=_prefetches(each.prefetch, find_vector),
            params=edge_params(each.params),
            filter=_filter(each),
            score_threshold=each.score_threshold,
        )
        for each in (prefetch if isinstance(prefetch, list) else [prefetch])
    ]


def _nearest_vector(query):
    return query.nearest if isinstance(query, models.NearestQuery) else query


def _is_id(query) -> bool:
    return isinstance(query, (int, str)) or type(query).__name__ == "UUID"


def _filter(request):
    """A point that is asked by its id is not among its results."""
    asked = _nearest_vector(request.query)
    if not _is_id(asked):
        return edge_filter(request.filter)
    itself = models.Filter(must_not=[models.HasIdCondition(has_id=[asked])])
    return edge_filter(models.Filter(must=[each for each in (request.filter, itself) if each is not None]))


def _scoring(request, limit, find_vector):
    query = request.query
    match query:
        case None:
            return None
        case models.FusionQuery():
            return edge.Fusion.Rrf(_DEFAULT_RRF_K) if query.fusion == models.Fusion.RRF else edge.Fusion.Dbsf()
        case models.RrfQuery():
            return edge.Fusion.Rrf(_DEFAULT_RRF_K if query.rrf.k is None else query.rrf.k, query.rrf.weights)
        case models.OrderByQuery():
            return edge_order(query.order_by)
        case models.SampleQuery():
            return edge.Sample.Random
        case models.TextQuery():
            return _text_query(query.text, request.using)
    vector = _nearest_vector(query)
    vector = find_vector(point_id(vector), request.using or "") if _is_id(vector) else edge_vector(vector)
    mmr = getattr(query, "mmr", None)
    if mmr is None:
        return edge.Query.Nearest(vector, using=request.using)
    relevance = 1 - (0.5 if mmr.diversity is None else mmr.diversity)
    return edge.Mmr(vector, relevance, mmr.candidates_limit or limit, using=request.using)


def _text_query(text, field):
    if isinstance(text, str):
        return edge.TextQuery(field, text)
    bm25 = text.scoring and text.scoring.bm25
    return edge.TextQuery(field, text.query, bm25 and edge.Bm25Params(k=bm25.k, b=bm25.b))


def edge_order(order_by) -> edge.OrderBy | None:
    """Convert an order by a payload field."""
    if order_by is None:
        return None
    if isinstance(order_by, str):
        return edge.OrderBy(order_by)
    start = order_by.start_from
    if isinstance(start, (datetime.datetime, datetime.date)):
        start = start.isoformat()
    descending = order_by.direction == models.Direction.DESC
    return edge.OrderBy(order_by.key, edge.Direction.Desc if descending else edge.Direction.Asc, start)


def edge_params(params: models.SearchParams | None) -> edge.SearchParams | None:
    """Convert how a search is done: exact or not, from quantized vectors or not."""
    if params is None:
        return None
    quantization, acorn = params.quantization, params.acorn
    return edge.SearchParams(
        hnsw_ef=params.hnsw_ef,
        exact=bool(params.exact),
        quantization=quantization
        and edge.QuantizationSearchParams(bool(quantization.ignore), quantization.rescore, quantization.oversampling),
        indexed_only=bool(params.indexed_only),
        acorn=acorn and edge.AcornSearchParams(bool(acorn.enable), acorn.max_selectivity),
        idf=_idf(params.idf),
    )


def _idf(idf):
    if isinstance(idf, models.IdfCorpusParams):
        return edge.IdfParams(edge_filter(idf.corpus))
    return None  # of the whole collection


def missing_vector(id_, name) -> Exception:
    """The error for a point that has no such vector."""
    return not_found(f"Vectors with name `{name}` for point id {id_}")
