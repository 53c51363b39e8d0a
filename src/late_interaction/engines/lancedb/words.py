"""Full-text search of LanceDB over the words of this package, which are in a column, separated by spaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lancedb.index import FTS
from lancedb.query import BooleanQuery, MatchQuery, Occur

from late_interaction.engines.remote.words import query_terms

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["WORDS", "full_text_query", "searchable", "words_index"]

WORDS = "words"
"""The column."""

_SEPARATOR = "|"  # in the name of two pairs of characters; no word has it


def searchable(frequencies: Mapping[str, float]) -> str:
    """Return what the column contains for words of these frequencies."""
    return " ".join(" ".join([_token(term)] * max(1, round(count))) for term, count in frequencies.items())


def full_text_query(query: str, language: str | None) -> Any:
    """Return a query of LanceDB; None if the query has no words."""
    by_weight: dict[float, list[str]] = {}
    for term, weight in query_terms(query, language).items():
        by_weight.setdefault(weight, []).append(_token(term))
    parts = [
        MatchQuery(" ".join(terms), WORDS, boost=weight)  # type: ignore[call-arg]  # it has defaults
        for weight, terms in by_weight.items()
    ]
    if len(parts) <= 1:
        return parts[0] if parts else None
    return BooleanQuery([(Occur.SHOULD, part) for part in parts])


def words_index() -> FTS:
    """Return the settings of the index: words are taken as they are."""
    return FTS(
        base_tokenizer="whitespace",
        lower_case=False,
        stem=False,
        remove_stop_words=False,
        ascii_folding=False,
        max_token_length=None,
    )


def _token(term: str) -> str:
    return term.replace(" ", _SEPARATOR)
