"""Filters of the client's models as filters of Edge."""

from __future__ import annotations

import uuid

import numpy as np
import qdrant_edge as edge
from qdrant_client.http import models

from .errors import ServerError, unsupported


def point_id(value) -> int | str:
    """Return an id that Edge takes; the server knows unsigned integers and UUIDs."""
    try:
        if isinstance(value, int):
            if 0 <= value < 1 << 64:
                return value
        else:
            return str(value if isinstance(value, uuid.UUID) else uuid.UUID(value))
    except ValueError:
        pass
    raise ServerError(
        400,
        f"Format error in JSON body: value {value} is not a valid point ID, valid values are either an unsigned "
        "integer or a UUID",
    )


def edge_filter(filter_: models.Filter | None) -> edge.Filter | None:
    """Convert a filter with all that is nested in it."""
    if filter_ is None:
        return None
    min_should = filter_.min_should
    return edge.Filter(
        must=_conditions(filter_.must),
        should=_conditions(filter_.should),
        must_not=_conditions(filter_.must_not),
        min_should=min_should and edge.MinShould(_conditions(min_should.conditions), min_should.min_count),
    )


def _conditions(conditions):
    if not conditions:  # over gRPC, an empty list and none are the same
        return None
    return [_condition(each) for each in (conditions if isinstance(conditions, list) else [conditions])]


def _condition(condition):
    match condition:
        case models.Filter():
            return edge_filter(condition)
        case models.FieldCondition():
            return _field_condition(condition)
        case models.HasIdCondition():
            return edge.HasIdCondition({_hashable_id(each) for each in condition.has_id})
        case models.HasVectorCondition():
            return edge.HasVectorCondition(condition.has_vector)
        case models.IsEmptyCondition():
            return edge.IsEmptyCondition(condition.is_empty.key)
        case models.IsNullCondition():
            return edge.IsNullCondition(condition.is_null.key)
        case models.NestedCondition():
            return edge.NestedCondition(condition.nested.key, edge_filter(condition.nested.filter))
    raise unsupported(f"the condition {type(condition).__name__}")


def _hashable_id(value):
    known = point_id(value)
    return known if isinstance(known, int) else uuid.UUID(known)


def _field_condition(condition: models.FieldCondition):
    if condition.geo_bounding_box or condition.geo_radius or condition.geo_polygon:
        raise unsupported("a geographic condition")
    count = condition.values_count
    return edge.FieldCondition(
        condition.key,
        match=_match(condition.match),
        range=_range(condition.range),
        values_count=count and edge.ValuesCount(lt=count.lt, gt=count.gt, lte=count.lte, gte=count.gte),
        is_empty=condition.is_empty,
        is_null=condition.is_null,
    )


def _match(match):
    if match is None:
        return None
    (value,) = (getattr(match, name) for name in type(match).model_fields)
    if isinstance(value, bool):
        value = np.bool_(value)  # the bindings of 0.9.0 take a bool of Python for an integer, which no boolean equals
    return getattr(edge, type(match).__name__)(value)  # both libraries name these classes alike


def _range(range_):
    if range_ is None:
        return None
    bounds = {name: getattr(range_, name) for name in ("gte", "gt", "lte", "lt")}
    if isinstance(range_, models.DatetimeRange):
        return edge.RangeDateTime(**{name: value and value.isoformat() for name, value in bounds.items()})
    return edge.RangeFloat(**bounds)
