"""The kernels of the scan over centroids, compiled. Each equals the function of the same name in `reference`.

All release the GIL. Arrays are not bounds-checked: callers ensure that codes and offsets are in range
(`segment.CompressedSegment.codes`).
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from late_interaction.engines.local.kernels.compilation import Compiler, readable

__all__ = ["centroid_sums", "fill_masks", "scan"]

_OPTIONS: dict[str, Any] = {"nogil": True, "boundscheck": False}
_compiler = Compiler(__file__, _OPTIONS)

_u16, _u64, _i32, _i64, _f32 = nb.uint16, nb.uint64, nb.int32, nb.int64, nb.float32


@_compiler.kernel(nb.void(readable(_f32, 2), readable(_f32), _f32, _i64, _u64[::1]))
def fill_masks(scores, floor, inverse, levels, masks):
    centroids, lanes = scores.shape
    for centroid in range(centroids):
        mask = _u64(0)
        for lane in range(lanes):
            value = (scores[centroid, lane] - floor[lane]) * inverse + _f32(0.5)
            level = _u64(min(max(value, _f32(0)), _f32(levels)))
            if level:  # a shift by all 64 bits is undefined
                mask |= (_u64(0xFFFFFFFFFFFFFFFF) >> (_u64(64) - level)) << _u64(lane * levels)
        masks[centroid] = mask


@nb.njit(**_OPTIONS)
def _ones(word):
    """Return the number of set bits, in the form that LLVM compiles to one instruction."""
    word -= (word >> _u64(1)) & _u64(0x5555555555555555)
    word = (word & _u64(0x3333333333333333)) + ((word >> _u64(2)) & _u64(0x3333333333333333))
    word = (word + (word >> _u64(4))) & _u64(0x0F0F0F0F0F0F0F0F)
    return _i32((word * _u64(0x0101010101010101)) >> _u64(56))


@_compiler.kernel(nb.void(readable(_u16), readable(_i64), readable(_i64), readable(_u64), _i32[::1]))
def scan(codes, offsets, documents, masks, counts):
    for i in range(len(documents)):
        token, end = offsets[documents[i]], offsets[documents[i] + 1]
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
        counts[i] += _ones(seen0 | seen1 | seen2 | seen3)


@_compiler.kernel(nb.void(readable(_u16), readable(_i64), readable(_i64), readable(_f32, 2), _f32[::1]))
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


_compiler.finish()
