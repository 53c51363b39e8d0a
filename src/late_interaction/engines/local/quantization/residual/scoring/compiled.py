"""The kernels that score documents of the residual codec, compiled. Each equals that of the same name in `reference`.

All release the GIL. Arrays are not bounds-checked: callers ensure that codes and offsets are in range
(`segment.CompressedSegment.codes`).
"""

from __future__ import annotations

from typing import Any

import numba as nb

from late_interaction.engines.local.kernels.compilation import Compiler, readable
from late_interaction.engines.local.kernels.lanes import (
    LANES,
    hopeful_lanes,
    lowest_lane,
    maximize,
    maximize_four,
    maximize_where,
    maximize_where_four,
    weighted,
)
from late_interaction.engines.local.kernels.prefetching import prefetch
from late_interaction.engines.local.quantization.residual.scoring.tokens import (
    add_points,
    along_of,
    coefficient_of,
    dot_levels,
    scale_of,
)

__all__ = ["approximate_sums", "corrected_sums", "exact_sums", "maxsim_sums", "refined_sums"]

_OPTIONS: dict[str, Any] = {"nogil": True, "boundscheck": False, "error_model": "numpy"}
_compiler = Compiler(__file__, _OPTIONS)

_u8, _u16, _u32 = nb.uint8, nb.uint16, nb.uint32
_i8, _i16, _i32, _i64, _f32 = nb.int8, nb.int16, nb.int32, nb.int64, nb.float32

_TOGETHER = 16  # documents whose rows are all prefetched before the first is read
_CODES_OF_A_LINE = 32
_TOKENS_AHEAD = 8
_LOWEST = -3e38


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
            share, scale = shares[packed & (len(shares) - 1)], scale_of(packed, shares, alongs)
            third = along_of(packed, along[token], share, scale, alongs, centroids_along[code])
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
            for token in range(start, end if corrected else start):
                code = codes[token]
                share, scale = shares[scales[token] & (len(shares) - 1)], scale_of(scales[token], shares, alongs)
                third = along_of(scales[token], along[token], share, scale, alongs, centroids_along[code])
                for lane in range(0, len(highest), LANES):
                    weighted(row, 0, lane, scores, code, share, query_along, third)
                    maximize_where(best, nearest, i, lane, row, 0, _i32(token - start))
            for lane in range(0, 0 if corrected else len(highest), LANES):
                token = start
                while token + 4 <= end:
                    four, here = codes[token : token + 4], _i32(token - start)
                    maximize_where_four(best, nearest, i, lane, scores, four[0], four[1], four[2], four[3], here)
                    token += 4
                for rest in range(token, end):
                    maximize_where(best, nearest, i, lane, scores, codes[rest], _i32(rest - start))
            for lane in range(len(query)):
                prefetch(packed, start + at[lane])
                prefetch(scales, start + at[lane])
        for i in range(len(part)):
            total, start = _f32(0), offsets[part[i]]
            for lane in range(len(query) if start < offsets[part[i] + 1] else 0):
                token, score = start + nearest[i, lane], best[i, lane]
                share, scale = shares[scales[token] & (len(shares) - 1)], scale_of(scales[token], shares, alongs)
                if not corrected:
                    score *= share
                    if len(along):
                        third = along_of(
                            scales[token], along[token], share, scale, alongs, centroids_along[codes[token]]
                        )
                        score += third * query_along[lane]
                level = _f32(_i32(2 * dot_levels(packed[token], query[lane], bits) - middle[lane]))
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
            share, scale = shares[scales[token] & (len(shares) - 1)], scale_of(scales[token], shares, alongs)
            third = _f32(0)
            if len(along):
                third = along_of(scales[token], along[token], share, scale, alongs, centroids_along[code])
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
                        level = _f32(_i32(2 * dot_levels(packed[token], query[lane], bits) - middle[lane]))
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
            share, scale = shares[scales[token] & (len(shares) - 1)], scale_of(scales[token], shares, alongs)
            third = centroids_along[code]
            if len(along):
                third += coefficient_of(scales[token], along[token], scale, alongs)
            prefetch(points, codes[min(token + _TOKENS_AHEAD, end - 1)])
            point, factor = points[code], share * point_scales[code]
            for j in range(dim):
                vector[j] = _f32(0)
            add_points(packed[token], bits, scale, vector)
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
