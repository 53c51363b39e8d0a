"""LlamaIndex's `MetadataFilters` as filters of ours, with the meaning of core's ``build_metadata_filter_fn``."""

from __future__ import annotations

from collections.abc import Mapping

from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilters

from late_interaction.adapters.filters import compare
from late_interaction.errors import InvalidFilterError
from late_interaction.filters import AllOf, AnyOf, Filter, Not

__all__ = ["to_filter"]


def to_filter(filters: MetadataFilters) -> Filter:
    """Return the filter of ours that passes the same nodes. Filters may be nested.

    Raises:
        InvalidFilterError: Something else than `MetadataFilters`, an operator without the operand it takes, or a key
            that cannot be filtered by.
    """
    if not isinstance(filters, MetadataFilters):
        hint = " A dict goes to where=, which retrievers, Index.scan and Index.delete have."
        raise InvalidFilterError(
            f"filters must be MetadataFilters, got {type(filters).__name__}."
            f"{hint if isinstance(filters, Mapping) else ''}"
        )
    clauses = tuple(
        to_filter(part)
        if isinstance(part, MetadataFilters)
        else compare(part.key, FilterOperator(part.operator).value, part.value)
        for part in filters.filters
    )
    if not clauses or filters.condition in (None, FilterCondition.AND):
        return AllOf(clauses)
    return AnyOf(clauses) if filters.condition == FilterCondition.OR else Not(AnyOf(clauses))
