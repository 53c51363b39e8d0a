"""What the columns of the residual codec stand for, in NumPy and in double precision, from the definition alone."""

from __future__ import annotations

import numpy as np

SHARE_STEPS = {1: 1 / 32, 2: 1 / 64, 3: 1 / 128, 4: 1 / 256}
GRID_STEPS = {1: 1.596, 2: 0.9957, 3: 0.586, 4: 0.3352, 8: 0.0308}


def levels_of(packed, bits, dim):
    """Levels: byte ``j`` of ``width`` holds the dimensions ``j, j + width, …``, the first in its lowest bits.

    With 3 bits, the two lower ones of all levels come first, and then the highest ones.
    """
    if bits == 3:
        low = packed.shape[1] // 3 * 2
        return levels_of(packed[:, :low], 2, dim) + 4 * levels_of(packed[:, low:], 1, dim)
    width = packed.shape[1]
    levels = [packed[:, d % width] >> (d // width * bits) & (2**bits - 1) for d in range(dim)]
    return np.stack(levels, axis=1).astype(np.int64)


def points_of(packed, bits, dim):
    """Levels around zero."""
    return levels_of(packed, bits, dim) - (2**bits - 1) / 2


def width_of(dim, bits):
    """Bytes of the levels of a token: with 3 bits, whole bytes for the lower two and for the highest."""
    return 3 * -(-dim // 8) if bits == 3 else -(-dim * bits // 8)


def unpacked_factors(scales, along, bits, dim):
    """Shares, scales and coefficients in the direction beyond those of the centroids, (n,) each.

    The lowest five bits of a scale are a share from 1 - 16 steps. A coefficient is a sign and the logarithm of what it
    is in units of the length of a usual point, √dim / step, with eight levels per octave; level 0 is zero. With eight
    bits per dimension there is no share, and the lowest three bits of a scale are eighths of a level.
    """
    packed = np.asarray(scales).view(np.uint16).astype(np.int64)
    shares, refinements = np.ones(len(packed)), np.zeros(len(packed))
    if bits in SHARE_STEPS:
        shares = 1 + (packed % 32 - 16) * SHARE_STEPS[bits]
        packed = packed // 32 * 32
    else:
        refinements = packed % 8 / 8
        packed = packed // 8 * 8
    scales = packed.astype(np.uint16).view(np.float16).astype(np.float64)
    signs, levels = np.where(along < 128, 1.0, -1.0), along % 128 + refinements
    lengths = np.where(levels > 0, np.sqrt(dim) / GRID_STEPS[bits] * 2.0 ** ((levels - 64.0) / 8), 0)
    return shares, scales, signs * lengths * scales


def without(vectors, direction):
    """Vectors, (n, dim), without their components in a direction of unit length, or of length 0."""
    vectors, direction = np.asarray(vectors, np.float64), np.asarray(direction, np.float64)
    return vectors - (vectors @ direction)[:, None] * direction


def decoded_by_definition(columns, centroids, direction, bits):
    """The vectors of columns, (n, dim): share · centroid + along · direction + scale · point.

    The centroid and the point are without their components in the direction, and ``along`` is that of the centroid and
    the coefficient.
    """
    centroids = np.asarray(centroids, np.float64)[columns["codes"]]
    dim = centroids.shape[1]
    direction = np.asarray(direction, np.float64)
    shares, scales, coefficients = unpacked_factors(columns["scales"], columns["along"], bits, dim)
    along = centroids @ direction + coefficients * (np.abs(direction).max(initial=0) > 0)
    rest = shares[:, None] * without(centroids, direction)
    points = without(points_of(columns["residuals"], bits, dim), direction)
    return rest + along[:, None] * direction + scales[:, None] * points
