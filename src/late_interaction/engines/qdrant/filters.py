"""Compile a filter to Qdrant's, over the fields that `filter_fields` stores. It means what `filters.matches` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, cast

from qdrant_client import models

from late_interaction.engines.qdrant.decimals import nearest_decimal
from late_interaction.engines.qdrant.filter_fields import (
    ELEMENTS,
    FILTER,
    KEYS,
    MAX_COMPARED_BYTES,
    NUMBERS,
    STRINGS,
    VALUES,
    WIDE,
    chunk_name,
    field_name,
    key_of_values,
    string_chunks,
    wide_parts,
)
from late_interaction.engines.remote.filter_keys import exists_key, keys_of
from late_interaction.engines.remote.payload import TEXT
from late_interaction.errors import InvalidFilterError
from late_interaction.filters import (
    AllOf,
    AnyOf,
    Compare,
    Contains,
    Exists,
    Filter,
    In,
    Not,
    TextContains,
    parse,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from late_interaction.filters import Where

__all__ = ["PAYLOAD_INDEXES", "compile_filter"]

Condition: TypeAlias = models.Condition

_KEYS = f"{FILTER}.{KEYS}"
PAYLOAD_INDEXES: dict[str, models.PayloadSchemaType] = {_KEYS: models.PayloadSchemaType.KEYWORD}
"""The payload index that makes equality, ``$in``, ``$exists`` and their negations fast; without it they are right, too.

