"""Select the documents that a search scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from late_interaction.engines.local.search.selection import Selection
from late_interaction.filters import parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from late_interaction.engines.local.catalog.reader import Reader
    from late_interaction.engines.local.snapshot import Snapshot
    from late_interaction.filters import Where

__all__ = ["selected"]

_MAX_CACHED_FILTERS = 64
_EVERYTHING = ""  # the key without a filter


def selected(reader: Reader, snapshot: Snapshot, where: Where | None, candidates: Iterable[str] | None) -> Selection:
    """Return the documents that pass the filter and are candidates.

    Those that pass a filter are cached until the next commit.
    """
    if candidates is not None:
        return Selection(snapshot, snapshot.positions(reader.places(where=where, candidates=candidates)))
    key = _EVERYTHING if where is None else repr(parse(where))
    selection = snapshot.selections.get(key)
    if selection is None:
        positions = snapshot.live_positions if where is None else snapshot.positions(reader.places(where=where))
        selection = Selection(snapshot, positions)
        if where is None or len(snapshot.selections) < _MAX_CACHED_FILTERS:
            snapshot.selections[key] = selection
    return selection
