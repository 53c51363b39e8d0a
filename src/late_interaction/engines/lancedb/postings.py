"""The first stage of PLAID in memory: for each centroid the documents that have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from late_interaction.engines.first_stage import SparseVector

__all__ = ["Postings"]

_MAX_CENTROIDS = 2**16


class Postings:
    """The documents of each centroid. 4 bytes for each centroid of a document.

    Args:
        centroids: The centroids of each document, a list array of uint16; null if they were not found yet.
        positions: The positions of these documents, (n,).
        tokens: The numbers of tokens of all documents, by position.

    Attributes:
        is_used: Whether the centroids of any document are known.
        is_complete: Whether those of every document with tokens are.
    """

    def __init__(self, centroids: pa.ListArray, positions: NDArray[np.int64], tokens: NDArray[np.int32]) -> None:
        is_known = centroids.is_valid().to_numpy(zero_copy_only=False)
        self.is_used = bool(is_known.any())
        self.is_complete = bool((is_known | (tokens[positions] == 0)).all())
        self._documents = len(tokens)
        lengths = centroids.value_lengths().fill_null(0).to_numpy()
        owners = np.repeat(positions.astype(np.int32), lengths)
        flat = centroids.flatten().to_numpy()
        by_centroid = np.argsort(flat, kind="stable")  # a radix sort
        self._owners = owners[by_centroid]
        self._begins = np.concatenate([[0], np.cumsum(np.bincount(flat, minlength=_MAX_CENTROIDS))])

    def scores(self, query: SparseVector) -> NDArray[np.float32]:
        """Return the dot product of a query with every document, by position, (documents,)."""
        begins, ends = self._begins[query.indices], self._begins[query.indices + 1]
        owners = [self._owners[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
        if not owners:
            return np.zeros(self._documents, np.float32)
        weights = np.repeat(query.values, ends - begins)
        scores = np.bincount(np.concatenate(owners), weights, minlength=self._documents)
        return np.asarray(scores, np.float32)
