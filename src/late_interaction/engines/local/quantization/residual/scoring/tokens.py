"""What kernels read of a token of the residual codec: its factors, and its point as packed levels."""

from __future__ import annotations

from typing import Any

import numba as nb

from late_interaction.engines.local.kernels.lanes import float_of

__all__ = ["add_points", "along_of", "coefficient_of", "dot_levels", "scale_of"]

_OPTIONS: dict[str, Any] = {"nogil": True, "boundscheck": False, "error_model": "numpy"}

_u8, _u32 = nb.uint8, nb.uint32
_i16, _i32, _i64, _f32 = nb.int16, nb.int32, nb.int64, nb.float32


@nb.njit(**_OPTIONS)
def scale_of(packed, shares, alongs):
    """Return the half precision number that is left of a packed scale, as a float32."""
    low = max(len(shares), len(alongs) // 256) - 1
    half = _u32(packed) & _u32(0x7FFF) & _u32(~low)
    # The exponents of the two formats differ by 112. A product, unlike a sum, is right for subnormal numbers, too.
    return float_of(_u32(half << _u32(13))) * _f32(2.0**112)


@nb.njit(**_OPTIONS)
def coefficient_of(packed, code, scale, alongs):
    """Return what the component of the centroid lacks in the common direction."""
    refinements = len(alongs) // 256
    return alongs[_i64(code) * refinements + _i64(packed & (refinements - 1))] * scale


@nb.njit(**_OPTIONS)
def along_of(packed, code, share, scale, alongs, centroid_along):
    """Return what the component of ``share · centroid`` lacks in the common direction."""
    return coefficient_of(packed, code, scale, alongs) - (share - _f32(1)) * centroid_along


@nb.njit(fastmath=True, **_OPTIONS)
def _dot_three(low, high, low_right, right, part):
    """Return the dot product of a plane of levels of 3 bits, two of them and one beside each other, with integers."""
    total = _i32(0)
    for j in range(len(high)):
        level = ((low[j] >> low_right) & _u8(3)) | (((high[j] >> right) & _u8(1)) << _u8(2))
        total = _i32(total + _i32(_i16(_u8(level))) * _i32(part[j]))
    return total


@nb.njit(fastmath=True, **_OPTIONS)
def dot_levels(row, vector, bits):
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
    elif bits == 3:
        third = width // 3
        even, odd, high = row[:third], row[third : 2 * third], row[2 * third :]
        total0 = _i32(total0 + _dot_three(even, high, _u8(0), _u8(0), vector[:third]))
        total1 = _i32(total1 + _dot_three(odd, high, _u8(0), _u8(1), vector[third : 2 * third]))
        total2 = _i32(total2 + _dot_three(even, high, _u8(2), _u8(2), vector[2 * third : 3 * third]))
        total3 = _i32(total3 + _dot_three(odd, high, _u8(2), _u8(3), vector[3 * third : 4 * third]))
        total0 = _i32(total0 + _dot_three(even, high, _u8(4), _u8(4), vector[4 * third : 5 * third]))
        total1 = _i32(total1 + _dot_three(odd, high, _u8(4), _u8(5), vector[5 * third : 6 * third]))
        total2 = _i32(total2 + _dot_three(even, high, _u8(6), _u8(6), vector[6 * third : 7 * third]))
        total3 = _i32(total3 + _dot_three(odd, high, _u8(6), _u8(7), vector[7 * third :]))
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
def _add_three(low, high, low_right, right, scale, part):
    for j in range(len(high)):
        level = ((low[j] >> low_right) & _u8(3)) | (((high[j] >> right) & _u8(1)) << _u8(2))
        part[j] += scale * (_f32(_u8(level)) - _f32(3.5))


@nb.njit(fastmath=True, **_OPTIONS)
def add_points(row, bits, scale, vector):
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
    elif bits == 3:
        third = width // 3
        even, odd, high = row[:third], row[third : 2 * third], row[2 * third :]
        _add_three(even, high, _u8(0), _u8(0), scale, vector[:third])
        _add_three(odd, high, _u8(0), _u8(1), scale, vector[third:])
        _add_three(even, high, _u8(2), _u8(2), scale, vector[2 * third :])
        _add_three(odd, high, _u8(2), _u8(3), scale, vector[3 * third :])
        _add_three(even, high, _u8(4), _u8(4), scale, vector[4 * third :])
        _add_three(odd, high, _u8(4), _u8(5), scale, vector[5 * third :])
        _add_three(even, high, _u8(6), _u8(6), scale, vector[6 * third :])
        _add_three(odd, high, _u8(6), _u8(7), scale, vector[7 * third :])
    else:
        for plane in range(8):
            _add_plane(row, _u8(plane), _u8(1), scale, _f32(0.5), vector[plane * width :])
