"""The kernel that scores uncompressed documents, compiled. It equals the function of the same name in `reference`.

It releases the GIL. Arrays are not bounds-checked: callers ensure that offsets are in range.
"""

from __future__ import annotations

from typing import Any

import numba as nb

from late_interaction.engines.local.kernels.compilation import Compiler, readable
from late_interaction.engines.local.kernels.halves import widened

__all__ = ["maxsim_sums"]

_OPTIONS: dict[str, Any] = {"boundscheck": False, "error_model": "numpy"}
_compiler = Compiler(__file__, _OPTIONS)

_u16, _i64, _f32 = nb.uint16, nb.int64, nb.float32

_TOGETHER = 4  # tokens multiplied with a query token at a time, which is then read once for all of them
_LOWEST = -3e38


@_compiler.kernel(
    nb.void(readable(_f32, 2), readable(_u16, 2), readable(_i64), readable(_i64), _f32[:, ::1], _f32[::1], _f32[::1]),
    fastmath=True,
)
def maxsim_sums(query, vectors, offsets, documents, wide, best, sums):
    dim = query.shape[1]
    wide0, wide1, wide2, wide3 = wide[0], wide[1], wide[2], wide[3]
    for i in range(len(documents)):
        start, end, total = offsets[documents[i]], offsets[documents[i] + 1], _f32(0)
        for lane in range(len(query)):
            best[lane] = _f32(_LOWEST) if start < end else _f32(0)
        for first in range(start, end, _TOGETHER):
            for at in range(_TOGETHER):
                half, whole = vectors[min(first + at, end - 1)], wide[at]  # the last token may be there again
                for j in range(dim):
                    whole[j] = widened(half[j])
            for lane in range(len(query)):
                token = query[lane]
                dot0, dot1, dot2, dot3 = _f32(0), _f32(0), _f32(0), _f32(0)
                for j in range(dim):
                    dot0 += token[j] * wide0[j]
                    dot1 += token[j] * wide1[j]
                    dot2 += token[j] * wide2[j]
                    dot3 += token[j] * wide3[j]
                best[lane] = max(max(best[lane], max(dot0, dot1)), max(dot2, dot3))
        for lane in range(len(query)):
            total += best[lane]
        sums[i] = total


_compiler.finish()