Order and substrings read the payload of the documents that the other conditions leave, unless the field has indexes of
`late_interaction.engines.qdrant.field_indexes`.
"""

_NEVER = models.FieldCondition(key=_KEYS, match=models.MatchAny(any=[]))
_BOUNDS = {"$gt": "gt", "$gte": "gte", "$lt": "lt", "$lte": "lte"}
_STRICT = {"gt": "gt", "gte": "gt", "lt": "lt", "lte": "lt"}
_INCLUSIVE = {"gt": "gte", "gte": "gte", "lt": "lte", "lte": "lte"}


def compile_filter(where: Where) -> models.Filter:
    """Return the filter as Qdrant's, which exactly the documents pass that match it.

    Args:
        where: A filter over documents whose payloads have `filter_fields` under `FILTER`, and their text.

    Raises:
        InvalidFilterError: The filter is malformed, or compares strings with one that is too long.
    """
    compiled = _compiled(parse(where), matching=True)
    return compiled if isinstance(compiled, models.Filter) else models.Filter(must=[compiled])


def _compiled(clause: Filter, *, matching: bool) -> Condition:
    """Return a clause, or its negation, as a condition.

    Negations move to the conditions on fields, so a filter is nested no deeper than its alternation of "and" and "or".
    """
    match clause:
        case Not(part):
            return _compiled(part, matching=not matching)
        case AllOf(clauses) | AnyOf(clauses):
            parts = [_compiled(part, matching=matching) for part in clauses]
            return _all_of(parts) if isinstance(clause, AllOf) is matching else _any_of(parts)
        case _:
            conditions = _conditions(clause)
            return _any_of(conditions) if matching else models.Filter(must_not=conditions or None)


def _all_of(parts: Sequence[Condition]) -> Condition:
    """Return what holds if all parts do; always, if there are none."""
    if len(parts) == 1:
        return parts[0]
    must: list[Condition] = []
    must_not: list[Condition] = []
    for part in parts:
        if isinstance(part, models.Filter) and not part.should:
            must += cast("list[Condition]", part.must or [])
            must_not += cast("list[Condition]", part.must_not or [])
        else:
            must.append(part)
    return models.Filter(must=must or None, must_not=must_not or None)


def _any_of(parts: Sequence[Condition]) -> Condition:
    """Return what holds if one part does; never, if there are none, where an empty ``should`` of Qdrant always does."""
    if not parts:
        return _NEVER
    return parts[0] if len(parts) == 1 else models.Filter(should=list(parts))


def _conditions(clause: Filter) -> list[Condition]:
    """Return conditions of which one holds if the clause is true."""
    match clause:
        case TextContains(substring):
            return [_has_substring(TEXT, substring)] if substring else [models.Filter()]
        case Exists(field):
            return [_has_key(exists_key(field))]
        case In(field, operands, elements):
            keys = dict.fromkeys(key for operand in operands for key in keys_of(field, operand, elements=elements))
            found: list[Condition] = [_has_key(*keys)] if keys else []
            if any(operand.kind == "null" for operand in operands):
                found.append(models.Filter(must_not=[_has_key(exists_key(field))]))
            return found
        case Contains(field, operand, elements, ignore_case):
            found = [_has_key(keys_of(field, operand)[-1])] if elements else []
            substring = str(operand.value)
            if operand.kind == "string" and not (ignore_case and substring != substring.lower()):
                names = ("text", "lowered") if ignore_case else ("text",)  # lowered is stored where it differs
                strings = _key_of(field, VALUES, STRINGS)
                texts: list[Condition] = [_has_substring(f"{strings}[].{name}", substring) for name in names]
                found += _where_stored(field, VALUES, STRINGS, texts)
            return found
        case Compare(field, operator, operand, elements):
            places = (VALUES, ELEMENTS) if elements else (VALUES,)
            compare = _compare_strings if operand.kind == "string" else _compare_numbers
            return [
                condition for place in places for condition in compare(field, place, _BOUNDS[operator], operand.value)
            ]
        case _:
            raise TypeError(f"{type(clause).__name__} is not a condition on a field")


def _has_key(*keys: str) -> models.FieldCondition:
    return models.FieldCondition(key=_KEYS, match=models.MatchAny(any=list(keys)))


def _has_substring(key: str, substring: str) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchSubstring(substring=substring))


def _compare_numbers(field: str, place: str, bound: str, operand: Any) -> list[Condition]:
    decimal, side = nearest_decimal(operand)
    bound_of_decimals = bound
    if side:  # no stored decimal is between the operand and this one
        bound_of_decimals = (_STRICT if (side > 0) is (bound in ("gt", "gte")) else _INCLUSIVE)[bound]
    decimals = _in_range(_key_of(field, place, NUMBERS), bound_of_decimals, decimal)
    wide = _compare_parts(_key_of(field, place, WIDE), bound, wide_parts(operand))
    return [*_where_stored(field, place, NUMBERS, [decimals]), *_where_stored(field, place, WIDE, wide)]


def _compare_strings(field: str, place: str, bound: str, operand: Any) -> list[Condition]:
    size = len(operand.encode())
    if size > MAX_COMPARED_BYTES:
        raise InvalidFilterError(
            f"Qdrant compares strings with one of at most {MAX_COMPARED_BYTES} bytes in UTF-8, got {size} bytes: "
            f"{operand:.40}… Compare with the beginning of it."
        )
    compared = _compare_parts(_key_of(field, place, STRINGS), bound, string_chunks(operand))
    return _where_stored(field, place, STRINGS, compared)


def _where_stored(field: str, place: str, kind: str, conditions: list[Condition]) -> list[Condition]:
    """Return a condition that holds if one of these does, of which an index says where none of them can."""
    return [_all_of([_has_key(key_of_values(field, place, kind)), _any_of(conditions)])]


def _key_of(field: str, place: str, kind: str) -> str:
    return f"{FILTER}.{place}.{field_name(field)}.{kind}"


def _compare_parts(array: str, bound: str, parts: Sequence[int]) -> list[Condition]:
    """Return conditions of which one holds if some object in the array compares so to these integers.

    Objects have an integer for each part, and compare by the first one that differs.
    """
    last = len(parts) - 1
    conditions: list[Condition] = []
    for place, part in enumerate(parts):
        bound_here = bound if place == last else _STRICT[bound]
        if place == 0:
            conditions.append(_in_range(f"{array}[].{chunk_name(0)}", bound_here, part))
            continue
        equal = [
            models.FieldCondition(key=chunk_name(earlier), match=models.MatchValue(value=parts[earlier]))
            for earlier in range(place)
        ]
        differs = _in_range(chunk_name(place), bound_here, part)
        nested = models.Nested(key=array, filter=models.Filter(must=[*equal, differs]))
        conditions.append(models.NestedCondition(nested=nested))
    return conditions


def _in_range(key: str, bound: str, value: float) -> models.FieldCondition:
    return models.FieldCondition(key=key, range=models.Range(**{bound: value}))
