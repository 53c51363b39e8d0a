"""The syntax tree of a filter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

__all__ = ["AllOf", "AnyOf", "Compare", "Contains", "Exists", "FieldValue", "Filter", "In", "Not", "Where"]

Kind: TypeAlias = Literal["null", "bool", "number", "string", "json"]


@dataclass(frozen=True)
class FieldValue:
    """One comparable value: a scalar of the metadata, or a whole list or dict as canonical JSON (kind ``json``).

    ``is_element`` tells an element of a list from a value that stands alone.
    """

    kind: Kind
    value: bool | int | float | str | None
    is_element: bool = False

    @staticmethod
    def of(value: object, *, is_element: bool = False) -> FieldValue:
        """The comparable form of a JSON value."""
        if value is None:
            return FieldValue("null", None, is_element)
        if isinstance(value, bool):
            return FieldValue("bool", value, is_element)
        if isinstance(value, (int, float)):
            return FieldValue("number", value, is_element)
        if isinstance(value, str):
            return FieldValue("string", value, is_element)
        return FieldValue("json", json.dumps(_canonical(value), sort_keys=True, ensure_ascii=False), is_element)

    def equals(self, other: FieldValue) -> bool:
        """Whether both are the same value, whatever place they stand in."""
        return self.kind == other.kind and self.value == other.value


def _canonical(value: object) -> object:
    """The value with 1.0 written as 1, so that equal lists have equal JSON."""
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


@dataclass(frozen=True)
class In:
    """The field equals one of the values (``$eq``, ``$in``); or one of its ``elements`` does, if they count."""

    field: str
    values: tuple[FieldValue, ...]
    elements: bool = True


@dataclass(frozen=True)
class Compare:
    """The field is a number or string in this order to the operand (``$gt``, ``$gte``, ``$lt``, ``$lte``)."""

    field: str
    operator: Literal["$gt", "$gte", "$lt", "$lte"]
    operand: FieldValue
    elements: bool = True


@dataclass(frozen=True)
class Contains:
    """The field is a string with this substring, or a list with this element (``$contains``).

    With ``ignore_case`` the substring is sought in lower case, in which the operand must be given.
    """

    field: str
    operand: FieldValue
    elements: bool = True
    ignore_case: bool = False


@dataclass(frozen=True)
class Exists:
    """The field is there, if only as a null (``$exists``)."""

    field: str


@dataclass(frozen=True)
class AllOf:
    """Every clause holds (``$and``, and the entries of one dict). No clause: always true."""

    clauses: tuple[Filter, ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one clause holds (``$or``)."""

    clauses: tuple[Filter, ...]


@dataclass(frozen=True)
class Not:
    """The clause does not hold."""

    clause: Filter


Filter: TypeAlias = In | Compare | Contains | Exists | AllOf | AnyOf | Not
Where: TypeAlias = Mapping[str, Any] | Filter
