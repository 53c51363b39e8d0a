"""The search plan: exact MaxSim over every document that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.local.kernels import maxsim, top_k

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from late_interaction.engines.local.rows import Place
    from late_interaction.engines.local.segment import Segment

__all__ = ["search"]


def search(
    query: NDArray[np.float32], segments: Mapping[int, Segment], positions: Mapping[int, NDArray[np.int64]], k: int
) -> list[tuple[Place, float]]:
    """The k best of the documents at some positions of each segment, best first."""
    if not positions:
        return []
    scores = np.concatenate(
        [maxsim(query, segments[number].vectors, segments[number].offsets, at) for number, at in positions.items()]
    )
    numbers = np.repeat(list(positions), [len(at) for at in positions.values()])
    places = np.concatenate(list(positions.values()))
    return [((int(numbers[best]), int(places[best])), float(scores[best])) for best in top_k(scores, k)]
