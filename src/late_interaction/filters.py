"""The ``where`` language: parsed once into a small syntax tree, which every engine compiles.

A filter is a dict of fields and conditions, in the manner of MongoDB::

    {"lang": "en", "year": {"$gte": 2020}, "$or": [{"tags": "new"}, {"author.name": {"$in": ["Ada", "Alan"]}}]}

The meaning, which `matches` defines and every engine must share:

* A field is a dotted path into the metadata; a path passes through lists of dicts (``authors.name``).
* A list matches a condition if one of its elements does, or if the list itself is equal to the operand.
* Values of different types are never equal and never compared: ``1`` is not ``"1"``, ``True`` is not ``1``.
* ``$ne``, ``$nin`` and ``$not`` are plain negations, so they also match documents without the field.
* ``{"field": None}`` matches a null and a missing field.
* ``$contains`` is Python's ``in``: a substring of a string, an element of a list.

Wherever a filter is taken, its syntax tree may be given instead: it also says what the dicts cannot, such as that the
elements of a list do not count, which is how other libraries' filters are translated.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from late_interaction.documents import check_string, plain_json
from late_interaction.errors import InvalidDocumentError, InvalidFilterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
    "Where",
    "field_values",
    "matches",
    "parse",
]

Kind: TypeAlias = Literal["null", "bool", "number", "string", "json"]
_MAX_DEPTH = 32  # deeper is a mistake, and SQL compilers have a limit of their own


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


def parse(where: Where) -> Filter:
    """Parse a ``where`` dict; a syntax tree is one already.

    Raises:
        InvalidFilterError: An unknown operator or an operand of the wrong type; the message names it.

    Example:
        >>> parse({"year": {"$gte": 2020}}).operand
        FieldValue(kind='number', value=2020, is_element=False)
    """
    return where if isinstance(where, Filter) else _parse(where, depth=0)


def _parse(where: object, depth: int) -> Filter:
    if not isinstance(where, Mapping):
        raise InvalidFilterError(f"A filter must be a dict, not {type(where).__name__}.")
    if depth > _MAX_DEPTH:
        raise InvalidFilterError(f"The filter is nested more than {_MAX_DEPTH} levels deep.")
    clauses: list[Filter] = []
    for key, operand in where.items():
        if not isinstance(key, str):
            raise InvalidFilterError(f"A field must be a string, not {key!r}.")
        if key in ("$and", "$or"):
            if not isinstance(operand, (list, tuple)) or not operand:
                raise InvalidFilterError(f"{key} takes a list of one or more filters, not {reprlib.repr(operand)}.")
            parts = tuple(_parse(part, depth + 1) for part in operand)
            clauses.append(AllOf(parts) if key == "$and" else AnyOf(parts))
        elif key == "$not":
            clauses.append(Not(_parse(operand, depth + 1)))
        elif key.startswith("$"):
            raise InvalidFilterError(
                f"Unknown operator {key!r}. At this place: a field name, $and, $or or $not. "
                f"Inside a field: {', '.join(_OPERATORS)}."
            )
        else:
            clauses.append(_parse_field(key, operand, depth + 1))
    return clauses[0] if len(clauses) == 1 else AllOf(tuple(clauses))


def _parse_field(field: str, condition: object, depth: int) -> Filter:
    try:
        check_string(field, "A field")
    except InvalidDocumentError as error:
        raise InvalidFilterError(str(error)) from None
    if field.startswith("_"):
        raise InvalidFilterError(f"The field {field!r} begins with '_': such metadata is stored but not filterable.")
    if depth > _MAX_DEPTH:
        raise InvalidFilterError(f"The filter is nested more than {_MAX_DEPTH} levels deep.")
    operators = isinstance(condition, Mapping) and any(str(key).startswith("$") for key in condition)
    if not operators:
        return In(field, (_operand(field, "$eq", condition),))
    clauses: list[Filter] = []
    for operator, operand in condition.items():  # type: ignore[attr-defined]  # a Mapping, by the line above
        if operator == "$not":
            clauses.append(Not(_parse_field(field, operand, depth + 1)))
        elif operator in _OPERATORS:
            clauses.append(_OPERATORS[operator](field, operator, operand))
        else:
            raise InvalidFilterError(
                f"Unknown operator {operator!r} for the field {field!r}. Known: {', '.join(_OPERATORS)}, $not."
            )
    return clauses[0] if len(clauses) == 1 else AllOf(tuple(clauses))


def _operand(field: str, operator: str, value: object) -> FieldValue:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return FieldValue("number", _comparable(field, operator, value))
    try:
        return FieldValue.of(plain_json(value, "the operand"))
    except InvalidDocumentError as error:  # what no document can hold
        raise InvalidFilterError(f"{operator} of the field {field!r}: {error}") from None


def _comparable(field: str, operator: str, number: float) -> float:
    """The number as SQLite compares it. Unlike a document a filter may name infinity, and integers beyond 64 bits."""
    try:
        wide = float(number)
    except OverflowError:
        raise InvalidFilterError(f"{operator} of the field {field!r} has an integer beyond all numbers.") from None
    if math.isnan(wide):
        raise InvalidFilterError(f"{operator} of the field {field!r} cannot take NaN, which equals nothing.")
    return number if isinstance(number, float) or -(2**63) <= number < 2**63 else wide


def _operands(field: str, operator: str, value: object) -> tuple[FieldValue, ...]:
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise InvalidFilterError(f"{operator} of the field {field!r} takes a list, not {reprlib.repr(value)}.")
    return tuple(_operand(field, operator, item) for item in value)


def _parse_compare(field: str, operator: Any, value: object) -> Filter:
    operand = _operand(field, operator, value)
    if operand.kind not in ("number", "string"):
        raise InvalidFilterError(
            f"{operator} of the field {field!r} takes a number or a string, not {reprlib.repr(value)}."
        )
    return Compare(field, operator, operand)


def _parse_exists(field: str, operator: str, value: object) -> Filter:
    if not isinstance(value, bool):
        raise InvalidFilterError(f"{operator} of the field {field!r} takes True or False, not {reprlib.repr(value)}.")
    return Exists(field) if value else Not(Exists(field))


def _parse_all(field: str, operator: str, value: object) -> Filter:
    operands = _operands(field, operator, value)
    if not operands:
        raise InvalidFilterError(f"{operator} of the field {field!r} takes a list of one or more values.")
    return AllOf(tuple(In(field, (operand,)) for operand in operands))


_OPERATORS: dict[str, Callable[[str, str, object], Filter]] = {
    "$eq": lambda field, operator, value: In(field, (_operand(field, operator, value),)),
    "$ne": lambda field, operator, value: Not(In(field, (_operand(field, operator, value),))),
    "$in": lambda field, operator, value: In(field, _operands(field, operator, value)),
    "$nin": lambda field, operator, value: Not(In(field, _operands(field, operator, value))),
    "$gt": _parse_compare,
    "$gte": _parse_compare,
    "$lt": _parse_compare,
    "$lte": _parse_compare,
    "$all": _parse_all,
    "$contains": lambda field, operator, value: Contains(field, _operand(field, operator, value)),
    "$exists": _parse_exists,
}


def field_values(metadata: Mapping[str, Any]) -> Iterator[tuple[str, FieldValue]]:
    """Every (path, value) that a filter can see: what an engine must index.

    Example:
        >>> [(path, value.value) for path, value in field_values({"a": {"b": 1}, "t": ["x"]})]
        [('a', '{"b": 1}'), ('a.b', 1), ('t', '["x"]'), ('t', 'x')]
    """
    for key, value in metadata.items():
        if not key.startswith("_"):
            yield from _walk(key, value)


def _walk(path: str, value: object) -> Iterator[tuple[str, FieldValue]]:
    yield path, FieldValue.of(value)
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _walk(f"{path}.{key}", item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield path, FieldValue.of(item, is_element=True)
            if isinstance(item, Mapping):
                for key, inner in item.items():
                    yield from _walk(f"{path}.{key}", inner)


def matches(clause: Filter, metadata: Mapping[str, Any]) -> bool:
    """Whether a document with this metadata passes: the definition that engines are held to."""
    fields: dict[str, list[FieldValue]] = {}
    for path, value in field_values(metadata):
        fields.setdefault(path, []).append(value)
    return _holds(clause, fields)


def _holds(clause: Filter, fields: Mapping[str, list[FieldValue]]) -> bool:
    match clause:
        case AllOf(clauses):
            return all(_holds(part, fields) for part in clauses)
        case AnyOf(clauses):
            return any(_holds(part, fields) for part in clauses)
        case Not(part):
            return not _holds(part, fields)
        case Exists(field):
            return field in fields
        case In(field, operands, elements):
            if field not in fields:
                return any(operand.kind == "null" for operand in operands)
            return any(value.equals(operand) for value in _values(fields, field, elements) for operand in operands)
        case Contains(field, operand, elements):
            return any(_contains(value, clause) for value in _values(fields, field, elements))
        case Compare(field, operator, operand, elements):
            return any(_compare(value, operator, operand) for value in _values(fields, field, elements))


def _values(fields: Mapping[str, list[FieldValue]], field: str, elements: bool) -> list[FieldValue]:  # noqa: FBT001
    return [value for value in fields.get(field, ()) if elements or not value.is_element]


def _contains(value: FieldValue, clause: Contains) -> bool:
    if value.is_element:
        return value.equals(clause.operand)
    text = str(value.value).lower() if clause.ignore_case else str(value.value)
    return value.kind == clause.operand.kind == "string" and str(clause.operand.value) in text


def _compare(value: FieldValue, operator: str, operand: FieldValue) -> bool:
    if value.kind != operand.kind:
        return False
    left: Any = value.value
    right: Any = operand.value
    match operator:
        case "$gt":
            return bool(left > right)
        case "$gte":
            return bool(left >= right)
        case "$lt":
            return bool(left < right)
        case _:
            return bool(left <= right)
