"""The kernels of the residual codec, compiled. Each equals the function of the same name in `reference`.

All release the GIL. Arrays are not bounds-checked: callers ensure that codes and offsets are in range
(`segment.CompressedSegment.codes`).
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from late_interaction.engines.local.kernels.compilation import Compiler, readable

__all__ = ["best_sums", "nearest_dots", "quantize", "unpack"]

_OPTIONS: dict[str, Any] = {"nogil": True, "boundscheck": False}
_compiler = Compiler(__file__, _OPTIONS)

_u8, _u16, _i32, _i64, _f32 = nb.uint8, nb.uint16, nb.int32, nb.int64, nb.float32


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


_nearest_dots_types = nb.void(
    readable(_u16),
    readable(_u8, 2),
    readable(_i64),
    readable(_i64),
    readable(_f32, 2),
    readable(_f32, 2),
    _i64,
    _i64[:, ::1],
    _f32[:, ::1],
)


@_compiler.kernel(_nearest_dots_types, fastmath=True)
def nearest_dots(codes, packed, offsets, documents, centroid_scores, query, bits, nearest, dots):
    lanes = len(query)
    middle = np.zeros(lanes, np.float32)  # what centering the grid subtracts from every dot product
    for lane in range(lanes):
        for j in range(query.shape[1]):
            middle[lane] += query[lane, j] * _f32((1 << (bits - 1)) - 0.5)
    best = np.empty(lanes, np.float32)
    found = np.empty(lanes, np.int32)
    for i in range(len(documents)):
        start, end = offsets[documents[i]], offsets[documents[i] + 1]
        if start == end:
            continue
        for lane in range(lanes):
            best[lane] = -np.inf
            found[lane] = 0
        for token in range(start, end):
            row = centroid_scores[codes[token]]
            at = _i32(token - start)
            for lane in range(lanes):
                found[lane] = at if row[lane] > best[lane] else found[lane]
                best[lane] = max(best[lane], row[lane])
        for lane in range(lanes):
            token = start + found[lane]
            nearest[i, lane] = token
            dots[i, lane] = _dot_levels(packed[token], query[lane], bits) - middle[lane]


@_compiler.kernel(
    nb.void(readable(_u16), readable(_f32), readable(_f32, 2), readable(_i64), readable(_f32, 2), _f32[::1])
)
def best_sums(codes, scales, dots, bounds, centroid_scores, sums):
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
            row, scale = centroid_scores[codes[token]], scales[token]
            for lane in range(lanes):
                best[lane] = max(best[lane], row[lane] + scale * dots[lane, token])
        total = _f32(0)
        for lane in range(lanes):
            total += best[lane]
        sums[document] = total


_compiler.finish()
