"""The kernels of the residual codec, compiled. Each equals the function of the same name in `reference`.

All release the GIL. Arrays are not bounds-checked: callers ensure that codes and offsets are in range
(`segment.CompressedSegment.codes`).
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from late_interaction.engines.local.kernels.compilation import Compiler, readable
from late_interaction.engines.local.kernels.halves import widened

__all__ = ["inner_products", "quantize", "residuals", "unpack", "unpack_factors", "widen"]

_OPTIONS: dict[str, Any] = {"boundscheck": False, "error_model": "numpy"}
_compiler = Compiler(__file__, _OPTIONS)

_u8, _u16, _u32, _i32, _i64, _f32 = nb.uint8, nb.uint16, nb.uint32, nb.int32, nb.int64, nb.float32

_POWERS = (2.0 ** np.arange(-25, 7)).astype(np.float32)
"""What a half precision fraction, with its leading bit, is multiplied by, by the exponent as it is stored."""


@nb.njit(**_OPTIONS)
def _pack(levels, bits, row):
    """Pack levels, (padded dim,), into a row. See `reference.quantize`."""
    if bits == 3:
        _pack_planes(levels, 2, 0, row[: len(row) // 3 * 2])
        _pack_planes(levels, 1, 2, row[len(row) // 3 * 2 :])
    else:
        _pack_planes(levels, bits, 0, row)


@nb.njit(**_OPTIONS)
def _pack_planes(levels, bits, lowest, row):
    """Pack some bits of levels, beginning with the one of this number."""
    width, mask, right = len(row), _u8((1 << bits) - 1), _u8(lowest)
    for j in range(width):
        byte = _u8(0)
        for plane in range(8 // bits):
            byte |= _u8((levels[plane * width + j] >> right) & mask) << _u8(plane * bits)
        row[j] = byte


@nb.njit(**_OPTIONS)
def _unpack_row(row, bits, point):
    """Write the point of a row, (padded dim,)."""
    shift = _f32((1 << (bits - 1)) - 0.5)
    if bits == 3:
        third = len(row) // 3
        for plane in range(8):
            low = row[(plane & 1) * third : ((plane & 1) + 1) * third]
            part, high = point[plane * third : (plane + 1) * third], row[2 * third :]
            low_right, right = _u8(plane & 6), _u8(plane)
            for j in range(third):
                level = ((low[j] >> low_right) & _u8(3)) | (((high[j] >> right) & _u8(1)) << _u8(2))
                part[j] = _f32(_u8(level)) - shift
        return
    width, mask = len(row), _u8((1 << bits) - 1)
    for plane in range(8 // bits):
        part, right = point[plane * width : (plane + 1) * width], _u8(plane * bits)
        for j in range(width):
            part[j] = _f32(_u8((row[j] >> right) & mask)) - shift


@_compiler.kernel(nb.void(readable(_u16, 2), _f32[:, ::1]))
def widen(halves, wide):
    for token in range(len(halves)):
        half, whole = halves[token], wide[token]
        for j in range(len(whole)):
            whole[j] = widened(half[j])


@_compiler.kernel(
    nb.void(readable(_f32, 2), readable(_u16), readable(_f32, 2), readable(_f32), _f32[:, ::1], _f32[::1]),
    fastmath=True,
)
def residuals(vectors, codes, centroids, direction, across, along):
    for token in range(len(vectors)):
        vector, centroid, residual = vectors[token], centroids[codes[token]], across[token]
        length = _f32(0)
        for j in range(len(direction)):
            residual[j] = vector[j] - centroid[j]
            length += residual[j] * direction[j]
        for j in range(len(direction)):
            residual[j] -= length * direction[j]
        along[token] = length


@_compiler.kernel(nb.void(readable(_f32, 2), _i64, _f32, _u8[::1], _u8[:, ::1], _f32[::1]), fastmath=True)
def quantize(residuals, bits, step, levels, packed, scales):
    tokens, dim = residuals.shape
    half, top = _f32(1 << (bits - 1)), _f32((1 << bits) - 1)
    for j in range(dim, len(levels)):
        levels[j] = 0
    for token in range(tokens):
        residual = residuals[token]
        norm = _f32(0)
        for j in range(dim):
            norm += residual[j] * residual[j]
        cell = step * np.sqrt(norm / _f32(dim))
        inverse = _f32(1) / cell if cell > 0 else _f32(0)
        along = _f32(0)
        for j in range(dim):
            level = _u8(min(max(residual[j] * inverse + half, _f32(0)), top))
            levels[j] = level
            along += residual[j] * (_f32(level) - half + _f32(0.5))
        _pack(levels, bits, packed[token])
        scales[token] = norm / along if along > 0 else _f32(0)


@_compiler.kernel(nb.void(readable(_u8, 2), readable(_i64), _i64, _f32[:, ::1]))
def unpack(packed, tokens, bits, points):
    for i in range(len(tokens)):
        _unpack_row(packed[tokens[i]], bits, points[i])


@nb.njit(**_OPTIONS)
def _share(packed, shares):
    return shares[packed & (len(shares) - 1)]


@nb.njit(**_OPTIONS)
def _scale(packed, shares, alongs):
    """Return the half precision number that is left of a packed scale, as a float32."""
    low = max(len(shares), len(alongs) // 256) - 1
    half = _u32(packed) & _u32(0x7FFF) & _u32(~low)
    exponent, fraction = _i32(half >> _u32(10)), _f32(half & _u32(0x3FF))
    if exponent == 0:
        return fraction * _f32(2.0**-24)
    return (fraction + _f32(1024)) * _POWERS[exponent]


@nb.njit(**_OPTIONS)
def _along(packed, code, share, scale, alongs, centroid_along):
    refinements = len(alongs) // 256
    level = _i64(code) * refinements + _i64(packed & (refinements - 1))
    return alongs[level] * scale - (share - _f32(1)) * centroid_along


_factor_types = [readable(_u16), readable(_u8), readable(_f32), readable(_f32), readable(_f32)]


@_compiler.kernel(nb.void(*_factor_types, readable(_u16), readable(_i64), _f32[:, ::1]))
def unpack_factors(scales, along, shares, alongs, centroids_along, codes, tokens, factors):
    for i in range(len(tokens)):
        token = tokens[i]
        share, scale = _share(scales[token], shares), _scale(scales[token], shares, alongs)
        factors[0, i] = share
        factors[1, i] = scale
        factors[2, i] = _f32(0)
        if len(along):
            factors[2, i] = _along(scales[token], along[token], share, scale, alongs, centroids_along[codes[token]])


@_compiler.kernel(
    nb.void(
        readable(_f32, 2),
        readable(_u16),
        readable(_f32, 2),
        readable(_u8, 2),
        _i64,
        readable(_f32),
        _f32[::1],
        _f32[:, ::1],
    ),
    fastmath=True,
)
def inner_products(centroids, codes, residuals, packed, bits, direction, point, products):
    dim = residuals.shape[1]
    for token in range(len(residuals)):
        _unpack_row(packed[token], bits, point)
        centroid, residual = centroids[codes[token]], residuals[token]
        cc, cr, cp, rp, rr, cu, pu = _f32(0), _f32(0), _f32(0), _f32(0), _f32(0), _f32(0), _f32(0)
        for j in range(dim):
            cc += centroid[j] * centroid[j]
            cr += centroid[j] * residual[j]
            cp += centroid[j] * point[j]
            rp += residual[j] * point[j]
            rr += residual[j] * residual[j]
            cu += centroid[j] * direction[j]
            pu += point[j] * direction[j]
        products[0, token] = cc - cu * cu
        products[1, token] = cr
        products[2, token] = cp - cu * pu
        products[3, token] = rp
        products[4, token] = rr


_compiler.finish()
