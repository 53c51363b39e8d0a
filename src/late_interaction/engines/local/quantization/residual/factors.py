"""The three factors of a token, and how three bytes hold them.

``scale`` is a float16 without its lowest bits. ``along`` is one byte: a sign and the logarithm of the coefficient
relative to the length of the point, since small coefficients matter where all vectors have nearly the same direction.
With up to four bits per dimension, the lowest five bits of a scale are ``share``, in steps that are small beside the
error of the grid. With eight, a share would hardly differ from 1, and three bits of a scale refine ``along``.
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

_SHARE_STEPS = {1: 1 / 32, 2: 1 / 64, 3: 1 / 128, 4: 1 / 256}
"""Step of ``share``, by bits. 32 steps around 1 reach beyond what the error of the grid makes necessary."""

_SHARES = 32
_REFINEMENTS = {8: 8}
"""By bits, the levels of ``along`` between two values of its byte."""

_LEVELS_PER_OCTAVE = 8
_LEVELS = 128
_MIDDLE_LEVEL = 64  # of a coefficient as long as the point

_MAX_SCALE = np.finfo(np.float16).max


@dataclass(frozen=True)
class Packing:
    """How the factors of a codec are packed. Part of the format on disk.

    Attributes:
        shares: The values of ``share``, by the lowest bits of a scale; a power of two of them.
        alongs: The values of ``along`` in units of the scale, by its byte and the lowest bits of the scale; 256 times a
            power of two of them.
    """

    shares: NDArray[np.float32]
    alongs: NDArray[np.float32]

    def packed(
        self, shares: NDArray[np.float32], scales: NDArray[np.float32], alongs: NDArray[np.floating[Any]]
    ) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
        """Return the columns ``scales`` and ``along`` with the nearest values of factors, (n,) each.

        Scales are not negative, and as large as ``along`` needs.
        """
        lengths = np.abs(alongs)
        needed = np.maximum(lengths / self.alongs[: len(self.alongs) // 2].max(), self._unit * 2.0**-24)
        rounded = self._rounded(np.where(lengths > 0, np.maximum(scales, needed), scales))
        levels = self._nearest_levels(lengths, rounded.view(np.float16).astype(np.float32))
        refinement = levels % self._refinements
        low = refinement if self._refinements > 1 else self._nearest_shares(shares)
        packed_along = levels // self._refinements + np.where((alongs < 0) & (levels > 0), _LEVELS, 0)
        return (rounded | low.astype(np.uint16)).view(np.float16), packed_along.astype(np.uint8)

    @property
    def _refinements(self) -> int:
        return len(self.alongs) // (2 * _LEVELS)

    @property
    def _unit(self) -> int:
        """What the numbers of scales are multiples of."""
        return max(len(self.shares), self._refinements)

    def _rounded(self, scales: NDArray[np.floating[Any]]) -> NDArray[np.uint16]:
        whole = np.minimum(scales, _MAX_SCALE).astype(np.float16).view(np.uint16).astype(np.uint32)
        largest = int(_MAX_SCALE.view(np.uint16)) // self._unit * self._unit
        rounded = np.minimum((whole + self._unit // 2) // self._unit * self._unit, largest)
        return np.asarray(rounded, np.uint16)

    def _nearest_shares(self, shares: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        step = self.shares[1] - self.shares[0]
        return np.asarray(np.clip(np.rint((shares - self.shares[0]) / step), 0, len(self.shares) - 1))

    def _nearest_levels(self, lengths: NDArray[np.floating[Any]], scales: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the number of the nearest length, (n,); 0 for one too small to matter."""
        middle = _MIDDLE_LEVEL * self._refinements
        unit = scales * self.alongs[middle]
        with np.errstate(divide="ignore", invalid="ignore"):
            levels = np.rint(np.log2(lengths / unit) * (_LEVELS_PER_OCTAVE * self._refinements)) + middle
        levels = np.nan_to_num(levels, nan=0, posinf=0, neginf=0)
        return np.asarray(np.clip(levels, 0, _LEVELS * self._refinements - 1), np.int64)


@cache
def packing(dim: int, bits: int, step: float) -> Packing:
    """Return the packing for a dimension, the bits of the grid, and the width of its cells."""
    shares = np.ones(1, np.float32)
    if bits in _SHARE_STEPS:
        shares = np.asarray(1 + (np.arange(_SHARES) - _SHARES // 2) * _SHARE_STEPS[bits], np.float32)
    refinements = _REFINEMENTS.get(bits, 1)
    levels = np.arange(_LEVELS * refinements)
    octaves = (levels / refinements - _MIDDLE_LEVEL) / _LEVELS_PER_OCTAVE
    lengths = math.sqrt(dim) / step * 2.0**octaves * (levels > 0)
    return Packing(shares, np.concatenate([lengths, -lengths]).astype(np.float32))
