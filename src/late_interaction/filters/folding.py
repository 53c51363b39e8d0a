"""Decide whether a filter matches every document, whatever its metadata."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, TypeAlias

from late_interaction.errors import InvalidRequestError
from late_interaction.filters.ast import (
    AllOf,
    AnyOf,
    Contains,
    Exists,
    FieldValue,
    Filter,
    In,
    Not,
    TextContains,
    Where,
)
from late_interaction.filters.evaluate import matches
from late_interaction.filters.parse import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_restricting", "is_always_true"]

_Literal: TypeAlias = tuple[Filter, bool]
"""A clause, and whether it is required to match (True) or not to match (False)."""


def is_always_true(clause: Filter) -> bool:
    """Return True only if every document matches the filter.

    This recognizes empty filters, ``$in`` and ``$nin`` with an empty list, ``$text`` with an empty string, and
    ``$and``, ``$or`` and ``$not`` of any depth. In an ``$or``, it also recognizes a clause and its negation, ``$nin``
    and an ``$in`` of at least the same values, and ``{"$exists": True}`` and a condition that a missing field
    satisfies. Other conditions on the same field are not compared, so a few filters that match every document return
    False, for example ``{"$or": [{"$not": {"a": {"$gt": 1}}}, {"a": {"$gt": 0}}]}``.

    Example:
        >>> is_always_true(AnyOf((Exists("a"), Not(Exists("a")))))
        True
    """
    return _always(clause, matching=True)


def _always(clause: Filter, *, matching: bool) -> bool:
    literals = set(_alternatives(clause, matching=matching))
    return any(_is_true(*literal) for literal in literals) or _cover_everything(literals)


def _alternatives(clause: Filter, *, matching: bool) -> Iterator[_Literal]:
    """Yield literals. The clause matches, or does not match if ``matching`` is False, if at least one is true."""
    match clause:
        case Not(part):
            yield from _alternatives(part, matching=not matching)
        case AllOf((part,)) | AnyOf((part,)):
            yield from _alternatives(part, matching=matching)
        case AllOf(parts) if not matching:
            yield clause, matching
            for part in parts:
                yield from _alternatives(part, matching=False)
        case AnyOf(parts) if matching:
            yield clause, matching
            for part in parts:
                yield from _alternatives(part, matching=True)
        case _:
            yield clause, matching


def _is_true(clause: Filter, matching: bool) -> bool:  # noqa: FBT001
    """Return whether a literal is true for every document by itself."""
    match clause:
        case AllOf(parts):
            return matching and all(_always(part, matching=True) for part in parts)
        case AnyOf(parts):
            return not matching and all(_always(part, matching=False) for part in parts)
        case In(_, ()):
            return not matching
        case TextContains(""):
            return matching
        case Contains(_, operand, elements=False) if operand.kind != "string":
            return not matching
        case In(field) | Contains(field) | Exists(field) if field.startswith("_"):
            return matches(clause, {}) is matching  # not filterable, so always missing
    return False


def _cover_everything(literals: set[_Literal]) -> bool:
    """Return whether one of two literals is true for every document, for some pair of literals."""
    sets: dict[tuple[str, FieldValue], list[In]] = {}
    for clause, matching in literals:
        if matching and isinstance(clause, In):
            for value in clause.values:
                sets.setdefault((clause.field, value), []).append(clause)
    for clause, matching in literals:
        if (clause, not matching) in literals:
            return True
        if isinstance(clause, (AllOf, AnyOf, Not, TextContains)):
            continue
        if (Exists(clause.field), True) in literals and matches(clause, {}) is matching:
            return True
        if isinstance(clause, In) and not matching and clause.values:
            wider = sets.get((clause.field, clause.values[0]), ())
            if any(set(clause.values) <= set(other.values) and other.elements >= clause.elements for other in wider):
                return True
    return False


def check_restricting(where: Where) -> Filter:
    """Return the syntax tree of a filter that selects documents to delete.

    Raises:
        InvalidRequestError: Every document matches the filter.
        InvalidFilterError: The filter is malformed.
    """
    clause = parse(where)
    if is_always_true(clause):
        raise InvalidRequestError(
            f"The filter {reprlib.repr(where)} matches every document. Nothing was deleted. "
            "To delete everything, call clear()."
        )
    return clause
