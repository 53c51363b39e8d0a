"""One vector for a document and one for a query, whose dot product ranks documents roughly as MaxSim does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MEAN_SHARE", "mean_vector", "query_mean"]

MEAN_SHARE = 0.25
"""Share of the candidates that mean vectors give, where sparse vectors give the others.

Of 10,000 documents of 69 tokens, 211 candidates have recall@10 .98 with a share of a half, 190 with a quarter and 315
without mean vectors. Of 2,500 documents of 277 tokens, for which mean vectors are weak, it is 325, 265 and 239.
"""


def mean_vector(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of a document's token vectors, scaled to length 1, (dim,); zeros if it has no length.

    Args:
        vectors: (tokens, dim).
    """
    total = vectors.sum(axis=0, dtype=np.float64)
    length = np.linalg.norm(total)
    return np.asarray(total / length if length > 0 else total, np.float32)


def query_mean(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the sum of a query's token vectors, (dim,). Documents are ranked by its dot product with `mean_vector`.

    Args:
        vectors: (tokens, dim).
    """
    return np.asarray(vectors.sum(axis=0, dtype=np.float64), np.float32)
