"""The residual codec: a few bits per dimension of a residual, and one scale.

::

    residual  ≈  scale · point

A residual is rounded to a point of a uniform grid. The scale makes dot products with it unbiased, which matters since
MaxSim takes the largest of many. The grid is not trained, so it cannot drift from the data. After RaBitQ (Gao & Long,
SIGMOD 2024, and its extension to more bits, 2025).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.engines.local.kernels.libraries import torch_module
from late_interaction.engines.local.storage.segment import tokens_of
from late_interaction.forking import imports

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

    from late_interaction.engines.local.storage.segment import CompressedSegment

__all__ = ["BITS", "ResidualCodec"]

_STEPS = {1: 1.596, 2: 0.9957, 4: 0.3352, 8: 0.0308}
"""Cell width with the least error for a unit Gaussian, by bits (Max, "Quantizing for minimum distortion", 1960)."""

BITS = tuple(_STEPS)

_MAX_SCALE = np.finfo(np.float16).max

_BLOCK_TOKENS = 1024  # unpacked at a time: half a megabyte at 128 dimensions, which stays in the processor's cache


@dataclass(frozen=True)
class ResidualCodec:
    """Rounds residuals of one dimension to some bits. See `codecs.Codec`.

    Attributes:
        dim: Dimension of the residuals.
        bits: 1, 2, 4 or 8 per dimension.
    """

    dim: int
    bits: int

    @property
    def width(self) -> int:
        """Bytes of a residual, without its scale."""
        return -(-self.dim * self.bits // 8)

    @property
    def padded_dim(self) -> int:
        """Dimensions that fill whole bytes."""
        return self.width * 8 // self.bits

    def encode(self, residuals: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
        """Return residuals, (n, dim), as packed grid points, (n, width), and scales, (n,)."""
        packed = np.empty((len(residuals), self.width), np.uint8)
        scales = np.empty(len(residuals), np.float32)
        _compiled().quantize(residuals, self.bits, np.float32(_STEPS[self.bits]), packed, scales)
        return packed, np.minimum(scales, _MAX_SCALE).astype(np.float16)

    def decode(self, packed: NDArray[np.uint8], scales: NDArray[np.float16]) -> NDArray[np.float32]:
        """Return the residuals of packed grid points, (n, width), and scales, (n,), as (n, dim)."""
        residuals = self.points(packed, np.arange(len(packed)))[:, : self.dim]
        residuals *= scales.astype(np.float32)[:, None]
        return residuals

    def points(self, packed: NDArray[np.uint8], tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the grid points of the tokens with these numbers, (n, padded_dim); the padding is not zero."""
        points = np.empty((len(tokens), self.padded_dim), np.float32)
        _compiled().unpack(packed, tokens, self.bits, points)
        return points

    def query(self, rotated: NDArray[np.float32]) -> ResidualQuery:
        """Return what scores stored tokens for a query, (query tokens, dim), on the processor."""
        return ResidualQuery(self, rotated)

    def dots_on_device(self, packed: Any, scales: Any, rotated: Any) -> Any:
        """Return dot products of residuals with query tokens, (n, query tokens) f32, on the device of the tensors."""
        planes = [(packed >> (plane * self.bits)) & (2**self.bits - 1) for plane in range(8 // self.bits)]
        levels = torch_module().cat(planes, dim=1)[:, : self.dim]
        points = levels.float() - (2 ** (self.bits - 1) - 0.5)
        return scales[:, None] * (points @ rotated.T)


class ResidualQuery:
    """Scores documents of a segment for one query. See `codecs.CodecQuery`.

    Args:
        codec: The codec.
        rotated: Token vectors of the query in rotated coordinates, (query tokens, dim).
    """

    def __init__(self, codec: ResidualCodec, rotated: NDArray[np.float32]) -> None:
        self._codec = codec
        self._kernels = _compiled()
        self._padded = np.zeros((len(rotated), codec.padded_dim), np.float32)
        self._padded[:, : codec.dim] = rotated

    def refined(
        self, segment: CompressedSegment, positions: NDArray[np.int64], centroid_scores: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return MaxSim from one token for each query token: the one with the best centroid."""
        nearest = np.zeros((len(positions), len(self._padded)), np.int64)
        scores = np.zeros((len(positions), len(self._padded)), np.float32)
        self._kernels.nearest_dots(
            segment.codes,
            segment.residuals,
            segment.offsets,
            positions,
            centroid_scores,
            self._padded,
            self._codec.bits,
            nearest,
            scores,
        )
        scores *= segment.scales[nearest]
        scores += centroid_scores[segment.codes[nearest], np.arange(len(self._padded))]
        sums = np.asarray(scores.sum(axis=1))
        sums[segment.lengths(positions) == 0] = 0
        return sums

    def exact(
        self, segment: CompressedSegment, positions: NDArray[np.int64], centroid_scores: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return MaxSim of the stored vectors."""
        torch = torch_module()
        starts = segment.offsets[positions]
        lengths = segment.offsets[positions + 1] - starts
        bounds = np.concatenate([[0], np.cumsum(lengths)])
        tokens = tokens_of(starts, lengths)
        dots = np.empty((len(self._padded), len(tokens)), np.float32)
        query = torch.from_numpy(self._padded)
        for start in range(0, len(tokens), _BLOCK_TOKENS):
            points = self._codec.points(segment.residuals, tokens[start : start + _BLOCK_TOKENS])
            dots[:, start : start + _BLOCK_TOKENS] = torch.mm(query, torch.from_numpy(points).T).numpy()
        codes, scales = segment.codes[tokens], segment.scales[tokens].astype(np.float32)
        sums = np.empty(len(positions), np.float32)
        self._kernels.best_sums(codes, scales, dots, bounds, centroid_scores, sums)
        return sums


@cache
def _compiled() -> ModuleType:
    """Return the compiled kernels. They are imported late, since numba takes a second, which readers need not spend."""
    with imports:
        from late_interaction.engines.local.quantization.residual import compiled

        return compiled
