"""Which documents a search looks at."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.filters import parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from late_interaction.engines.local.rows import Place, Reader
    from late_interaction.engines.local.snapshot import Snapshot
    from late_interaction.filters import Where

__all__ = ["positions_of"]

_MAX_REMEMBERED_FILTERS = 64


def positions_of(
    reader: Reader, snapshot: Snapshot, where: Where | None, candidates: Iterable[str] | None
) -> Mapping[int, NDArray[np.int64]]:
    """Return the positions, by segment, of the documents that pass the filter and are candidates.

    Those of a filter are remembered until the next commit.
    """
    if candidates is not None:
        return _by_segment(reader.places(where=where, candidates=candidates))
    if where is None:
        return snapshot.alive
    key = repr(parse(where))
    positions = snapshot.filtered.get(key)
    if positions is None:
        positions = _by_segment(reader.places(where=where))
        if len(snapshot.filtered) < _MAX_REMEMBERED_FILTERS:
            snapshot.filtered[key] = positions
    return positions


def _by_segment(places: list[Place]) -> dict[int, NDArray[np.int64]]:
    """Sorted places as ascending positions by segment."""
    return {
        number: np.array([position for _, position in group], np.int64)
        for number, group in groupby(places, key=itemgetter(0))
    }
