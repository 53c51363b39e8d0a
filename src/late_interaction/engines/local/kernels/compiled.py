"""The kernels of the search over centroids, compiled. Each equals the function of the same name in `reference`.

All release the GIL. Arrays are not bounds-checked: callers ensure that codes, offsets and posting lists are in range
(`segment.CompressedSegment`).
"""

from __future__ import annotations

from typing import Any

import numba as nb

from late_interaction.engines.local.kernels.compilation import Compiler, readable
from late_interaction.engines.local.kernels.prefetching import prefetch

__all__ = ["centroid_scores", "count_levels", "fill_masks", "posting_entries", "scan_codes", "scan_postings", "take"]

_OPTIONS: dict[str, Any] = {"nogil": True, "boundscheck": False, "error_model": "numpy"}
_compiler = Compiler(__file__, _OPTIONS)

_u8, _u16, _u32, _u64 = nb.uint8, nb.uint16, nb.uint32, nb.uint64
_i8, _i16, _i32, _i64, _f32 = nb.int8, nb.int16, nb.int32, nb.int64, nb.float32

_USUAL_DIM = 128  # LLVM unrolls loops of a constant length, which take two thirds of the time

_centroid_scores_types = nb.void(
    readable(_i8, 2),
    readable(_f32),
    readable(_f32),
    readable(_i16, 2),
    readable(_f32),
    readable(_f32),
    _i32[::1],
    _f32[:, ::1],
    _f32[::1],
)


@_compiler.kernel(_centroid_scores_types)
def centroid_scores(points, scales, along, query, units, query_along, sums, scores, highest):
    for lane in range(len(sums)):
        sums[lane] = 0
    for centroid in range(len(points)):
        point, row = points[centroid], scores[centroid]
        # The sum stays a 32-bit integer, which i32 + i32 is not in numba: only then LLVM multiplies pairs at once.
        if len(point) == _USUAL_DIM:
            for lane in range(len(query)):
                vector, total = query[lane], _i32(0)
                for j in range(_USUAL_DIM):
                    total = _i32(total + _i32(point[j]) * _i32(vector[j]))
                sums[lane] = total
        else:
            for lane in range(len(query)):
                vector, total = query[lane], _i32(0)
                for j in range(len(point)):
                    total = _i32(total + _i32(point[j]) * _i32(vector[j]))
                sums[lane] = total
        scale, of_direction = scales[centroid], along[centroid]
        for lane in range(len(row)):
            row[lane] = _f32(sums[lane]) * (scale * units[lane]) + of_direction * query_along[lane]
            highest[lane] = max(highest[lane], row[lane])


@_compiler.kernel(_i64(readable(_f32, 2), _i64, readable(_f32), _f32, _i64, _u64[::1], _i64[::1]))
def fill_masks(scores, first, floor, inverse, levels, masks, active):
    lanes, found = len(floor), 0
    for centroid in range(len(scores)):
        row, above, mask = scores[centroid, first : first + lanes], _i32(0), _u64(0)
        for lane in range(lanes):
            above = _i32(above + _i32((row[lane] - floor[lane]) * inverse + _f32(0.5) >= _f32(1)))
        if above:
            for lane in range(lanes):
                value = (row[lane] - floor[lane]) * inverse + _f32(0.5)
                level = _u64(min(max(value, _f32(0)), _f32(levels)))
                if level:  # a shift by all 64 bits is undefined
                    mask |= (_u64(0xFFFFFFFFFFFFFFFF) >> (_u64(64) - level)) << _u64(lane * levels)
            active[found] = centroid
            found += 1
        masks[centroid] = mask
    return found


@nb.njit(**_OPTIONS)
def _ones(word):
    """Return the number of set bits, in the form that LLVM compiles to one instruction."""
    word -= (word >> _u64(1)) & _u64(0x5555555555555555)
    word = (word & _u64(0x3333333333333333)) + ((word >> _u64(2)) & _u64(0x3333333333333333))
    word = (word + (word >> _u64(4))) & _u64(0x0F0F0F0F0F0F0F0F)
    return _u16((word * _u64(0x0101010101010101)) >> _u64(56))


