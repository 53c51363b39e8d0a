"""Codes alone: no column but the number of the nearest centroid, so the stored vector of a token is its centroid.

::

    vector  ≈  centroid

Scores of centroids are then exact scores, and no stage of a search is more accurate than that from centroids.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.engines.local.kernels import kernels_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from late_interaction.engines.local.quantization.codebook import Codebook
    from late_interaction.engines.local.search.buffers import Buffers
    from late_interaction.engines.local.storage.segment import CompressedSegment

__all__ = ["BITS", "CodesAlone", "CodesAloneQuery"]

BITS = (0,)

_kernels = partial(kernels_of, "late_interaction.engines.local.quantization.codes_alone")
_centroid_kernels = partial(kernels_of, "late_interaction.engines.local.quantization.residual.scoring")


@dataclass(frozen=True)
class CodesAlone:
    """Keeps nothing of a token vector but its centroid. See `codecs.Codec`.

    Attributes:
        dim: Dimension of the vectors.
        bits: 0.
    """

    dim: int
    bits: int

    @property
    def columns(self) -> dict[str, tuple[Any, tuple[int, ...]]]:
        """No columns besides the centroids."""
        return {}

    def encode(
        self, _vectors: NDArray[np.float32], _codes: NDArray[np.uint16], _codebook: Codebook
    ) -> dict[str, NDArray[Any]]:
        """Return no columns."""
        return {}

    def decode(self, columns: Mapping[str, NDArray[Any]], codebook: Codebook) -> NDArray[np.float32]:
        """Return the centroids of tokens, (n, dim)."""
        return np.asarray(codebook.centroids[columns["codes"]])

    def query(self, rotated: NDArray[np.float32], lanes: int, codebook: Codebook, buffers: Buffers) -> CodesAloneQuery:
        """Return what scores stored tokens for a query, (query tokens, dim), on the processor."""
        return CodesAloneQuery(rotated, lanes, codebook, buffers)

    def tokens_on_device(self, _segment: CompressedSegment, _codebook: Codebook, _to_device: Any) -> None:
        """Return nothing: scores of centroids suffice."""

    def similarities_on_device(self, _held: None, _tokens: Any, centroid_scores: Any, _rotated: Any) -> Any:
        """Return dot products of stored tokens with query tokens, (n, query tokens): those of their centroids."""
        return centroid_scores


class CodesAloneQuery:
    """Scores documents of a segment for one query. See `codecs.CodecQuery`.

    Args:
        rotated: Token vectors of the query in rotated coordinates, (query tokens, dim).
        lanes: The number of lanes that scores of centroids have: one for each query token, and further ones of zeros.
        codebook: The codebook.
        buffers: Reused memory, which belongs to this query.
    """

    def __init__(self, rotated: NDArray[np.float32], lanes: int, codebook: Codebook, buffers: Buffers) -> None:
        self._codebook, self._buffers, self._lanes = codebook, buffers, lanes
        self._along = np.asarray(np.einsum("ij,j->i", rotated, codebook.direction), np.float32)
        self._query = np.zeros((len(rotated), codebook.points.shape[1]), np.float32)
        self._query[:, : codebook.dim] = rotated - self._along[:, None] * codebook.direction

    def approximate(
        self, segment: CompressedSegment, documents: NDArray[np.int64], centroid_scores: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return MaxSim of the stored vectors, nearly: centroids are scored in integers."""
        sums = np.empty(len(documents), np.float32)
        best = self._buffers.floats("best", self._lanes)
        _centroid_kernels().approximate_sums(segment.codes, segment.offsets, documents, centroid_scores, best, sums)
        return sums

    refined = exact = approximate

    def maxsim(self, segment: CompressedSegment, documents: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return MaxSim of the stored vectors in single precision, from all tokens."""
        sums = np.empty(len(documents), np.float32)
        codebook = self._codebook
        _kernels().maxsim_sums(
            segment.codes,
            segment.offsets,
            documents,
            codebook.points,
            codebook.point_scales,
            codebook.along,
            self._query,
            self._along,
            self._buffers.floats("best", self._lanes),
            sums,
        )
        return sums
