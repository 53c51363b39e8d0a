"""The residual codec: a token vector as its nearest centroid and a few bits per dimension of the residual.

::

    x  ≈  centroid + scale · point          (rotated coordinates)

The residual from the centroid is rotated by a fixed orthogonal matrix, which makes its coordinates nearly Gaussian
whatever the encoder, and rounded to a uniform grid; the scale makes dot products with it unbiased, which matters since
MaxSim takes the largest of many. The grid is not trained, so it cannot drift from the data. After RaBitQ (Gao & Long,
SIGMOD 2024, and its extension to more bits, 2025).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BITS", "ResidualCodec", "rotation"]

_STEPS = {1: 1.596, 2: 0.9957, 4: 0.3352, 8: 0.0308}
"""The cell width that loses least of a unit Gaussian, by bits (Max, "Quantizing for minimum distortion", 1960)."""

BITS = tuple(_STEPS)

_LARGEST_SCALE = np.finfo(np.float16).max


@dataclass(frozen=True)
class ResidualCodec:
    """Rounds residuals of one dimension to some bits.

    Attributes:
        dim: Dimension of the vectors.
        bits: 1, 2, 4 or 8 per dimension.
    """

    dim: int
    bits: int

    @property
    def width(self) -> int:
        """Bytes of a token's residual."""
        return -(-self.dim * self.bits // 8)

    @property
    def padded_dim(self) -> int:
        """Dimensions that fill whole bytes."""
        return self.width * 8 // self.bits

    def encode(self, residuals: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
        """Rotated residuals, (n, dim), as packed grid points, (n, width), and scales, (n,)."""
        from late_interaction.engines.local.kernels import compiled

        packed = np.empty((len(residuals), self.width), np.uint8)
        scales = np.empty(len(residuals), np.float32)
        compiled.quantize(residuals, self.bits, np.float32(_STEPS[self.bits]), packed, scales)
        return packed, np.minimum(scales, _LARGEST_SCALE).astype(np.float16)

    def points(self, packed: NDArray[np.uint8], tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """The grid points of some tokens, (n, padded_dim); the padding is not zero."""
        from late_interaction.engines.local.kernels import compiled

        points = np.empty((len(tokens), self.padded_dim), np.float32)
        compiled.unpack(packed, tokens, self.bits, points)
        return points


@cache
def rotation(dim: int) -> NDArray[np.float32]:
    """A fixed random orthogonal matrix, (dim, dim): the same on every machine and in every release.

    Drawn from the raw stream of a bit generator, which numpy promises to keep, not from a distribution, which it does
    not.
    """
    raw = np.random.PCG64(0).random_raw(dim * dim).reshape(dim, dim)
    orthogonal, triangle = np.linalg.qr((raw >> np.uint64(11)) / 2.0**52 - 1.0)
    return np.ascontiguousarray(orthogonal * np.sign(np.diag(triangle)), np.float32)
