"""Make matches of what a search found and of the rows of the catalog that were read for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from late_interaction.engines.records import Match
from late_interaction.errors import CorruptIndexError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["matched"]


def matched(found: Sequence[tuple[Any, float]], rows: Mapping[Any, Sequence[Any]]) -> list[Match]:
    """Return a match for each place that was found, in this order.

    Args:
        found: Places or row numbers, with scores.
        rows: By place or row number, the id and the version of the document, which has two columns.

    Raises:
        CorruptIndexError: A place belongs to no document.
    """
    matches = []
    for place, score in found:
        row = rows.get(place)
        if row is None:
            raise CorruptIndexError(
                f"What is stored for {place} belongs to no document. Restore the index from a copy."
            )
        matches.append(Match(row[0], score, version=row[1:]))
    return matches
