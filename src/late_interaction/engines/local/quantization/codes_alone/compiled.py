"""The kernel that scores documents by their centroids, compiled. It equals that of the same name in `reference`.

It releases the GIL. Arrays are not bounds-checked: callers ensure that codes and offsets are in range
(`segment.CompressedSegment.codes`).
"""

from __future__ import annotations

from typing import Any

import numba as nb

from late_interaction.engines.local.kernels.compilation import Compiler, readable

__all__ = ["maxsim_sums"]

_OPTIONS: dict[str, Any] = {"nogil": True, "boundscheck": False, "error_model": "numpy"}
_compiler = Compiler(__file__, _OPTIONS)

_u16, _i8, _i64, _f32 = nb.uint16, nb.int8, nb.int64, nb.float32

_LOWEST = -3e38

_types = nb.void(
    readable(_u16),
    readable(_i64),
    readable(_i64),
    readable(_i8, 2),
    readable(_f32),
    readable(_f32),
    readable(_f32, 2),
    readable(_f32),
    _f32[::1],
    _f32[::1],
)


@_compiler.kernel(_types, fastmath=True)
def maxsim_sums(codes, offsets, documents, points, point_scales, centroids_along, query, query_along, best, sums):
    for i in range(len(documents)):
        start, end, total = offsets[documents[i]], offsets[documents[i] + 1], _f32(0)
        for lane in range(len(query)):
            best[lane] = _f32(_LOWEST) if start < end else _f32(0)
        for token in range(start, end):
            code = codes[token]
            point, scale, along = points[code], point_scales[code], centroids_along[code]
            for lane in range(len(query)):
                dot, token_of_query = _f32(0), query[lane]
                for j in range(len(point)):
                    dot += _f32(point[j]) * token_of_query[j]
                best[lane] = max(best[lane], scale * dot + along * query_along[lane])
        for lane in range(len(query)):
            total += best[lane]
        sums[i] = total


_compiler.finish()
