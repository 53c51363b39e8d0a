"""Score compressed documents on the processor, in stages, each more accurate and more expensive than the one before."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.local.kernels import kernels_of
from late_interaction.engines.local.kernels.sizes import LANES
from late_interaction.engines.local.quantization.integers import as_integers
from late_interaction.engines.local.quantization.rotation import rotation
from late_interaction.engines.local.search.scan import Scan

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from late_interaction.engines.local.quantization.codebook import Codebook
    from late_interaction.engines.local.quantization.codecs import Codec
    from late_interaction.engines.local.search.buffers import Buffers
    from late_interaction.engines.local.search.selection import Selection
    from late_interaction.engines.local.storage.segment import CompressedSegment

__all__ = ["CpuQuery"]

_kernels = partial(kernels_of, "late_interaction.engines.local.kernels")


class CpuQuery:
    """A query and the compressed documents that it is searched in.

    Documents are numbers of the selection, ascending, (n,). Scores are float32, (n,).

    Args:
        query: Token vectors, (query tokens, dim), at least one.
        selection: The documents.
        codebook: The centroids.
        codec: The codec of the index.
        buffers: Reused memory, which belongs to this query.
    """

    def __init__(
        self, query: NDArray[np.float32], selection: Selection, codebook: Codebook, codec: Codec, buffers: Buffers
    ) -> None:
        # Not a product of matrices: the threads of BLAS, once awake, take the cores from others.
        self._rotated = np.einsum("ij,kj->ik", query, rotation(codec.dim))
        self._lanes = -(-len(query) // LANES) * LANES
        self._selection, self._codebook, self._buffers = selection, codebook, buffers
        self._codec_query = codec.query(self._rotated, self._lanes, codebook, buffers)
        self._highest = np.full(self._lanes, -np.inf, np.float32)

    @cached_property
    def centroid_scores(self) -> NDArray[np.float32]:
        """The dot products of centroids with query tokens, (centroids, lanes)."""
        codebook, tokens = self._codebook, len(self._rotated)
        query_along = np.zeros(self._lanes, np.float32)
        query_along[:tokens] = np.einsum("ij,j->i", self._rotated, codebook.direction)
        across = np.zeros((tokens, codebook.points.shape[1]), np.float32)
        across[:, : codebook.dim] = self._rotated - query_along[:tokens, None] * codebook.direction
        integers, units = as_integers(across, self._lanes, 16)
        scores = self._buffers.floats("centroid scores", len(codebook) * self._lanes).reshape(-1, self._lanes)
        sums = self._buffers.get("sums", np.int32, self._lanes)
        columns = codebook.points, codebook.point_scales, codebook.along
        _kernels().centroid_scores(*columns, integers, units, query_along, sums, scores, self._highest)
        return scores

    def scan(self) -> Scan:
        """Score all documents coarsely."""
        scores, tokens = self.centroid_scores, len(self._rotated)
        mean = np.einsum("ij,j->i", self._rotated, self._codebook.mean)
        return Scan(scores, mean, self._highest[:tokens], self._selection, self._buffers)

    def approximate(self, documents: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return MaxSim of some documents without the residuals of their tokens."""
        return self._scores(self._codec_query.approximate, documents)

    def refined(self, documents: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return MaxSim of some documents from the residual of one token for each query token.

        It is the best token without residuals. The score is a little lower than the exact one, and orders documents
        nearly as that does.
        """
        return self._scores(self._codec_query.refined, documents)

    def maxsim(self, documents: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return MaxSim of the stored vectors of some documents in single precision."""
        scores = np.empty(len(documents), np.float32)
        for part, some in self._selection.split(documents):
            scores[some] = self._codec_query.maxsim(part.segment, documents[some] - part.start)
        return scores

    def _scores(
        self,
        score: Callable[[CompressedSegment, NDArray[np.int64], NDArray[np.float32]], NDArray[np.float32]],
        documents: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        scores = np.empty(len(documents), np.float32)
        for part, some in self._selection.split(documents):
            scores[some] = score(part.segment, documents[some] - part.start, self.centroid_scores)
        return scores
