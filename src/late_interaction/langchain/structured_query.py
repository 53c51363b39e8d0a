"""Filters that a language model writes, for LangChain's `SelfQueryRetriever`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from langchain_core.structured_query import Comparator, Comparison, Operation, Operator, StructuredQuery, Visitor

from late_interaction.errors import InvalidFilterError
from late_interaction.filters import AllOf, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from late_interaction.filters import Where

__all__ = ["LateInteractionTranslator"]


class LateInteractionTranslator(Visitor):
    """Translates LangChain's structured queries to filters: the ``structured_query_translator`` of its retriever.

    Dates that the model writes are compared with stored dates (see `Document`).

    Args:
        filter: A filter that every query must pass too, for example that of a tenant. ``filter`` of the retriever's
            ``search_kwargs`` would be replaced by what the model writes.

    Example:
        >>> from langchain_classic.retrievers import SelfQueryRetriever  # doctest: +SKIP
        >>> SelfQueryRetriever.from_llm(
        ...     llm, store, "Rivers", fields, structured_query_translator=LateInteractionTranslator()
        ... )  # doctest: +SKIP
    """

    allowed_operators: Sequence[Operator] | None = (Operator.AND, Operator.OR, Operator.NOT)
    allowed_comparators: Sequence[Comparator] | None = (
        Comparator.EQ,
        Comparator.NE,
        Comparator.GT,
        Comparator.GTE,
        Comparator.LT,
        Comparator.LTE,
        Comparator.CONTAIN,
        Comparator.IN,
        Comparator.NIN,
    )

    def __init__(self, filter: Where | None = None) -> None:
        self._filter = None if filter is None else parse(filter)

    def visit_operation(self, operation: Operation) -> dict[str, Any]:
        """Return the filter of ``and``, ``or`` or ``not``."""
        self._validate_func(operation.operator)
        parts = [part.accept(self) for part in operation.arguments]
        if operation.operator is not Operator.NOT:
            return {f"${operation.operator.value}": parts}
        if len(parts) != 1:
            raise InvalidFilterError(f"not takes one condition, got {len(parts)}.")
        return {"$not": parts[0]}

    def visit_comparison(self, comparison: Comparison) -> dict[str, Any]:
        """Return the filter of one field."""
        self._validate_func(comparison.comparator)
        return {comparison.attribute: {_operator(comparison.comparator): _value(comparison.value)}}

    def visit_structured_query(self, structured_query: StructuredQuery) -> tuple[str, dict[str, Any]]:
        """Return the query, and the arguments of the store's search."""
        written = None if structured_query.filter is None else structured_query.filter.accept(self)
        clauses = [each for each in (self._filter, written) if each is not None]
        if not clauses:
            return structured_query.query, {}
        where = clauses[0] if len(clauses) == 1 else AllOf(tuple(map(parse, clauses)))
        return structured_query.query, {"filter": where}


def _operator(comparator: Comparator) -> str:
    return "$contains" if comparator is Comparator.CONTAIN else f"${comparator.value}"


def _value(value: Any) -> Any:
    """Return an operand; a date is ``{"type": "date", "date": "2026-01-31"}`` in LangChain's language."""
    if isinstance(value, list):
        return [_value(each) for each in value]
    kind = value.get("type") if isinstance(value, Mapping) else None
    if kind == "date":
        return datetime.strptime(value["date"], "%Y-%m-%d").date()  # a date has no zone
    if kind == "datetime":
        return _time(value["datetime"])
    return value


def _time(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S")  # it has none
