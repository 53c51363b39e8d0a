"""The kernels that score documents of the residual codec, compiled. Each equals that of the same name in `reference`.

All release the GIL. Arrays are not bounds-checked: callers ensure that codes and offsets are in range
(`segment.CompressedSegment.codes`).
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from late_interaction.engines.local.kernels.compilation import Compiler, readable
from late_interaction.engines.local.kernels.lanes import (
    LANES,
    hopeful_lanes,
    lowest_lane,
    maximize,
    maximize_four,
    maximize_where,
    weighted,
)
from late_interaction.engines.local.kernels.prefetching import prefetch

__all__ = ["approximate_sums", "corrected_sums", "exact_sums", "maxsim_sums", "refined_sums"]

_OPTIONS: dict[str, Any] = {"nogil": True, "boundscheck": False, "error_model": "numpy"}
_compiler = Compiler(__file__, _OPTIONS)

_u8, _u16, _u32 = nb.uint8, nb.uint16, nb.uint32
_i8, _i16, _i32, _i64, _f32 = nb.int8, nb.int16, nb.int32, nb.int64, nb.float32

_POWERS = (2.0 ** np.arange(-25, 7)).astype(np.float32)
"""What a half precision fraction, with its leading bit, is multiplied by, by the exponent as it is stored."""

_TOGETHER = 16  # documents whose rows are all prefetched before the first is read
_CODES_OF_A_LINE = 32
_TOKENS_AHEAD = 8
_LOWEST = -3e38


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
def _coefficient(packed, code, scale, alongs):
    """Return what the component of the centroid lacks in the common direction."""
    refinements = len(alongs) // 256
    return alongs[_i64(code) * refinements + _i64(packed & (refinements - 1))] * scale


@nb.njit(**_OPTIONS)
def _along(packed, code, share, scale, alongs, centroid_along):
    """Return what the component of ``share · centroid`` lacks in the common direction."""
    return _coefficient(packed, code, scale, alongs) - (share - _f32(1)) * centroid_along


@nb.njit(fastmath=True, **_OPTIONS)
def _dot_levels(row, vector, bits):
    """Return the dot product of packed levels with integers, in 32 bits (i32 + i32 has 64 in numba).

    LLVM multiplies pairs at once only so, with constant shifts, and with slices instead of sums of indexes.
    """
    width = len(row)
    part0 = vector[:width]
    total0, total1, total2, total3 = _i32(0), _i32(0), _i32(0), _i32(0)
    if bits == 8:
        for j in range(width):
            total0 = _i32(total0 + _i32(_i16(row[j])) * _i32(part0[j]))
    elif bits == 4:
        part1 = vector[width:]
        for j in range(width):
            total0 = _i32(total0 + _i32(_i16(row[j] & _u8(15))) * _i32(part0[j]))
            total1 = _i32(total1 + _i32(_i16(row[j] >> _u8(4))) * _i32(part1[j]))
    elif bits == 2:
        part1, part2, part3 = vector[width : 2 * width], vector[2 * width : 3 * width], vector[3 * width :]
        for j in range(width):
            total0 = _i32(total0 + _i32(_i16(row[j] & _u8(3))) * _i32(part0[j]))
            total1 = _i32(total1 + _i32(_i16((row[j] >> _u8(2)) & _u8(3))) * _i32(part1[j]))
            total2 = _i32(total2 + _i32(_i16((row[j] >> _u8(4)) & _u8(3))) * _i32(part2[j]))
            total3 = _i32(total3 + _i32(_i16(row[j] >> _u8(6))) * _i32(part3[j]))
    else:
        for plane in range(8):
            part, right = vector[plane * width : (plane + 1) * width], _u8(plane)
            for j in range(width):
                total0 = _i32(total0 + _i32(_i16((row[j] >> right) & _u8(1))) * _i32(part[j]))
    return _i32(_i32(total0 + total1) + _i32(total2 + total3))


@nb.njit(fastmath=True, **_OPTIONS)
def _add_plane(row, right, mask, scale, middle, part):
    for j in range(len(row)):
        part[j] += scale * (_f32(_u8((row[j] >> right) & mask)) - middle)


@nb.njit(fastmath=True, **_OPTIONS)
def _add_points(row, bits, scale, vector):
    """Add packed points, times a scale, to a vector. LLVM vectorizes only constant shifts."""
    width = len(row)
    if bits == 8:
        _add_plane(row, _u8(0), _u8(255), scale, _f32(127.5), vector[:width])
    elif bits == 4:
        _add_plane(row, _u8(0), _u8(15), scale, _f32(7.5), vector[:width])
        _add_plane(row, _u8(4), _u8(15), scale, _f32(7.5), vector[width:])
    elif bits == 2:
        _add_plane(row, _u8(0), _u8(3), scale, _f32(1.5), vector[:width])
        _add_plane(row, _u8(2), _u8(3), scale, _f32(1.5), vector[width:])
        _add_plane(row, _u8(4), _u8(3), scale, _f32(1.5), vector[2 * width :])
        _add_plane(row, _u8(6), _u8(3), scale, _f32(1.5), vector[3 * width :])
    else:
        for plane in range(8):
            _add_plane(row, _u8(plane), _u8(1), scale, _f32(0.5), vector[plane * width :])


_factor_types = [readable(_u16), readable(_u8), readable(_f32), readable(_f32), readable(_f32)]
_document_types = [readable(_u16), readable(_i64), readable(_i64)]
_query_types = [readable(_i16, 2), readable(_f32), readable(_i32), readable(_f32)]


@_compiler.kernel(nb.void(*_document_types, readable(_f32, 2), _f32[::1], _f32[::1]), fastmath=True)
def approximate_sums(codes, offsets, documents, scores, best, sums):
    for i in range(len(documents)):
        start, end = offsets[documents[i]], offsets[documents[i] + 1]
        ahead = documents[min(i + 8, len(documents) - 1)]
        for soon in range(offsets[ahead], offsets[ahead + 1], _CODES_OF_A_LINE):
            prefetch(codes, soon)
        for lane in range(len(best)):
            best[lane] = _f32(_LOWEST) if start < end else _f32(0)
        for lane in range(0, len(best), LANES):
            token = start
            while token + 4 <= end:
                four = codes[token : token + 4]
                maximize_four(best, lane, scores, four[0], four[1], four[2], four[3])
                token += 4
            for rest in range(token, end):
                maximize(best, lane, scores, codes[rest])
        total = _f32(0)
        for lane in range(len(best)):
            total += best[lane]
        sums[i] = total


_corrected_types = nb.void(
    *_factor_types, *_document_types, readable(_f32, 2), readable(_f32), _f32[:, ::1], _f32[::1], _f32[::1]
)


@_compiler.kernel(_corrected_types, fastmath=True)
def corrected_sums(
    scales, along, shares, alongs, centroids_along, codes, offsets, documents, scores, query_along, row, best, sums
):
    for i in range(len(documents)):
        start, end = offsets[documents[i]], offsets[documents[i] + 1]
        ahead = documents[min(i + 8, len(documents) - 1)]
        for soon in range(offsets[ahead], offsets[ahead + 1], _CODES_OF_A_LINE):
            prefetch(codes, soon)
            prefetch(scales, soon)
            prefetch(along, soon)
        for lane in range(len(best)):
            best[lane] = _f32(_LOWEST) if start < end else _f32(0)
        for token in range(start, end):
            code, packed = codes[token], scales[token]
            share, scale = shares[packed & (len(shares) - 1)], _scale(packed, shares, alongs)
            third = _along(packed, along[token], share, scale, alongs, centroids_along[code])
            for lane in range(0, len(best), LANES):
                weighted(row, 0, lane, scores, code, share, query_along, third)
                maximize(best, lane, row, 0)
        total = _f32(0)
        for lane in range(len(best)):
            total += best[lane]
        sums[i] = total


_refined_types = nb.void(
    *_factor_types,
    *_document_types,
    readable(_u8, 2),
    readable(_f32, 2),
    *_query_types,
    nb.boolean,
    _i64,
    _f32[:, ::1],
    _f32[:, ::1],
    _i32[:, ::1],
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
    offsets,
    documents,
    packed,
    scores,
    query,
    units,
    middle,
    query_along,
    corrected,
    bits,
    row,
    best,
    nearest,
    sums,
):
    for first in range(0, len(documents), _TOGETHER):
        part = documents[first : first + _TOGETHER]
        for i in range(len(part)):
            start, end, highest, at = offsets[part[i]], offsets[part[i] + 1], best[i], nearest[i]
            for lane in range(len(highest)):
                highest[lane], at[lane] = _f32(_LOWEST), _i32(0)
            for token in range(start, end):
                code = codes[token]
                if corrected:
                    share, scale = shares[scales[token] & (len(shares) - 1)], _scale(scales[token], shares, alongs)
                    third = _along(scales[token], along[token], share, scale, alongs, centroids_along[code])
                    for lane in range(0, len(highest), LANES):
                        weighted(row, 0, lane, scores, code, share, query_along, third)
                        maximize_where(best, nearest, i, lane, row, 0, _i32(token - start))
                else:
                    for lane in range(0, len(highest), LANES):
                        maximize_where(best, nearest, i, lane, scores, code, _i32(token - start))
            for lane in range(len(query)):
                prefetch(packed, start + at[lane])
                prefetch(scales, start + at[lane])
        for i in range(len(part)):
            total, start = _f32(0), offsets[part[i]]
            for lane in range(len(query) if start < offsets[part[i] + 1] else 0):
                token, score = start + nearest[i, lane], best[i, lane]
                share, scale = shares[scales[token] & (len(shares) - 1)], _scale(scales[token], shares, alongs)
                if not corrected:
                    score *= share
                    if len(along):
                        third = _along(scales[token], along[token], share, scale, alongs, centroids_along[codes[token]])
                        score += third * query_along[lane]
                level = _f32(_i32(2 * _dot_levels(packed[token], query[lane], bits) - middle[lane]))
                total += score + scale * units[lane] * level
            sums[first + i] = total


_exact_types = nb.void(
    *_factor_types,
    *_document_types,
    readable(_u8, 2),
    readable(_f32, 2),
    *_query_types,
    readable(_f32),
    _i64,
    _f32[:, ::1],
    _f32[::1],
    _f32[::1],
    _f32[::1],
    _f32[::1],
)


# Without contraction and reassociation, both passes over the tokens compute the same scores, bit by bit.
@_compiler.kernel(_exact_types, fastmath={"nnan", "ninf", "nsz"})
def exact_sums(
    scales,
    along,
    shares,
    alongs,
    centroids_along,
    codes,
    offsets,
    documents,
    packed,
    scores,
    query,
    units,
    middle,
    query_along,
    reach,
    bits,
    without,
    token_scales,
    best,
    found,
    sums,
):
    lanes = len(best)
    for i in range(len(documents)):
        start, end, total = offsets[documents[i]], offsets[documents[i] + 1], _f32(0)
        ahead = documents[min(i + 1, len(documents) - 1)]
        for soon in range(offsets[ahead], offsets[ahead + 1]):
            prefetch(packed, soon)
        for lane in range(lanes):
            best[lane] = found[lane] = _f32(_LOWEST)
        for token in range(start, end):
            at, code = token - start, codes[token]
            share, scale, third = (
                shares[scales[token] & (len(shares) - 1)],
                _scale(scales[token], shares, alongs),
                _f32(0),
            )
            if len(along):
                third = _along(scales[token], along[token], share, scale, alongs, centroids_along[code])
            token_scales[at] = scale
            for lane in range(0, lanes, LANES):
                weighted(without, at, lane, scores, code, share, query_along, third)
                maximize(best, lane, without, at)
        for lane in range(len(query), lanes):
            best[lane] = _f32(-_LOWEST)
        # First the best tokens without their points: then the others must be able to beat what these have with them.
        for reached in range(2):
            for token in range(start, end):
                at, scale = token - start, token_scales[token - start]
                for first in range(0, lanes, LANES):
                    bits_of_lanes = hopeful_lanes(without, at, first, reach, scale if reached else _f32(0), best)
                    while bits_of_lanes:
                        lane = first + lowest_lane(bits_of_lanes)
                        bits_of_lanes &= bits_of_lanes - 1
                        level = _f32(_i32(2 * _dot_levels(packed[token], query[lane], bits) - middle[lane]))
                        score = without[at, lane] + scale * units[lane] * level
                        found[lane] = max(found[lane], score)
                        without[at, lane] = _f32(_LOWEST)
            for lane in range(len(query)):
                best[lane] = max(best[lane], found[lane])
        for lane in range(len(query) if start < end else 0):
            total += found[lane]
        sums[i] = total


_maxsim_types = nb.void(
    *_factor_types,
    *_document_types,
    readable(_u8, 2),
    readable(_i8, 2),
    readable(_f32),
    readable(_f32, 2),
    readable(_f32),
    readable(_f32),
    _i64,
    _f32[::1],
    _f32[::1],
    _f32[::1],
)


@_compiler.kernel(_maxsim_types, fastmath=True)
def maxsim_sums(
    scales,
    along,
    shares,
    alongs,
    centroids_along,
    codes,
    offsets,
    documents,
    packed,
    points,
    point_scales,
    query,
    query_along,
    direction,
    bits,
    vector,
    best,
    sums,
):
    dim = len(vector)
    for i in range(len(documents)):
        start, end, total = offsets[documents[i]], offsets[documents[i] + 1], _f32(0)
        for lane in range(len(query)):
            best[lane] = _f32(_LOWEST) if start < end else _f32(0)
        for token in range(start, end):
            code = codes[token]
            share, scale = shares[scales[token] & (len(shares) - 1)], _scale(scales[token], shares, alongs)
            third = centroids_along[code]
            if len(along):
                third += _coefficient(scales[token], along[token], scale, alongs)
            prefetch(points, codes[min(token + _TOKENS_AHEAD, end - 1)])
            point, factor = points[code], share * point_scales[code]
            for j in range(dim):
                vector[j] = _f32(0)
            _add_points(packed[token], bits, scale, vector)
            if not len(along):  # the point keeps the common direction
                third *= share
                for j in range(dim):
                    third += vector[j] * direction[j]
            for j in range(dim):
                vector[j] += factor * _f32(point[j])
            for lane in range(len(query)):
                score, token_of_query = third * query_along[lane], query[lane]
                for j in range(dim):
                    score += vector[j] * token_of_query[j]
                best[lane] = max(best[lane], score)
        for lane in range(len(query)):
            total += best[lane]
        sums[i] = total


_compiler.finish()
