"""Choose the documents of a snapshot that its background is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.background import MAX_TOKENS, MIN_DOCUMENTS, sampling_step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from late_interaction.engines.local.storage.segment import Segment

__all__ = ["sampled_positions"]


def sampled_positions(
    segments: Mapping[int, Segment], live_positions: Mapping[int, NDArray[np.int64]]
) -> dict[int, NDArray[np.int64]]:
    """Return the ascending positions, by segment, of documents with tokens that are evenly spaced in the index.

    Args:
        segments: Segments by number, oldest first.
        live_positions: By segment number, the positions of the documents that are not deleted, ascending.
    """
    step = sampling_step(sum(map(len, live_positions.values())))
    chosen = _every(step, segments, live_positions)
    while len(chosen) < MIN_DOCUMENTS and step > 1:  # most documents have no tokens
        step //= 2
        chosen = _every(step, segments, live_positions)
    chosen = chosen[: 2 * MIN_DOCUMENTS]
    if chosen[:, 2].sum() > MAX_TOKENS:
        chosen = chosen[:: max(1, len(chosen) // MIN_DOCUMENTS)]
    return {number: chosen[chosen[:, 0] == number, 1] for number in sorted(set(chosen[:, 0].tolist()))}


def _every(
    step: int, segments: Mapping[int, Segment], live_positions: Mapping[int, NDArray[np.int64]]
) -> NDArray[np.int64]:
    """Return segment, position and tokens of every document at this step that has tokens, (n, 3)."""
    rows = [np.empty((0, 3), np.int64)]
    before = 0
    for number, segment in segments.items():
        positions = live_positions[number][-before % step :: step]
        lengths = segment.lengths(positions)
        rows.append(np.column_stack([np.full(len(positions), number), positions, lengths])[lengths > 0])
        before += len(live_positions[number])
    return np.concatenate(rows)
