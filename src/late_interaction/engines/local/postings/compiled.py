"""The kernels that build posting lists, compiled. Each equals the function of the same name in `reference`.

All release the GIL. Arrays are not bounds-checked: callers ensure that codes and offsets are in range.
"""

from __future__ import annotations

from typing import Any

import numba as nb

from late_interaction.engines.local.kernels.compilation import Compiler, readable

__all__ = ["count", "fill"]

_OPTIONS: dict[str, Any] = {"nogil": True, "boundscheck": False, "error_model": "numpy"}
_compiler = Compiler(__file__, _OPTIONS)

_u16, _u32, _i32, _i64 = nb.uint16, nb.uint32, nb.int32, nb.int64


@_compiler.kernel(nb.void(readable(_u16), readable(_i64), _i64, _i64, _i32[::1], _u32[::1]))
def count(codes, offsets, first, last, seen, starts):
    for centroid in range(len(seen)):
        seen[centroid] = -1
        starts[centroid] = 0
    starts[len(seen)] = 0
    for document in range(first, last):
        number = _i32(document - first)
        for token in range(offsets[document], offsets[document + 1]):
            code = codes[token]
            if seen[code] != number:
                seen[code] = number
                starts[code + 1] += _u32(1)
    for centroid in range(len(seen)):
        starts[centroid + 1] += starts[centroid]


@_compiler.kernel(nb.void(readable(_u16), readable(_i64), _i64, _i64, readable(_u32), _i32[::1], _u32[::1], _u16[::1]))
def fill(codes, offsets, first, last, starts, seen, ends, lists):
    for centroid in range(len(seen)):
        seen[centroid] = -1
        ends[centroid] = starts[centroid]
    for document in range(first, last):
        number = _i32(document - first)
        for token in range(offsets[document], offsets[document + 1]):
            code = codes[token]
            if seen[code] != number:
                seen[code] = number
                lists[ends[code]] = _u16(number)
                ends[code] += _u32(1)


_compiler.finish()
