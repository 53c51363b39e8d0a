"""Train centroids: how many, from how many token vectors, and when there are too few of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.clustering import cluster
from late_interaction.engines.first_stage.centroids import Centroids

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MIN_TRAINING_TOKENS", "needs_extension", "size_for", "train", "training_tokens"]

MIN_TRAINING_TOKENS = 131_072
"""Train the first centroids at this many token vectors. Until then the mean vectors find candidates alone, unless an
engine scores everything.

They are 1,900 documents of 69 tokens, of which 500 candidates by the mean have recall@10 .985, and of 10,000 .972; or
fewer than 500 long ones, which are all candidates.
"""

_MAX_CENTROIDS = 2**15
"""More take a query longer than they save: the sparse vector of one of 12 tokens takes .5 ms with 8,192 centroids, 2 ms
with 26,000 and 9 ms with 65,536, on one thread."""

_CENTROIDS_PER_ROOT_TOKEN = 10  # times √tokens
_TRAINING_TOKENS_PER_CENTROID = 32
_MIN_GROWTH_FACTOR = 2


def size_for(tokens: int) -> int:
    """Return the target number of centroids for an index of this many token vectors; at least 1.

    Of 693,064 token vectors, 4,096 centroids have recall@10 .928 within 200 candidates, 8,192 .957 and 16,384 .963,
    and a query adds up 4.1, 2.1 and 1.3 postings for each document. Of 3.6 million, 4,096 have .909 within 500, 9,370
    .972 and 18,740 .974.
    """
    return max(1, min(int(_CENTROIDS_PER_ROOT_TOKEN * math.sqrt(tokens)), _MAX_CENTROIDS))


def training_tokens(size: int) -> int:
    """Return how many token vectors to train this many centroids on: the ``limit`` of a `Sample`.

    With 16, 36 and 64 for each centroid, recall within 200 candidates is .952, .957 and .958.
    """
    return _TRAINING_TOKENS_PER_CENTROID * size


def needs_extension(centroids: Centroids, tokens: int) -> bool:
    """Return whether an index of this many token vectors has outgrown its centroids: `Centroids.extended` then."""
    return size_for(tokens) >= _MIN_GROWTH_FACTOR * len(centroids)


def train(sample: NDArray[np.float32], size: int) -> Centroids:
    """Return centroids of a sample of token vectors.

    Args:
        sample: (tokens, dim), at least one.
        size: The number of centroids, at most that of the tokens; otherwise one for each token.
    """
    return Centroids(cluster(np.ascontiguousarray(sample, np.float32), size))
