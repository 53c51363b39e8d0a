"""Filters of libraries that compare with Python's operators, as filters of ours.

They differ from the ``where`` language (see `late_interaction.filters`): to Python ``1 == True``, a list is compared as
a whole and not by its elements, and a comparison with None never passes. Where Python's own comparison would raise,
because a value has a type that the operator cannot take, the document does not pass.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Literal

from late_interaction.errors import InvalidFilterError
from late_interaction.filters import AllOf, AnyOf, Compare, Contains, FieldValue, Filter, In, Not, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from late_interaction.filters import Where

__all__ = ["ORDERS", "all_of", "compare", "contains", "equals", "is_empty", "ordered"]

_NEVER: Filter = AnyOf(())

ORDERS: Mapping[str, tuple[Literal["$gt", "$gte", "$lt", "$lte"], Callable[[Any, Any], bool]]] = {
    ">": ("$gt", operator.gt),
    ">=": ("$gte", operator.ge),
    "<": ("$lt", operator.lt),
    "<=": ("$lte", operator.le),
}


def all_of(*clauses: Where | None) -> Filter | None:
    """Return one filter for several, of which None restricts nothing; None if nothing does."""
    given = tuple(parse(clause) for clause in clauses if clause is not None)
    return AllOf(given) if given else None


def compare(field: str, name: str, value: Any) -> Filter:
    """Return the filter that passes documents whose field compares with a value as asked.

    Args:
        field: The field, a dotted path.
        name: The operator: ``==``, ``!=``, ``>``, ``>=``, ``<``, ``<=``, ``in``, ``nin``, ``any``, ``all``,
            ``contains``, ``text_match``, ``text_match_insensitive`` or ``is_empty``.
        value: The operand: a list for ``in``, ``nin``, ``any`` and ``all``, a string for the text operators.

    Raises:
        InvalidFilterError: An unknown operator, an operand of another type, or a field that cannot be filtered by.

    Example:
        >>> from late_interaction.filters import matches
        >>> matches(compare("year", ">=", 2020), {"year": 2024})
        True
        >>> matches(compare("flag", "==", 1), {"flag": True})
        True
    """
    parse({field: None})  # the field can be filtered by
    if name in ORDERS:
        return ordered(field, name, value)
    match name:
        case "==":
            return equals(field, value)
        case "!=":
            return Not(equals(field, value))
        case "in":
            return AnyOf(tuple(equals(field, item) for item in _list(field, name, value)))
        case "nin":
            return Not(AnyOf(tuple(equals(field, item) for item in _list(field, name, value))))
        case "any":
            return AnyOf(tuple(contains(field, item) for item in _list(field, name, value)))
        case "all":
            return AllOf((_has_value(field), *(contains(field, item) for item in _list(field, name, value))))
        case "contains":
            return contains(field, value)
        case "text_match":
            return Contains(field, _string(field, name, value), elements=False)
        case "text_match_insensitive":
            operand = FieldValue.of(str(_string(field, name, value).value).lower())
            return Contains(field, operand, elements=False, ignore_case=True)
        case "is_empty":
            return is_empty(field)
    raise InvalidFilterError(f"The operator {name!r} of the field {field!r} is not known.")


def equals(field: str, value: object) -> Filter:
    """Return the filter for Python's ``==``. With None nothing passes."""
    if value is None:
        return _NEVER
    return In(field, tuple(map(FieldValue.of, _equal_values(value))), elements=False)


def contains(field: str, value: object) -> Filter:
    """Return the filter for Python's ``value in field``: a substring of a string, an element of a list."""
    if value is None:
        return _NEVER
    return AnyOf(tuple(Contains(field, FieldValue.of(item)) for item in _equal_values(value)))


def ordered(field: str, name: str, value: object) -> Filter:
    """Return the filter for one of `ORDERS`. To Python True is 1, so a boolean field compares with numbers.

    Raises:
        InvalidFilterError: The value is neither a number nor a string.
    """
    operand = FieldValue.of(value)
    if operand.kind not in ("number", "string"):
        raise InvalidFilterError(f"The field {field!r} can be compared with a number or a string, not {value!r}.")
    order, holds = ORDERS[name]
    clauses: list[Filter] = [Compare(field, order, operand, elements=False)]
    if operand.kind == "number":
        flags = tuple(FieldValue.of(flag) for flag in (False, True) if holds(flag, value))
        clauses.append(In(field, flags, elements=False))
    return AnyOf(tuple(clauses))


def is_empty(field: str) -> Filter:
    """Return the filter for a missing field, None, an empty string or an empty list."""
    return In(field, (FieldValue.of(None), FieldValue.of(""), FieldValue.of([])), elements=False)


def _has_value(field: str) -> Filter:
    return Not(In(field, (FieldValue.of(None),), elements=False))


def _equal_values(value: object) -> list[object]:
    """Return the values that Python takes for equal to one, and the ``where`` language does not."""
    flags = [bool(value)] if isinstance(value, (int, float)) and value in (0, 1) else []
    return [value, *flags]


def _list(field: str, name: str, value: object) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidFilterError(f"{name!r} of the field {field!r} takes a list, not {value!r}.")
    return value


def _string(field: str, name: str, value: object) -> FieldValue:
    if not isinstance(value, str):
        raise InvalidFilterError(f"{name!r} of the field {field!r} takes a string, not {value!r}.")
    return FieldValue.of(value)
