"""Filters as SQL of LanceDB over the keywords of metadata values.

Equality, existence and substrings of the text are exact in SQL. The order of values, and substrings of them, are not: a
filter becomes two conditions, one that all documents meet that pass, and one that only documents meet that pass. Those
in between are compared with the filter itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from late_interaction.engines.lancedb.sql import quoted
from late_interaction.engines.remote.filter_keys import exists_key, key_of, keys_of
from late_interaction.filters import (
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
    from collections.abc import Iterable, Sequence

__all__ = ["Bounds", "bounds"]

_TRUE, _FALSE = "true", "false"


class Bounds(NamedTuple):
    """A filter as SQL.

    Attributes:
        sufficient: A document that meets this passes.
        necessary: A document that passes meets this.
    """

    sufficient: str
    necessary: str

    @property
    def is_exact(self) -> bool:
        """Whether the two are one."""
        return self.sufficient == self.necessary

    @property
    def is_always_true(self) -> bool:
        """Whether every document passes."""
        return self.sufficient == _TRUE

    @property
    def is_always_false(self) -> bool:
        """Whether no document passes."""
        return self.necessary == _FALSE


def bounds(clause: Filter) -> Bounds:
    """Return a filter as SQL."""
    match clause:
        case AllOf(clauses):
            parts = [bounds(part) for part in clauses]
            return Bounds(_all(part.sufficient for part in parts), _all(part.necessary for part in parts))
        case AnyOf(clauses):
            parts = [bounds(part) for part in clauses]
            return Bounds(_any(part.sufficient for part in parts), _any(part.necessary for part in parts))
        case Not(part):
            inner = bounds(part)
            return Bounds(_not(inner.necessary), _not(inner.sufficient))
        case TextContains(substring):
            return _exactly(f"contains(text, {quoted(substring)})" if substring else _TRUE)
        case Exists(field):
            return _exactly(_has([exists_key(field)]))
        case In(field, values, elements):
            keys = [key for value in values for key in keys_of(field, value, elements=elements)]
            is_missing = _not(_has([exists_key(field)]))
            return _exactly(
                _any([_has(keys), is_missing] if any(one.kind == "null" for one in values) else [_has(keys)])
            )
        case Compare(field):
            return Bounds(_FALSE, _has([exists_key(field)]))
        case Contains(field, operand, elements):
            element = FieldValue(operand.kind, operand.value, is_element=True)
            sufficient = _has([key_of(field, element)]) if elements else _FALSE
            is_string = operand.kind == "string"
            return Bounds(sufficient, _has([exists_key(field)]) if is_string else sufficient)


def _exactly(condition: str) -> Bounds:
    return Bounds(condition, condition)


def _has(keys: Iterable[str]) -> str:
    literals = [quoted(key) for key in dict.fromkeys(keys)]
    if not literals:
        return _FALSE
    if len(literals) == 1:
        return f"array_has(keys, {literals[0]})"
    return f"array_has_any(keys, [{', '.join(literals)}])"


def _not(condition: str) -> str:
    return {_TRUE: _FALSE, _FALSE: _TRUE}.get(condition, f"(NOT {condition})")


def _all(conditions: Iterable[str]) -> str:
    return _joined("AND", conditions, neutral=_TRUE, absorbing=_FALSE)


def _any(conditions: Iterable[str]) -> str:
    return _joined("OR", conditions, neutral=_FALSE, absorbing=_TRUE)


def _joined(operator: str, conditions: Iterable[str], *, neutral: str, absorbing: str) -> str:
    parts = [one for one in dict.fromkeys(conditions) if one != neutral]
    return absorbing if absorbing in parts else _tree(operator, parts) if parts else neutral


def _tree(operator: str, parts: Sequence[str]) -> str:
    """Join conditions as a balanced tree, because the depth of an expression is limited."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({_tree(operator, parts[:middle])} {operator} {_tree(operator, parts[middle:])})"
