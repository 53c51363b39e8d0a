"""Select the documents that a search scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from late_interaction.filters import parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from late_interaction.engines.local.catalog.reader import Reader
    from late_interaction.engines.local.snapshot import Snapshot
    from late_interaction.filters import Where

__all__ = ["positions_of"]

_MAX_CACHED_FILTERS = 64


def positions_of(
    reader: Reader, snapshot: Snapshot, where: Where | None, candidates: Iterable[str] | None
) -> Mapping[int, NDArray[np.int64]]:
    """Return the ascending positions, by segment, of the documents that pass the filter and are candidates.

    The positions that pass a filter are cached until the next commit.
    """
    if candidates is not None:
        return snapshot.positions(reader.places(where=where, candidates=candidates))
    if where is None:
        return snapshot.live_positions
    key = repr(parse(where))
    positions = snapshot.filtered.get(key)
    if positions is None:
        positions = snapshot.positions(reader.places(where=where))
        if len(snapshot.filtered) < _MAX_CACHED_FILTERS:
            snapshot.filtered[key] = positions
    return positions
