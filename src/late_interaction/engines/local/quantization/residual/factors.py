"""The three factors of a token, and how three bytes hold them.

``scale`` is a float16. With up to four bits per dimension its lowest five bits hold ``share`` instead, in steps that
are small beside the error of the grid. ``along`` is one byte: a sign and the logarithm of the coefficient relative to
the length of the point, since small coefficients matter where all vectors have nearly the same direction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Packing", "packing"]

_SHARE_STEPS = {1: 1 / 32, 2: 1 / 64, 4: 1 / 256}
"""Step of ``share``, by bits. 32 steps around 1 reach beyond what the error of the grid makes necessary."""

_SHARES = 32
_LEVELS_PER_OCTAVE = 8
_LEVELS = 128
_MIDDLE_LEVEL = 64  # of a coefficient as long as the point

_MAX_SCALE = np.finfo(np.float16).max


@dataclass(frozen=True)
class Packing:
    """How the factors of a codec are packed. Part of the format on disk.

    Attributes:
        shares: The values of ``share``, by the lowest bits of a scale; a power of two of them.
        alongs: The values of ``along`` in units of the scale, (256,).
    """

    shares: NDArray[np.float32]
    alongs: NDArray[np.float32]

    def nearest_shares(self, shares: NDArray[np.float32]) -> NDArray[np.uint16]:
        """Return the code of the nearest share, (n,)."""
        if len(self.shares) == 1:
            return np.zeros(len(shares), np.uint16)
        step = self.shares[1] - self.shares[0]
        codes = np.clip(np.rint((shares - self.shares[0]) / step), 0, len(self.shares) - 1)
        return np.asarray(codes, np.uint16)

    def with_shares(self, scales: NDArray[np.float32], shares: NDArray[np.uint16]) -> NDArray[np.float16]:
        """Return scales, which are not negative, in half precision, with codes of shares in their lowest bits."""
        unit = np.uint32(len(self.shares))
        whole = np.minimum(scales, _MAX_SCALE).astype(np.float16).view(np.uint16).astype(np.uint32)
        largest = np.uint32(_MAX_SCALE.view(np.uint16)) // unit * unit
        rounded = np.minimum((whole + unit // 2) // unit * unit, largest)
        return np.asarray(rounded | shares, np.uint16).view(np.float16)

    def scales(self, packed: NDArray[np.float16]) -> NDArray[np.float32]:
        """Return the scales without the shares in their lowest bits, (n,)."""
        bits = np.ascontiguousarray(packed).view(np.uint16) & np.uint16(~(len(self.shares) - 1) & 0xFFFF)
        return bits.view(np.float16).astype(np.float32)

    def nearest_alongs(self, alongs: NDArray[np.floating[Any]], scales: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the code of the nearest value of ``along``, (n,); 0 for one too small to matter."""
        unit = scales * self.alongs[_MIDDLE_LEVEL]
        with np.errstate(divide="ignore", invalid="ignore"):
            levels = np.rint(np.log2(np.abs(alongs) / unit) * _LEVELS_PER_OCTAVE) + _MIDDLE_LEVEL
        levels = np.clip(np.nan_to_num(levels, nan=0, posinf=0, neginf=0), 0, _LEVELS - 1)
        return np.where(levels > 0, levels + np.where(alongs < 0, _LEVELS, 0), 0).astype(np.uint8)

    def least_scales(self, alongs: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Return the least scales with which some values of ``along`` can be represented, (n,)."""
        smallest = np.float32(len(self.shares) * 2.0**-24)
        lengths = np.abs(alongs)
        needed = np.maximum(lengths / self.alongs[_LEVELS - 1], smallest)
        return np.asarray(np.where(lengths > 0, needed, 0), np.float32)


@cache
def packing(dim: int, bits: int, step: float) -> Packing:
    """Return the packing for a dimension, the bits of the grid, and the width of its cells."""
    shares = np.ones(1, np.float32)
    if bits in _SHARE_STEPS:
        shares = np.asarray(1 + (np.arange(_SHARES) - _SHARES // 2) * _SHARE_STEPS[bits], np.float32)
    levels = np.arange(_LEVELS)
    lengths = math.sqrt(dim) / step * 2.0 ** ((levels - _MIDDLE_LEVEL) / _LEVELS_PER_OCTAVE) * (levels > 0)
    return Packing(shares, np.concatenate([lengths, -lengths]).astype(np.float32))
