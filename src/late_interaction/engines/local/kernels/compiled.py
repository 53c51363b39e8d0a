"""The kernels compiled by numba. Each equals the function of the same name in `reference`, which documents it.

They are compiled once per machine, with the types given here, when this module is first imported. numba keeps the
result on disk (see `cache`), beside the source or, where that cannot be written, in the user's cache directory. What is
damaged there, or cannot be written, is compiled again. All kernels release the GIL. Arrays are not bounds-checked:
callers ensure that codes and offsets are in range (`segment.CodedSegment.codes`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numba as nb
import numpy as np

from late_interaction.engines.local.kernels.cache import KernelCache

__all__ = [
    "best_sums",
    "centroid_sums",
    "fill_masks",
    "nearest_dots",
    "quantize",
    "scan",
    "unpack",
]


def _cache_directory() -> str | None:
    """Where numba keeps compiled code of this file; None if it finds no place."""
    try:
        return nb.njit(cache=True)(lambda: None).stats.cache_path
    except (RuntimeError, OSError):
        return None


_cache = KernelCache(_cache_directory(), Path(__file__).stem)
_OPTIONS: dict[str, Any] = {"nogil": True, "boundscheck": False}


def _kernel(signature: Any, **options: Any) -> Any:
    """Compile a function for one signature, or load what was compiled before."""

    def compiled(function):
        if _cache.helps(function.__name__):
            try:
                return nb.njit([signature], cache=True, **_OPTIONS, **options)(function)
            except OSError as error:  # the disk is full, for example
                _cache.write_failed(error)
        return nb.njit([signature], **_OPTIONS, **options)(function)

    return compiled


_u8, _u16, _u64, _i32, _i64, _f32 = nb.uint8, nb.uint16, nb.uint64, nb.int32, nb.int64, nb.float32


def _columns(kind: Any, dimensions: int = 1) -> Any:
    """A C-ordered array that may be read-only, as columns mapped from files are."""
    return nb.types.Array(kind, dimensions, "C", readonly=True)


@_kernel(nb.void(_columns(_f32, 2), _i64, _f32, _u8[:, ::1], _f32[::1]), fastmath=True)
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


@_kernel(nb.void(_columns(_u8, 2), _columns(_i64), _i64, _f32[:, ::1]))
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


@_kernel(nb.void(_columns(_f32, 2), _columns(_f32), _f32, _i64, _u64[::1]))
def fill_masks(scores, floor, inverse, levels, masks):
    centroids, lanes = scores.shape
    for centroid in range(centroids):
        mask = _u64(0)
        for lane in range(lanes):
            value = (scores[centroid, lane] - floor[lane]) * inverse + _f32(0.5)
            level = _u64(min(max(value, _f32(0)), _f32(levels)))
            if level:  # a shift by all 64 bits means nothing
                mask |= (_u64(0xFFFFFFFFFFFFFFFF) >> (_u64(64) - level)) << _u64(lane * levels)
        masks[centroid] = mask


@nb.njit(**_OPTIONS)
def _ones(word):
    """How many bits are set, in the way that LLVM knows for one instruction."""
    word -= (word >> _u64(1)) & _u64(0x5555555555555555)
    word = (word & _u64(0x3333333333333333)) + ((word >> _u64(2)) & _u64(0x3333333333333333))
    word = (word + (word >> _u64(4))) & _u64(0x0F0F0F0F0F0F0F0F)
    return _i32((word * _u64(0x0101010101010101)) >> _u64(56))


@_kernel(nb.void(_columns(_u16), _columns(_i64), _columns(_i64), _columns(_u64), _i32[::1]))
def scan(codes, offsets, documents, masks, counts):
    for i in range(len(documents)):
        token, end = offsets[documents[i]], offsets[documents[i] + 1]
        seen0, seen1, seen2, seen3 = _u64(0), _u64(0), _u64(0), _u64(0)
        while token + 4 <= end:  # four at a time, none of which waits for another
            seen0 |= masks[codes[token]]
            seen1 |= masks[codes[token + 1]]
            seen2 |= masks[codes[token + 2]]
            seen3 |= masks[codes[token + 3]]
            token += 4
        while token < end:
            seen0 |= masks[codes[token]]
            token += 1
        counts[i] += _ones(seen0 | seen1 | seen2 | seen3)


@_kernel(nb.void(_columns(_u16), _columns(_i64), _columns(_i64), _columns(_f32, 2), _f32[::1]))
def centroid_sums(codes, offsets, documents, centroid_scores, sums):
    lanes = centroid_scores.shape[1]
    best = np.empty(lanes, np.float32)
    for i in range(len(documents)):
        start, end = offsets[documents[i]], offsets[documents[i] + 1]
        total = _f32(0)
        if start < end:
            best[:] = centroid_scores[codes[start]]
            for token in range(start + 1, end):
                row = centroid_scores[codes[token]]
                for lane in range(lanes):
                    best[lane] = max(best[lane], row[lane])
            for lane in range(lanes):
                total += best[lane]
        sums[i] = total


@nb.njit(fastmath=True, **_OPTIONS)
def _dot_levels(row, vector, bits):
    """Dot product of a vector with packed levels.

    Constant shifts, and parts instead of sums of indexes, are what lets LLVM take many dimensions at once.
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
    _columns(_u16),
    _columns(_u8, 2),
    _columns(_i64),
    _columns(_i64),
    _columns(_f32, 2),
    _columns(_f32, 2),
    _i64,
    _i64[:, ::1],
    _f32[:, ::1],
)


@_kernel(_nearest_dots_types, fastmath=True)
def nearest_dots(codes, packed, offsets, documents, centroid_scores, query, bits, nearest, dots):
    lanes = len(query)
    middle = np.zeros(lanes, np.float32)  # what shifting the grid to its middle takes from every dot product
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


@_kernel(nb.void(_columns(_u16), _columns(_f32), _columns(_f32, 2), _columns(_i64), _columns(_f32, 2), _f32[::1]))
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


_cache.record()
