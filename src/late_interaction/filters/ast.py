"""The syntax tree of a filter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

__all__ = [
    "AllOf",
    "AnyOf",
    "Compare",
    "Contains",
    "Exists",
    "FieldValue",
    "Filter",
    "In",
    "Not",
    "TextContains",
    "Where",
]

Kind: TypeAlias = Literal["null", "bool", "number", "string", "json"]


@dataclass(frozen=True)
class FieldValue:
    """A comparable value of the metadata: a scalar, or a whole list or dict as canonical JSON (kind ``json``).

    ``is_element`` is true for an element of a list.
    """

    kind: Kind
    value: bool | int | float | str | None
    is_element: bool = False

    @staticmethod
    def of(value: object, *, is_element: bool = False) -> FieldValue:
        """Return the comparable form of a JSON value."""
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
        """Return whether both have the same kind and value; ``is_element`` is ignored."""
        return self.kind == other.kind and self.value == other.value


def _canonical(value: object) -> object:
    """Return the value with integral floats as integers, so that equal lists have equal JSON."""
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


@dataclass(frozen=True)
class In:
    """The field equals one of the values (``$eq``, ``$in``). With ``elements``, an element of a list may equal one."""

    field: str
    values: tuple[FieldValue, ...]
    elements: bool = True


@dataclass(frozen=True)
class Compare:
    """The field is a number or string that compares this way to the operand (``$gt``, ``$gte``, ``$lt``, ``$lte``)."""

    field: str
    operator: Literal["$gt", "$gte", "$lt", "$lte"]
    operand: FieldValue
    elements: bool = True


@dataclass(frozen=True)
class Contains:
    """The field is a string with this substring, or a list with this element (``$contains``).

    With ``ignore_case``, the string is converted to lower case. The operand must be in lower case.
    """

    field: str
    operand: FieldValue
    elements: bool = True
    ignore_case: bool = False


@dataclass(frozen=True)
class Exists:
    """The field exists; its value may be null (``$exists``)."""

    field: str


@dataclass(frozen=True)
class TextContains:
    """The text of the document has this substring (``$text``), case-sensitive."""

    substring: str


@dataclass(frozen=True)
class AllOf:
    """Every clause is true (``$and``, and the entries of one dict). True if there are no clauses."""

    clauses: tuple[Filter, ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one clause is true (``$or``)."""

    clauses: tuple[Filter, ...]


@dataclass(frozen=True)
class Not:
    """The clause is false (``$not``)."""

    clause: Filter


Filter: TypeAlias = In | Compare | Contains | Exists | TextContains | AllOf | AnyOf | Not
Where: TypeAlias = Mapping[str, Any] | Filter