_LISTS_AHEAD, _ENTRIES_OF_A_LINE = 4, 32


@_compiler.kernel(
    nb.void(
        readable(_u64),
        readable(_i64),
        readable(_u32),
        readable(_u16),
        readable(_u8),
        _u16,
        _u64[::1],
        _u16[::1],
    )
)
def scan_postings(masks, active, starts, lists, allowed, base, unions, counts):
    for i in range(len(active)):
        mask, ahead = masks[active[i]], active[min(i + _LISTS_AHEAD, len(active) - 1)]
        for soon in range(starts[ahead], starts[ahead + 1], _ENTRIES_OF_A_LINE):
            prefetch(lists, soon)
        for j in range(starts[active[i]], starts[active[i] + 1]):
            unions[lists[j]] |= mask
    for document in range(len(counts)):
        counts[document] += _u16((_ones(unions[document]) + base) * _u16(allowed[document]))
        unions[document] = _u64(0)


@_compiler.kernel(
    nb.void(readable(_u64), readable(_u16), readable(_i64), readable(_u8), _u16, _u16[::1]),
)
def scan_codes(masks, codes, offsets, allowed, base, counts):
    for document in range(len(counts)):
        if allowed[document]:
            token, end = offsets[document], offsets[document + 1]
            seen0, seen1, seen2, seen3 = _u64(0), _u64(0), _u64(0), _u64(0)
            while token + 4 <= end:  # four at a time, which do not depend on each other
                seen0 |= masks[codes[token]]
                seen1 |= masks[codes[token + 1]]
                seen2 |= masks[codes[token + 2]]
                seen3 |= masks[codes[token + 3]]
                token += 4
            while token < end:
                seen0 |= masks[codes[token]]
                token += 1
            counts[document] += _u16(_ones(seen0 | seen1 | seen2 | seen3) + base)


@_compiler.kernel(_i64(readable(_i64), readable(_u32)))
def posting_entries(active, starts):
    total = _i64(0)
    for i in range(len(active)):
        total += _i64(starts[active[i] + 1]) - _i64(starts[active[i]])
    return total


@_compiler.kernel(nb.void(readable(_u16), _i64[:, ::1], _i64[::1]))
def count_levels(counts, histograms, at_least):
    levels = len(at_least)
    for part in range(4):
        for level in range(levels):
            histograms[part, level] = 0
    whole = len(counts) - len(counts) % 4
    for document in range(0, whole, 4):  # four that do not wait for each other when levels are equal
        histograms[0, counts[document]] += 1
        histograms[1, counts[document + 1]] += 1
        histograms[2, counts[document + 2]] += 1
        histograms[3, counts[document + 3]] += 1
    for document in range(whole, len(counts)):
        histograms[0, counts[document]] += 1
    total = _i64(0)
    for level in range(levels - 1, -1, -1):
        for part in range(4):
            total += histograms[part, level]
        at_least[level] = total


_TAKEN_TOGETHER = 64  # documents of which it is asked at once whether any is high enough


@_compiler.kernel(_i64(_u16[::1], _i64, _i64, _i64[::1], _i64[::1]))
def take(counts, level, ties, documents, levels):
    found, lowest = 0, _u16(level)
    for first in range(0, len(counts), _TAKEN_TOGETHER):
        part, some = counts[first : first + _TAKEN_TOGETHER], _i32(0)
        for i in range(len(part)):
            some = _i32(some + _i32(part[i] >= lowest))
        if some:
            for i in range(len(part)):
                if part[i] > lowest or (part[i] == lowest and ties > 0):
                    ties -= _i64(part[i] == lowest)
                    documents[found], levels[found] = first + i, part[i]
                    part[i] = 0
                    found += 1
    return found


_compiler.finish()
