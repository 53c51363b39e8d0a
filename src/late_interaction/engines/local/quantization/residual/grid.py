"""The grid: a few bits per dimension of a vector, and one scale.

::

    vector  ≈  scale · point

A vector is rounded to a point of a uniform grid. The scale makes its dot product with itself exact, so dot products
with it are unbiased. The grid is not trained, so it cannot drift from the data. After RaBitQ (Gao & Long, SIGMOD 2024,
and its extension to more bits, 2025).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.local.kernels import kernels_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BITS", "Grid", "compiled_kernels"]

compiled_kernels = partial(kernels_of, "late_interaction.engines.local.quantization.residual")
"""Return the compiled kernels of the codec. They are loaded when they are first needed."""

_STEPS = {1: 1.596, 2: 0.9957, 3: 0.586, 4: 0.3352, 8: 0.0308}
"""Cell width with the least error for a unit Gaussian, by bits (Max, "Quantizing for minimum distortion", 1960)."""

BITS = tuple(_STEPS)

_MAX_SCALE = np.finfo(np.float16).max


@dataclass(frozen=True)
class Grid:
    """Rounds vectors of one dimension to some bits.

    Attributes:
        dim: Dimension of the vectors.
        bits: One of `BITS` per dimension.
    """

    dim: int
    bits: int

    @property
    def width(self) -> int:
        """Bytes of a packed point."""
        unit = 24 if self.bits == 3 else 8  # bits that are packed together
        return -(-self.dim * self.bits // unit) * unit // 8

    @property
    def padded_dim(self) -> int:
        """Dimensions that fill whole bytes."""
        return self.width * 8 // self.bits

    @property
    def step(self) -> float:
        """Width of a cell in units of a vector's root mean square."""
        return _STEPS[self.bits]

    def encode(self, vectors: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
        """Return vectors, (n, dim), as packed points, (n, width), and scales, (n,)."""
        packed = np.empty((len(vectors), self.width), np.uint8)
        scales = np.empty(len(vectors), np.float32)
        levels = np.empty(self.padded_dim, np.uint8)
        compiled_kernels().quantize(vectors, self.bits, self.step, levels, packed, scales)
        return packed, np.minimum(scales, _MAX_SCALE).astype(np.float16)

    def decode(self, packed: NDArray[np.uint8], scales: NDArray[np.float16]) -> NDArray[np.float32]:
        """Return the vectors that packed points, (n, width), and scales, (n,), stand for, (n, dim)."""
        vectors = self.points(packed, np.arange(len(packed)))[:, : self.dim]
        vectors *= scales.astype(np.float32)[:, None]
        return vectors

    def points(self, packed: NDArray[np.uint8], tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the points of the tokens with these numbers, (n, padded_dim); the padding is not zero."""
        points = np.empty((len(tokens), self.padded_dim), np.float32)
        compiled_kernels().unpack(packed, tokens, self.bits, points)
        return points

    def padded(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return vectors, (n, dim), with zeros up to ``padded_dim``, so that the padding of points does not count."""
        padded = np.zeros((len(vectors), self.padded_dim), np.float32)
        padded[:, : self.dim] = vectors
        return padded
