"""The kernels that score documents of the residual codec, compiled. Each equals that of the same name in `reference`.

All release the GIL. Arrays are not bounds-checked: callers ensure that codes and offsets are in range
(`segment.CompressedSegment.codes`).
"""

from __future__ import annotations

from typing import Any

import numba as nb

from late_interaction.engines.local.kernels.compilation import Compiler, readable
from late_interaction.engines.local.kernels.lanes import (
    maximize,
    maximize_four,
    maximize_products,
    maximize_where,
    maximize_where_four,
    weighted,
)
from late_interaction.engines.local.kernels.prefetching import prefetch
from late_interaction.engines.local.kernels.sizes import LANES, TOGETHER
from late_interaction.engines.local.quantization.residual.scoring.tokens import (
    add_points,
    along_of,
    coefficient_of,
    dot_levels,
    scale_of,
)

__all__ = ["approximate_sums", "corrected_sums", "maxsim_sums", "refined_sums"]

_OPTIONS: dict[str, Any] = {"nogil": True, "boundscheck": False, "error_model": "numpy"}
_compiler = Compiler(__file__, _OPTIONS)

_u8, _u16, _u32 = nb.uint8, nb.uint16, nb.uint32
_i8, _i16, _i32, _i64, _f32 = nb.int8, nb.int16, nb.int32, nb.int64, nb.float32

_GROUP = 16  # documents whose rows are all prefetched before the first is read
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
    for first in range(0, len(documents), _GROUP):
        part = documents[first : first + _GROUP]
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
    _f32[:, ::1],
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
    vectors,
    coefficients,
    best,
    sums,
):
    dim = len(direction)
    for i in range(len(documents)):
        start, end, total = offsets[documents[i]], offsets[documents[i] + 1], _f32(0)
        ahead = documents[min(i + 1, len(documents) - 1)]
        for soon in range(offsets[ahead], offsets[ahead + 1]):
            prefetch(packed, soon)
        for lane in range(len(best)):
            best[lane] = _f32(_LOWEST) if start < end else _f32(0)
        for first in range(start, end, TOGETHER):
            for at in range(TOGETHER):
                token, vector = min(first + at, end - 1), vectors[at]  # the last token may be there again
                code = codes[token]
                share, scale = shares[scales[token] & (len(shares) - 1)], scale_of(scales[token], shares, alongs)
                prefetch(points, codes[min(token + _TOKENS_AHEAD, end - 1)])
                point, factor, coefficient = points[code], share * point_scales[code], centroids_along[code]
                for j in range(dim):
                    vector[j] = factor * _f32(point[j])
                if len(along):
                    coefficient += coefficient_of(scales[token], along[token], scale, alongs)
                    add_points(packed[token], bits, scale, vector)
                else:  # the point keeps the common direction
                    coefficient *= share
                    for j in range(dim):
                        coefficient -= vector[j] * direction[j]
                    add_points(packed[token], bits, scale, vector)
                    for j in range(dim):
                        coefficient += vector[j] * direction[j]
                coefficients[at] = coefficient
            for lane in range(0, len(best), LANES):
                maximize_products(best, lane, vectors, coefficients, query, lane // LANES * dim, query_along)
        for lane in range(len(best)):
            total += best[lane]
        sums[i] = total


_compiler.finish()
