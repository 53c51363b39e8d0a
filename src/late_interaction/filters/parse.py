"""Parse a ``where`` dict into a syntax tree."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.errors import InvalidDocumentError, InvalidFilterError
from late_interaction.filters.ast import (
    AllOf,
    AnyOf,
    Compare,
    Contains,
    Exists,
    FieldValue,
    Filter,
    In,
    Not,
    TextContains,
)
from late_interaction.json_values import json_value
from late_interaction.validation import check_string, did_you_mean, plain_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from late_interaction.filters.ast import Where

__all__ = ["parse"]

_MAX_DEPTH = 32  # levels of nesting; SQL compilers have their own limits


def parse(where: Where) -> Filter:
    """Return the syntax tree of a ``where`` dict. A syntax tree is returned unchanged.

    Raises:
        InvalidFilterError: The filter is malformed, for example because of an unknown operator or an operand of the
            wrong type.

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
    for given, operand in where.items():
        key = given.value if isinstance(given, Enum) else given
        if not isinstance(key, str):
            raise InvalidFilterError(f"A field must be a string, not {key!r}.")
        if key in ("$and", "$or"):
            if not isinstance(operand, (list, tuple)) or not operand:
                raise InvalidFilterError(f"{key} takes a list of one or more filters, not {reprlib.repr(operand)}.")
            parts = tuple(_parse(part, depth + 1) for part in operand)
            clauses.append(AllOf(parts) if key == "$and" else AnyOf(parts))
        elif key == "$not":
            clauses.append(Not(_parse(operand, depth + 1)))
        elif key == "$text":
            clauses.append(_parse_text(operand))
        elif key.startswith("$"):
            raise InvalidFilterError(
                f"Unknown operator {key!r}.{did_you_mean(key, _LOGICAL)} Allowed here: a field name, "
                f"{', '.join(_LOGICAL)}. Allowed inside a field: {', '.join(_OPERATORS)} and $not."
            )
        else:
            _check_logical(key, operand)
            clauses.append(_parse_field(key, operand, depth + 1))
    return clauses[0] if len(clauses) == 1 else AllOf(tuple(clauses))


def _check_logical(key: str, operand: object) -> None:
    """Refuse ``and``, ``or`` and ``not`` over filters: without ``$`` they would be the names of fields.

    Raises:
        InvalidFilterError: The operand is a filter, or a list of filters.
    """
    if key == "not":
        is_filter = isinstance(operand, Mapping) and not any(str(name).startswith("$") for name in operand)
    else:
        is_filter = isinstance(operand, (list, tuple)) and all(isinstance(part, Mapping) for part in operand)
    if key in ("and", "or", "not") and operand and is_filter:
        raise InvalidFilterError(
            f"Operators begin with '$': write '${key}' instead of {key!r}. To ask for a field of this name, write "
            f"{{{key!r}: {{'$eq': …}}}}."
        )


def _parse_text(condition: object) -> Filter:
    """Parse the condition of ``$text``."""
    allowed = 'Allowed: {"$contains": "…"} and {"$not_contains": "…"}.'
    if not isinstance(condition, Mapping) or not condition:
        raise InvalidFilterError(f"$text takes a condition on the text, not {reprlib.repr(condition)}. {allowed}")
    clauses: list[Filter] = []
    for operator, operand in condition.items():
        if operator not in ("$contains", "$not_contains"):
            hint = did_you_mean(operator, ("$contains", "$not_contains"))
            raise InvalidFilterError(f"Unknown operator {operator!r} for $text.{hint} {allowed}")
        try:
            check_string(operand, f"{operator} of $text")
        except InvalidDocumentError as error:
            raise InvalidFilterError(str(error)) from None
        contains = TextContains(str.__str__(operand))
        clauses.append(contains if operator == "$contains" else Not(contains))
    return clauses[0] if len(clauses) == 1 else AllOf(tuple(clauses))


def _parse_field(field: str, condition: object, depth: int) -> Filter:
    try:
        check_string(field, "A field")
    except InvalidDocumentError as error:
        raise InvalidFilterError(str(error)) from None
    if field.startswith("_"):
        raise InvalidFilterError(f"The field {field!r} begins with '_', so it is stored but cannot be filtered.")
    if depth > _MAX_DEPTH:
        raise InvalidFilterError(f"The filter is nested more than {_MAX_DEPTH} levels deep.")
    if not isinstance(condition, Mapping):
        return In(field, (_operand(field, "$eq", condition),))
    if not any(str(key).startswith("$") for key in condition):
        if condition and all(f"${key}" in _CONDITIONS for key in condition):
            meant, as_dict = {f"${key}": operand for key, operand in condition.items()}, {"$eq": condition}
            raise InvalidFilterError(
                f"Operators begin with '$': write {reprlib.repr({field: meant})}. To ask for a dict with these keys, "
                f"write {reprlib.repr({field: as_dict})}."
            )
        return In(field, (_operand(field, "$eq", condition),))
    clauses: list[Filter] = []
    for operator, operand in condition.items():
        if operator == "$not":
            clauses.append(Not(_parse_field(field, operand, depth + 1)))
        elif operator in _OPERATORS:
            clauses.append(_OPERATORS[operator](field, operator, operand))
        else:
            raise InvalidFilterError(
                f"Unknown operator {operator!r} for the field {field!r}.{did_you_mean(operator, _CONDITIONS)} "
                f"Allowed: {', '.join(_CONDITIONS)}."
            )
    return clauses[0] if len(clauses) == 1 else AllOf(tuple(clauses))


def _operand(field: str, operator: str, given: object) -> FieldValue:
    try:
        value = json_value(given, "the operand")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return FieldValue("number", _comparable(field, operator, value))
        return FieldValue.of(plain_json(value, "the operand"))
    except InvalidDocumentError as error:  # no document can contain it
        raise InvalidFilterError(f"{operator} of the field {field!r}: {error}") from None


def _comparable(field: str, operator: str, number: float) -> float:
    """Return the number as SQLite compares it. A filter may have infinity and integers beyond 64 bits."""
    try:
        wide = float(number)
    except OverflowError:
        raise InvalidFilterError(f"{operator} of the field {field!r} takes numbers up to about 1.8e308.") from None
    if math.isnan(wide):
        raise InvalidFilterError(f"{operator} of the field {field!r} cannot take NaN, which does not equal any value.")
    return number if isinstance(number, float) or -(2**63) <= number < 2**63 else wide


def _operands(field: str, operator: str, value: object) -> tuple[FieldValue, ...]:
    if not isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
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

_CONDITIONS = (*_OPERATORS, "$not")
_LOGICAL = ("$and", "$or", "$not", "$text")
