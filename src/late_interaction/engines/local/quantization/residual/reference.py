"""The kernels of the residual codec in plain NumPy: the definition that the compiled ones are tested against.

The columns of tokens are flat: document ``d`` has the tokens ``offsets[d]:offsets[d + 1]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["inner_products", "quantize", "residuals", "unpack", "unpack_factors", "widen"]


def widen(halves: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return finite half precision numbers, (n, dim), given by their bits, in single precision."""
    return halves.view(np.float16).astype(np.float32)


def residuals(
    vectors: NDArray[np.float32],
    codes: NDArray[np.uint16],
    centroids: NDArray[np.float32],
    direction: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the differences of vectors, (tokens, dim), from their centroids, and their components in a direction.

    Returns:
        The differences without these components, (tokens, dim), and the components, (tokens,).
    """
    differences = vectors - centroids[codes]
    along = differences @ direction
    return np.asarray(differences - along[:, None] * direction, np.float32), np.asarray(along, np.float32)


def quantize(residuals: NDArray[np.float32], bits: int, step: float) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Round rotated residuals to a uniform mid-rise grid, with one scale each that makes dot products unbiased.

    Args:
        residuals: (tokens, dim).
        bits: 1, 2, 3, 4 or 8 per dimension.
        step: Width of a grid cell in units of a residual's root mean square.

    Returns:
        Packed levels, (tokens, ceil(dim * bits / 8)) u8, and scales, (tokens,). With ``8 / bits`` dimensions in a byte
        and ``width`` bytes in a row, byte ``j`` holds dimensions ``j, j + width, …``, the first in the lowest bits.
        With 3 bits, ``2 * ceil(dim / 8)`` bytes hold the two lower bits of levels in this way, and as many again by
        half the highest bits.
    """
    dim = residuals.shape[1]
    half = 2 ** (bits - 1)
    norms = (residuals * residuals).sum(axis=1)
    cells = step * np.sqrt(norms / dim)
    inverse = np.divide(1, cells, out=np.zeros_like(cells), where=cells > 0)
    levels = np.clip(np.floor(residuals * inverse[:, None]) + half, 0, 2 * half - 1).astype(np.uint8)
    along = (residuals * (levels.astype(np.float32) - half + 0.5)).sum(axis=1)
    scales = np.divide(norms, along, out=np.zeros_like(norms), where=along > 0)
    return _packed(levels, bits), scales


def unpack(packed: NDArray[np.uint8], tokens: NDArray[np.int64], bits: int) -> NDArray[np.float32]:
    """Return the grid points of some tokens, (n, planes * width): ``dim`` columns of coordinates, then padding."""
    half = 2 ** (bits - 1)
    return _unpacked(packed[tokens], bits).astype(np.float32) - np.float32(half - 0.5)


def unpack_factors(
    scales: NDArray[np.uint16],
    along: NDArray[np.uint8],
    shares: NDArray[np.float32],
    alongs: NDArray[np.float32],
    centroids_along: NDArray[np.float32],
    codes: NDArray[np.uint16],
    tokens: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return the factors of some tokens: of the centroid, of the point, and of the common direction, (3, n).

    Args:
        scales: The packed scale of each token, the bits of a float16 with the code of a share in the lowest, (tokens,).
        along: The code of the coefficient of each token along the common direction, (tokens,); empty in old segments.
        shares: The values of shares, by code; a power of two of them.
        alongs: The values of coefficients in units of the scale, by code and the lowest bits of the scale, (256 times a
            power of two,).
        centroids_along: The component of each centroid in the common direction, (centroids,).
        codes: The centroid of each token, (tokens,).
        tokens: The numbers of the tokens to unpack, (n,).
    """
    packed = scales[tokens]
    refinements = len(alongs) // 256
    low = np.uint16(max(len(shares), refinements) - 1)
    share, scale = shares[packed % len(shares)], (packed & ~low & np.uint16(0x7FFF)).view(np.float16).astype(np.float32)
    third = np.zeros(len(tokens), np.float32)
    if len(along):
        levels = along[tokens].astype(np.int64) * refinements + packed % refinements
        third = alongs[levels] * scale - (share - 1) * centroids_along[codes[tokens]]
    return np.stack([share, scale, third])


def inner_products(
    centroids: NDArray[np.float32],
    codes: NDArray[np.uint16],
    residuals: NDArray[np.float32],
    packed: NDArray[np.uint8],
    bits: int,
    direction: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return dot products among the centroid ``c``, the residual ``r`` and the point ``p`` of each token, (5, tokens).

    They are ``c·c``, ``c·r``, ``c·p``, ``r·p``, ``r·r``, all without the components in the common direction. Residuals
    have none.
    """
    centroid = centroids[codes]
    point = unpack(packed, np.arange(len(packed)), bits)[:, : residuals.shape[1]]
    centroid = centroid - (centroid @ direction)[:, None] * direction
    point = point - (point @ direction)[:, None] * direction
    pairs = [(centroid, centroid), (centroid, residuals), (centroid, point), (residuals, point), (residuals, residuals)]
    return np.array([(one * other).sum(axis=1) for one, other in pairs], np.float32)


def _packed(levels: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Return levels, (tokens, dim), packed, (tokens, width)."""
    tokens, dim = levels.shape
    if bits == 3:
        padded = np.zeros((tokens, -(-dim // 8) * 8), np.uint8)
        padded[:, :dim] = levels
        return np.concatenate([_packed(padded & np.uint8(3), 2), _packed(padded >> np.uint8(2), 1)], axis=1)
    planes = 8 // bits
    width = -(-dim // planes)
    padded = np.zeros((tokens, planes * width), np.uint8)
    padded[:, :dim] = levels
    packed = np.zeros((tokens, width), np.uint8)
    for plane in range(planes):
        packed |= padded[:, plane * width : (plane + 1) * width] << (plane * bits)
    return packed


def _unpacked(packed: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Return the levels of packed ones, (tokens, width), with those of the padding, (tokens, padded dim)."""
    if bits == 3:
        low = packed.shape[1] // 3 * 2
        return np.asarray(_unpacked(packed[:, :low], 2) | (_unpacked(packed[:, low:], 1) << 2), np.uint8)
    return np.concatenate([(packed >> (plane * bits)) & (2**bits - 1) for plane in range(8 // bits)], axis=1)
