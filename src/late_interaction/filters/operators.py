"""The operators that a filter uses, by their names in the ``where`` language."""

from __future__ import annotations

from typing import TYPE_CHECKING

from late_interaction.filters.ast import AllOf, AnyOf, Compare, Contains, Exists, In, Not, TextContains

if TYPE_CHECKING:
    from late_interaction.filters.ast import Filter

__all__ = ["OPERATORS", "operators_of"]

OPERATORS = frozenset(
    {"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$contains", "$exists", "$text", "$and", "$or", "$not"}
)
"""All operators that `operators_of` can return."""

_NEGATED = {"$eq": "$ne", "$in": "$nin", "$exists": "$exists", "$text": "$text"}


def operators_of(clause: Filter) -> frozenset[str]:
    """Return the operators that an engine must support to apply a filter.

    Equivalent spellings need the same operators: ``{"$not": {"a": 1}}`` needs ``$ne``, and ``$all`` needs ``$and`` and
    ``$eq``.

    Example:
        >>> sorted(operators_of(AnyOf((Exists("a"), Not(Exists("b"))))))
        ['$exists', '$or']
    """
    match clause:
        case In(values=values):
            return frozenset({"$eq" if len(values) == 1 else "$in"})
        case Compare(operator=operator):
            return frozenset({operator})
        case Contains():
            return frozenset({"$contains"})
        case Exists():
            return frozenset({"$exists"})
        case TextContains():
            return frozenset({"$text"})
        case Not(negated):
            operators = operators_of(negated)
            if isinstance(negated, (In, Exists, TextContains)):
                return frozenset(_NEGATED[operator] for operator in operators)
            return operators | {"$not"}
        case AllOf(clauses) | AnyOf(clauses):
            parts = frozenset[str]().union(*map(operators_of, clauses))
            if len(clauses) < 2:
                return parts
            return parts | {"$and" if isinstance(clause, AllOf) else "$or"}
