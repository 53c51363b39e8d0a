"""Score documents of the residual codec for one query."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.engines.local.kernels import kernels_of
from late_interaction.engines.local.kernels.sizes import LANES, TOGETHER
from late_interaction.engines.local.quantization.integers import as_integers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from late_interaction.engines.local.quantization.codebook import Codebook
    from late_interaction.engines.local.quantization.residual.codec import ResidualCodec
    from late_interaction.engines.local.search.buffers import Buffers
    from late_interaction.engines.local.storage.segment import CompressedSegment

__all__ = ["ResidualQuery"]

_kernels = partial(kernels_of, "late_interaction.engines.local.quantization.residual.scoring")

_GROUP = 16  # documents that `refined_sums` scores at a time


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
        best = self._buffers.floats("best", _GROUP * self._lanes).reshape(_GROUP, self._lanes)
        nearest = self._buffers.get("nearest", np.int32, _GROUP * self._lanes).reshape(_GROUP, self._lanes)
        query, units, middle = self._of(segment)
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

    def maxsim(self, segment: CompressedSegment, documents: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return MaxSim of the stored vectors in single precision, from all tokens."""
        sums = np.empty(len(documents), np.float32)
        query, direction = self._by_lane
        _kernels().maxsim_sums(
            *self._columns(segment, documents),
            self._codebook.points,
            self._codebook.point_scales,
            query,
            self._along,
            direction,
            self._codec.bits,
            self._buffers.floats("vectors", TOGETHER * len(direction)).reshape(TOGETHER, -1),
            self._buffers.floats("coefficients", TOGETHER),
            self._buffers.floats("best", self._lanes),
            sums,
        )
        return sums

    @cached_property
    def _by_lane(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The query by lane, and the common direction, as `reference.maxsim_sums` takes them."""
        dim, padded = self._codec.dim, self._codebook.points.shape[1]
        lines = np.zeros((self._lanes, padded), np.float32)
        lines[: len(self._rotated), :dim] = self._centered
        query = self._buffers.floats("query by lane", lines.size).reshape(-1, padded, LANES)
        query[:] = lines.reshape(-1, LANES, padded).swapaxes(1, 2)
        direction = np.zeros(padded, np.float32)
        direction[:dim] = self._codebook.direction
        return query.reshape(-1, LANES), direction

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
        """Return the query in integers, what half of one stands for, and what centering subtracts.

        Segments before format 5 keep the common direction in their points.
        """
        is_centered = "along" in segment.token_columns
        if is_centered not in self._integers:
            grid, bits = self._codec.grid, self._codec.bits
            vectors = grid.padded(self._centered if is_centered else self._rotated)
            integers, units = as_integers(vectors, self._lanes, 2**bits)
            middle = (2**bits - 1) * integers.sum(axis=1, dtype=np.int32)
            self._integers[is_centered] = integers, units / 2, middle
        return self._integers[is_centered]
