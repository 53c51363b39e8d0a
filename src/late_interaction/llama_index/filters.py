"""LlamaIndex's `MetadataFilters` as filters of ours.

They mean what they mean to core's ``build_metadata_filter_fn``, and may be nested. Where that one raises, since a value
has a type that the operator cannot take, the node does not pass.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Literal

from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters

from late_interaction.errors import InvalidFilterError
from late_interaction.filters import AllOf, AnyOf, Compare, Contains, FieldValue, Filter, In, Not, parse

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["to_filter"]

_NEVER, _ALWAYS = AnyOf(()), AllOf(())
_ORDERS: dict[FilterOperator, tuple[Literal["$gt", "$gte", "$lt", "$lte"], Callable[[Any, Any], bool]]] = {
    FilterOperator.GT: ("$gt", operator.gt),
    FilterOperator.GTE: ("$gte", operator.ge),
    FilterOperator.LT: ("$lt", operator.lt),
    FilterOperator.LTE: ("$lte", operator.le),
}


def to_filter(filters: MetadataFilters) -> Filter:
    """The filter of ours that passes the same nodes.

    Raises:
        InvalidFilterError: An operator without the operand it takes, or a key that cannot be filtered by.
    """
    clauses = tuple(
        to_filter(part) if isinstance(part, MetadataFilters) else _translated(part) for part in filters.filters
    )
    if not clauses or filters.condition in (None, FilterCondition.AND):
        return AllOf(clauses)
    return AnyOf(clauses) if filters.condition == FilterCondition.OR else Not(AnyOf(clauses))


def _translated(part: MetadataFilter) -> Filter:
    key, value = part.key, part.value
    parse({key: None})  # that key can be filtered by
    if part.operator == FilterOperator.IS_EMPTY:
        return In(key, (FieldValue.of(None), FieldValue.of(""), FieldValue.of([])), elements=False)
    if part.operator in _ORDERS:
        return _ordered(key, *_ORDERS[part.operator], value)
    match part.operator:
        case FilterOperator.EQ:
            return _equal(key, value)
        case FilterOperator.NE:
            return Not(_equal(key, value))
        case FilterOperator.IN:
            return AnyOf(tuple(_equal(key, item) for item in _list(part)))
        case FilterOperator.NIN:
            return Not(AnyOf(tuple(_equal(key, item) for item in _list(part))))
        case FilterOperator.ANY:
            return AnyOf(tuple(_contains(key, item) for item in _list(part)))
        case FilterOperator.ALL:
            return AllOf((_there(key), *(_contains(key, item) for item in _list(part))))
        case FilterOperator.CONTAINS:
            return _contains(key, value)
        case FilterOperator.TEXT_MATCH:
            return Contains(key, FieldValue.of(_text(part)), elements=False)
        case FilterOperator.TEXT_MATCH_INSENSITIVE:
            return Contains(key, FieldValue.of(_text(part).lower()), elements=False, ignore_case=True)
    raise InvalidFilterError(f"The operator {part.operator!r} of the field {key!r} is not known.")


def _equal(key: str, value: object) -> Filter:
    """To Python 1 is True, and None passes nothing: core asks for a value first."""
    if value is None:
        return _NEVER
    twins = [bool(value)] if isinstance(value, (int, float)) and value in (0, 1) else []
    return In(key, tuple(map(FieldValue.of, [value, *twins])), elements=False)


def _contains(key: str, value: object) -> Filter:
    if value is None:
        return _NEVER
    twins = [bool(value)] if isinstance(value, (int, float)) and value in (0, 1) else []
    return AnyOf(tuple(Contains(key, FieldValue.of(item)) for item in [value, *twins]))


def _ordered(key: str, name: Any, holds: Callable[[Any, Any], bool], value: object) -> Filter:
    operand = FieldValue.of(value)
    if operand.kind not in ("number", "string"):
        raise InvalidFilterError(f"The field {key!r} can be compared with a number or a string, not {value!r}.")
    clauses: list[Filter] = [Compare(key, name, operand, elements=False)]
    if operand.kind == "number":
        flags = tuple(FieldValue.of(flag) for flag in (False, True) if holds(flag, value))
        clauses.append(In(key, flags, elements=False))
    return AnyOf(tuple(clauses))


def _there(key: str) -> Filter:
    return Not(In(key, (FieldValue.of(None),), elements=False))


def _list(part: MetadataFilter) -> list[Any]:
    if not isinstance(part.value, list):
        raise InvalidFilterError(f"{part.operator.value!r} of the field {part.key!r} takes a list, not {part.value!r}.")
    return part.value


def _text(part: MetadataFilter) -> str:
    if not isinstance(part.value, str):
        raise InvalidFilterError(
            f"{part.operator.value!r} of the field {part.key!r} takes a string, not {part.value!r}."
        )
    return part.value
