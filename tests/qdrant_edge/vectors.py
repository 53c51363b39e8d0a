"""Vectors, points and payload selectors of the client's models as those of Edge, and results back."""

from __future__ import annotations

import numpy as np
import qdrant_edge as edge
from qdrant_client.http import models

from .errors import invalid, unsupported
from .filters import point_id


def edge_vector(vector):
    """Convert one vector: dense, a list of dense ones, or sparse."""
    if isinstance(vector, models.SparseVector):
        if len(vector.indices) != len(vector.values):
            raise invalid("values: must be the same length as indices")
        if len(set(vector.indices)) != len(vector.indices):
            raise invalid("indices: must be unique")
        return edge.SparseVector(vector.indices, vector.values)
    if isinstance(vector, np.ndarray):
        return vector.tolist()
    if isinstance(vector, list):
        return vector
    raise unsupported(f"inference of {type(vector).__name__}")


def edge_vectors(vectors):
    """Convert the vectors of a point: one without a name, or several by name."""
    if isinstance(vectors, dict):
        return {name: edge_vector(vector) for name, vector in vectors.items()}
    return edge_vector(vectors)


def edge_points(operation) -> list[edge.Point]:
    """Return the points of an upsert, which come as a list or in columns."""
    if isinstance(operation, models.PointsList):
        return [edge.Point(point_id(each.id), edge_vectors(each.vector), each.payload) for each in operation.points]
    batch = operation.batch
    payloads = batch.payloads or [None] * len(batch.ids)
    columns = batch.vectors if isinstance(batch.vectors, dict) else {None: batch.vectors}
    if {len(batch.ids)} != {len(each) for each in [payloads, *columns.values()]}:
        raise invalid("batch: number of ids, vectors and payloads must be the same")
    points = []
    for number, (id_, payload) in enumerate(zip(batch.ids, payloads, strict=True)):
        vectors = {name: column[number] for name, column in columns.items()}
        points.append(edge.Point(point_id(id_), edge_vectors(vectors.get(None, vectors)), payload))
    return points


def edge_payload_selector(selector, default):
    """Convert the choice of payload fields."""
    match selector:
        case None:
            return default
        case models.PayloadSelectorInclude():
            return edge.PayloadSelector.Include(selector.include)
        case models.PayloadSelectorExclude():
            return edge.PayloadSelector.Exclude(selector.exclude)
    return selector


def _client_vector(vector):
    if isinstance(vector, edge.SparseVector):
        return models.SparseVector.model_construct(indices=vector.indices, values=vector.values)
    return vector


def _client_vectors(vectors):
    if not isinstance(vectors, dict):
        return vectors
    if vectors.keys() == {""}:
        return vectors[""]
    return {name: _client_vector(vector) for name, vector in vectors.items()}


def _client_id(id_) -> int | str:
    return id_ if isinstance(id_, int) else str(id_)


def client_record(record: edge.Record) -> models.Record:
    """Convert what a scroll or a retrieval found."""
    return models.Record.model_construct(
        id=_client_id(record.id),
        payload=record.payload,
        vector=_client_vectors(record.vector),
        shard_key=None,
        order_value=record.order_value,
    )


def client_scored_point(point: edge.ScoredPoint) -> models.ScoredPoint:
    """Convert what a query found."""
    return models.ScoredPoint.model_construct(
        id=_client_id(point.id),
        version=point.version,
        score=point.score,
        payload=point.payload,
        vector=_client_vectors(point.vector),
        shard_key=None,
        order_value=point.order_value,
    )
