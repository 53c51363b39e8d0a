"""Evaluate a filter on metadata: the definition that every engine is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from late_interaction.errors import InvalidFilterError
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

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["field_values", "matches"]


def field_values(metadata: Mapping[str, Any]) -> Iterator[tuple[str, FieldValue]]:
    """Yield every (path, value) that a filter can refer to, which an engine must index.

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


def matches(clause: Filter, metadata: Mapping[str, Any], text: str | None = None) -> bool:
    """Return whether a document with this metadata and text matches the filter. Every engine must give the same result.

    Args:
        clause: The filter.
        metadata: The metadata of the document.
        text: Its text; may be left out for a filter without ``$text``.

    Raises:
        InvalidFilterError: The filter has ``$text``, and there is no text.
    """
    fields: dict[str, list[FieldValue]] = {}
    for path, value in field_values(metadata):
        fields.setdefault(path, []).append(value)
    return _holds(clause, fields, text)


def _holds(clause: Filter, fields: Mapping[str, list[FieldValue]], text: str | None) -> bool:
    match clause:
        case AllOf(clauses):
            return all(_holds(part, fields, text) for part in clauses)
        case AnyOf(clauses):
            return any(_holds(part, fields, text) for part in clauses)
        case Not(part):
            return not _holds(part, fields, text)
        case TextContains(substring):
            if text is None:
                raise InvalidFilterError("The filter has $text, and only metadata was given. Pass the text, too.")
            return substring in text
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
