"""Score documents of the residual codec for one query."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.engines.local.kernels import kernels_of
from late_interaction.engines.local.quantization.integers import as_integers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from late_interaction.engines.local.quantization.codebook import Codebook
    from late_interaction.engines.local.quantization.residual.codec import ResidualCodec
    from late_interaction.engines.local.search.buffers import Buffers
    from late_interaction.engines.local.storage.segment import CompressedSegment

__all__ = ["ResidualQuery"]

_kernels = partial(kernels_of, "late_interaction.engines.local.quantization.residual.scoring")

_REACH_DEVIATIONS = 5.6
"""What a residual may add to a score, in standard deviations of the product of vectors of random directions.

Tokens that cannot be the best of their document with it are left out by the exact stage. The score of every hit is then
computed from all tokens.
"""

_MAX_REACH = 1.2  # relative to the lengths of the two vectors; that of a point is not exactly known

_TOGETHER = 16  # documents that `refined_sums` scores at a time


class ResidualQuery:
    """Scores documents of a segment for one query. See `codecs.CodecQuery`.

    Args:
        codec: The codec.
        rotated: Token vectors of the query in rotated coordinates, (query tokens, dim).
        lanes: The number of lanes that scores of centroids have: one for each query token, and further ones of zeros.
        codebook: The codebook.
        buffers: Reused memory, which belongs to this query.
    """

    def __init__(
        self, codec: ResidualCodec, rotated: NDArray[np.float32], lanes: int, codebook: Codebook, buffers: Buffers
    ) -> None:
        self._codec, self._codebook, self._buffers = codec, codebook, buffers
        self._rotated, self._lanes = rotated, lanes
        along = np.einsum("ij,j->i", rotated, codebook.direction)
        self._along = np.zeros(lanes, np.float32)
        self._along[: len(rotated)] = along
        self._centered = rotated - along[:, None] * codebook.direction
        self._integers: dict[bool, tuple[NDArray[Any], ...]] = {}

    def approximate(
        self, segment: CompressedSegment, documents: NDArray[np.int64], centroid_scores: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return MaxSim without residuals."""
        sums = np.empty(len(documents), np.float32)
        best = self._buffers.floats("best", self._lanes)
        columns = segment.token_columns["codes"], segment.offsets, documents
        if self._corrects(segment):
            factors = self._codec.factor_arguments(segment.token_columns, self._codebook)
            _kernels().corrected_sums(*factors, *columns, centroid_scores, self._along, self._row, best, sums)
        else:
            _kernels().approximate_sums(*columns, centroid_scores, best, sums)
        return sums

    def refined(
        self, segment: CompressedSegment, documents: NDArray[np.int64], centroid_scores: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return MaxSim from one token for each query token: the best one without residuals."""
        sums = np.empty(len(documents), np.float32)
        best = self._buffers.floats("best", _TOGETHER * self._lanes).reshape(_TOGETHER, self._lanes)
        nearest = self._buffers.get("nearest", np.int32, _TOGETHER * self._lanes).reshape(_TOGETHER, self._lanes)
        query, units, middle, _ = self._of(segment)
        _kernels().refined_sums(
            *self._columns(segment, documents),
            centroid_scores,
            query,
            units,
            middle,
            self._along,
            self._corrects(segment),
            self._codec.bits,
            self._row,
            best,
            nearest,
            sums,
        )
        return sums

    def exact(
        self, segment: CompressedSegment, documents: NDArray[np.int64], centroid_scores: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return MaxSim of the stored vectors, from integers, and from the tokens that may be the best."""
        sums = np.empty(len(documents), np.float32)
        best, found = self._buffers.floats("best", 2 * self._lanes).reshape(2, self._lanes)
        without = self._buffers.floats("without points", segment.longest * self._lanes).reshape(-1, self._lanes)
        query, units, middle, reach = self._of(segment)
        _kernels().exact_sums(
            *self._columns(segment, documents),
            centroid_scores,
            query,
            units,
            middle,
            self._along,
            reach,
            self._codec.bits,
            without,
            self._buffers.floats("token scales", segment.longest),
            best,
            found,
            sums,
        )
        return sums

    def maxsim(self, segment: CompressedSegment, documents: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return MaxSim of the stored vectors in single precision, from all tokens."""
        sums = np.empty(len(documents), np.float32)
        query = np.zeros((len(self._rotated), self._codebook.points.shape[1]), np.float32)
        query[:, : self._codec.dim] = self._centered
        direction = np.zeros(query.shape[1], np.float32)
        direction[: self._codec.dim] = self._codebook.direction
        _kernels().maxsim_sums(
            *self._columns(segment, documents),
            self._codebook.points,
            self._codebook.point_scales,
            query,
            self._along,
            direction,
            self._codec.bits,
            self._buffers.floats("vector", query.shape[1]),
            self._buffers.floats("best", self._lanes),
            sums,
        )
        return sums

    @property
    def _row(self) -> NDArray[np.float32]:
        return self._buffers.floats("row", self._lanes).reshape(1, self._lanes)

    def _columns(self, segment: CompressedSegment, documents: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        columns = segment.token_columns
        factors = self._codec.factor_arguments(columns, self._codebook)
        return *factors, columns["codes"], segment.offsets, documents, columns["residuals"]

    def _corrects(self, segment: CompressedSegment) -> bool:
        """Return whether stages before the exact one look at the factors of every token.

        Where queries point along the common direction, the coefficient of a token counts for all query tokens at once.
        """
        return self._codebook.stretch > 1 and "along" in segment.token_columns

    def _of(self, segment: CompressedSegment) -> tuple[NDArray[Any], ...]:
        """Return the query in integers, what one of them stands for, what centering subtracts, and the reach.

        Segments before format 5 keep the common direction in their points.
        """
        is_centered = "along" in segment.token_columns
        if is_centered not in self._integers:
            grid, bits = self._codec.grid, self._codec.bits
            vectors = grid.padded(self._centered if is_centered else self._rotated)
            integers, units = as_integers(vectors, self._lanes, 2**bits)
            middle = (2**bits - 1) * integers.sum(axis=1, dtype=np.int32)
            reach = np.zeros(self._lanes, np.float32)
            reach[: len(vectors)] = np.sqrt((vectors * vectors).sum(axis=1))
            reach *= np.float32(min(_REACH_DEVIATIONS, _MAX_REACH * math.sqrt(self._codec.dim)) / grid.step)
            self._integers[is_centered] = integers, units / 2, middle, reach
        return self._integers[is_centered]
