"""The kernels of the residual codec, compiled. Each equals the function of the same name in `reference`.

All release the GIL. Arrays are not bounds-checked: callers ensure that codes and offsets are in range
(`segment.CompressedSegment.codes`).
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from late_interaction.engines.local.kernels.compilation import Compiler, readable

__all__ = ["best_sums", "corrected_sums", "inner_products", "quantize", "refined_sums", "unpack", "unpack_factors"]

_OPTIONS: dict[str, Any] = {"nogil": True, "boundscheck": False}
_compiler = Compiler(__file__, _OPTIONS)

_u8, _u16, _u32, _i32, _i64, _f32 = nb.uint8, nb.uint16, nb.uint32, nb.int32, nb.int64, nb.float32

_POWERS = (2.0 ** np.arange(-25, 7)).astype(np.float32)
"""What a half precision fraction, with its leading bit, is multiplied by, by the exponent as it is stored."""


@_compiler.kernel(nb.void(readable(_f32, 2), _i64, _f32, _u8[:, ::1], _f32[::1]), fastmath=True)
def quantize(residuals, bits, step, packed, scales):
    tokens, dim = residuals.shape
    width = packed.shape[1]
    half, top = _f32(1 << (bits - 1)), _f32((1 << bits) - 1)
    levels = np.zeros(8 // bits * width, np.uint8)
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
        row = packed[token]
        for j in range(width):
            byte = levels[j]
            for plane in range(1, 8 // bits):
                byte |= levels[plane * width + j] << _u8(plane * bits)
            row[j] = byte
        scales[token] = norm / along if along > 0 else _f32(0)


@_compiler.kernel(nb.void(readable(_u8, 2), readable(_i64), _i64, _f32[:, ::1]))
def unpack(packed, tokens, bits, points):
    width = packed.shape[1]
    mask = _u8((1 << bits) - 1)
    shift = _f32((1 << (bits - 1)) - 0.5)
    for i in range(len(tokens)):
        row, point = packed[tokens[i]], points[i]
        for plane in range(8 // bits):
            right = _u8(plane * bits)
            part = point[plane * width : (plane + 1) * width]
            for j in range(width):
                part[j] = _f32(_u8((row[j] >> right) & mask)) - shift


@nb.njit(fastmath=True, **_OPTIONS)
def _dot_levels(row, vector, bits):
    """Return the dot product of a vector with packed levels.

    LLVM vectorizes the loops only with constant shifts, and with slices instead of sums of indexes.
    """
    width = len(row)
    part0 = vector[:width]
    total0, total1, total2, total3 = _f32(0), _f32(0), _f32(0), _f32(0)
    if bits == 8:
        for j in range(width):
            total0 += part0[j] * _f32(row[j])
    elif bits == 4:
        part1 = vector[width:]
        for j in range(width):
            total0 += part0[j] * _f32(_u8(row[j] & _u8(15)))
            total1 += part1[j] * _f32(_u8(row[j] >> _u8(4)))
    elif bits == 2:
        part1, part2, part3 = vector[width : 2 * width], vector[2 * width : 3 * width], vector[3 * width :]
        for j in range(width):
            total0 += part0[j] * _f32(_u8(row[j] & _u8(3)))
            total1 += part1[j] * _f32(_u8((row[j] >> _u8(2)) & _u8(3)))
            total2 += part2[j] * _f32(_u8((row[j] >> _u8(4)) & _u8(3)))
            total3 += part3[j] * _f32(_u8(row[j] >> _u8(6)))
    else:
        for plane in range(8):
            part, right = vector[plane * width : (plane + 1) * width], _u8(plane)
            for j in range(width):
                total0 += part[j] * _f32(_u8((row[j] >> right) & _u8(1)))
    return total0 + total1 + total2 + total3


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
    nb.void(readable(_f32, 2), readable(_u16), readable(_f32, 2), readable(_u8, 2), _i64, readable(_f32), _f32[:, ::1]),
    fastmath=True,
)
def inner_products(centroids, codes, residuals, packed, bits, direction, products):
    dim = residuals.shape[1]
    width = packed.shape[1]
    mask = _u8((1 << bits) - 1)
    middle = _f32((1 << (bits - 1)) - 0.5)
    point = np.zeros(8 // bits * width, np.float32)
    for token in range(len(residuals)):
        for plane in range(8 // bits):
            part, right = point[plane * width : (plane + 1) * width], _u8(plane * bits)
            for j in range(width):
                part[j] = _f32(_u8((packed[token, j] >> right) & mask)) - middle
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


_corrected_types = nb.void(
    *_factor_types,
    readable(_u16),
    readable(_i64),
    readable(_i64),
    readable(_f32, 2),
    readable(_f32),
    _f32[::1],
)


@_compiler.kernel(_corrected_types, fastmath={"contract"})
def corrected_sums(
    scales,
    along,
    shares,
    alongs,
    centroids_along,
    codes,
    offsets,
    documents,
    centroid_scores,
    query_along,
    sums,
):
    lanes = centroid_scores.shape[1]
    best = np.empty(lanes, np.float32)
    for i in range(len(documents)):
        start, end = offsets[documents[i]], offsets[documents[i] + 1]
        total = _f32(0)
        if start < end:
            for lane in range(lanes):
                best[lane] = -np.inf
            for token in range(start, end):
                row = centroid_scores[codes[token]]
                share, scale = _share(scales[token], shares), _scale(scales[token], shares, alongs)
                third = _along(scales[token], along[token], share, scale, alongs, centroids_along[codes[token]])
                for lane in range(lanes):
                    best[lane] = max(best[lane], share * row[lane] + third * query_along[lane])
            for lane in range(lanes):
                total += best[lane]
        sums[i] = total


_refined_types = nb.void(
    *_factor_types,
    readable(_u16),
    readable(_u8, 2),
    readable(_i64),
    readable(_i64),
    readable(_f32, 2),
    readable(_f32, 2),
    readable(_f32),
    nb.boolean,
    _i64,
    _f32[::1],
)


@_compiler.kernel(_refined_types, fastmath=True)
def refined_sums(
    scales,
    along,
    shares,
    alongs,
    centroids_along,
    codes,
    packed,
    offsets,
    documents,
    centroid_scores,
    query,
    query_along,
    corrected,
    bits,
    sums,
):
    lanes = len(query)
    middle = np.zeros(lanes, np.float32)  # what centering the grid subtracts from every dot product
    for lane in range(lanes):
        for j in range(query.shape[1]):
            middle[lane] += query[lane, j] * _f32((1 << (bits - 1)) - 0.5)
    best = np.empty(lanes, np.float32)
    found = np.empty(lanes, np.int32)
    for i in range(len(documents)):
        start, end = offsets[documents[i]], offsets[documents[i] + 1]
        sums[i] = 0
        if start == end:
            continue
        for lane in range(lanes):
            best[lane] = -np.inf
            found[lane] = 0
        for token in range(start, end):
            row = centroid_scores[codes[token]]
            at = _i32(token - start)
            if corrected:
                share, scale = _share(scales[token], shares), _scale(scales[token], shares, alongs)
                third = _along(scales[token], along[token], share, scale, alongs, centroids_along[codes[token]])
                for lane in range(lanes):
                    score = share * row[lane] + third * query_along[lane]
                    found[lane] = at if score > best[lane] else found[lane]
                    best[lane] = max(best[lane], score)
            else:
                for lane in range(lanes):
                    found[lane] = at if row[lane] > best[lane] else found[lane]
                    best[lane] = max(best[lane], row[lane])
        total = _f32(0)
        for lane in range(lanes):
            token = start + found[lane]
            share, scale = _share(scales[token], shares), _scale(scales[token], shares, alongs)
            if not corrected:
                best[lane] *= share
                if len(along):
                    third = _along(scales[token], along[token], share, scale, alongs, centroids_along[codes[token]])
                    best[lane] += third * query_along[lane]
            total += best[lane] + scale * (_dot_levels(packed[token], query[lane], bits) - middle[lane])
        sums[i] = total


_best_sums_types = nb.void(
    readable(_u16),
    readable(_f32, 2),
    readable(_f32, 2),
    readable(_i64),
    readable(_f32, 2),
    readable(_f32),
    _f32[::1],
)


@_compiler.kernel(_best_sums_types, fastmath={"contract"})
def best_sums(codes, factors, dots, bounds, centroid_scores, query_along, sums):
    lanes = len(dots)
    best = np.empty(lanes, np.float32)
    for document in range(len(bounds) - 1):
        start, end = bounds[document], bounds[document + 1]
        if start == end:
            sums[document] = 0
            continue
        for lane in range(lanes):
            best[lane] = -np.inf
        for token in range(start, end):
            row = centroid_scores[codes[token]]
            share, scale, along = factors[0, token], factors[1, token], factors[2, token]
            for lane in range(lanes):
                score = share * row[lane] + scale * dots[lane, token] + along * query_along[lane]
                best[lane] = max(best[lane], score)
        total = _f32(0)
        for lane in range(lanes):
            total += best[lane]
        sums[document] = total


_compiler.finish()
