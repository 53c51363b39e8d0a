"""Train a codebook: how many centroids, and which."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from late_interaction.engines.clustering import cluster
from late_interaction.engines.local.quantization.codebook import (
    CENTROID_BITS,
    Codebook,
    direction_of,
    stretch_of,
    stretched,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["centroids_for", "train"]

_CENTROIDS_PER_ROOT_TOKEN = 10  # times √tokens
_MAX_BYTES_PER_TOKEN = 1.7  # size of a codebook on disk, per token of the collection
_MAX_TRAINED_CENTROIDS = 2**15
"""More make searches slower, and do not find more: with 10 million tokens, 16,384 centroids have recall@10 .974 at 10.7
ms, 65,536 .973 at 12.3 ms. Codes have room for more, and codebooks of earlier releases have up to 65,536."""


def centroids_for(tokens: int, dim: int) -> int:
    """Return the target number of centroids for this many tokens, within the size budget."""
    affordable = int(_MAX_BYTES_PER_TOKEN * tokens / (dim * CENTROID_BITS / 8 + 2))
    return max(1, min(int(_CENTROIDS_PER_ROOT_TOKEN * math.sqrt(tokens)), affordable, _MAX_TRAINED_CENTROIDS))


def train(
    sample: NDArray[np.float32], centroids: int, direction: NDArray[np.float32] | None = None, *, threads: int = 1
) -> Codebook:
    """Train a codebook by k-means.

    Args:
        sample: Token vectors in rotated coordinates, (n, dim).
        centroids: The number of centroids, at most n; otherwise n are made.
        direction: The common direction of the codebook that is extended; None for that of the sample.
        threads: How many threads to use. The result does not depend on it.
    """
    direction = direction_of(sample) if direction is None else direction
    stretch = stretch_of(sample, direction)
    centroids_of_stretched = cluster(stretched(sample, direction, stretch), centroids, threads)
    return Codebook.rounded(stretched(centroids_of_stretched, direction, 1 / stretch), direction)
