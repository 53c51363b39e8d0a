"""The kernels of lexical search, compiled. Each equals the function of the same name in `reference`.

All release the GIL. Pages may come from a stranger: no kernel reads beyond what it was given, whatever a page says.
"""

from __future__ import annotations

from typing import Any

import numba as nb

from late_interaction.engines.local.kernels.compilation import Compiler, readable

__all__ = ["decode", "find", "merge", "select"]

_OPTIONS: dict[str, Any] = {"boundscheck": False, "error_model": "numpy"}
_compiler = Compiler(__file__, _OPTIONS)

_u8, _i64, _f64 = nb.uint8, nb.int64, nb.float64


@nb.njit(**_OPTIONS)
def _varint(block, at, end):
    """Return the integer at a place in a block and the place behind it; beyond ``end`` if it is incomplete."""
    value = _i64(0)
    for size in range(9):
        if at >= end:
            return value, end + 1
        byte = _i64(block[at])
        at += 1
        if size == 8:
            return (value << 8) | byte, at
        value = (value << 7) | (byte & 0x7F)
        if byte < 0x80:
            break
    return value, at


@_compiler.kernel(nb.void(readable(_u8), readable(_u8), _i64[::1]))
def find(page, word, found):
    found[0], found[1], found[2] = -1, 0, 0  # damaged, unless the page is read to its end or to the word
    size = len(page)
    end = (_i64(page[2]) << 8) | _i64(page[3]) if size >= 4 else _i64(0)
    if end < 4 or end > size:
        return
    footer, start, is_first = end, _i64(0), True
    matched = 0  # bytes at the beginning of the previous word that are those of the word
    while footer < size:
        step, footer = _varint(page, footer, size)
        if footer > size or step <= 0 or step > end - start:
            return
        start += step
        kept, at = _i64(0), start
        if not is_first:
            kept, at = _varint(page, at, end)
        is_first = False
        length, at = _varint(page, at, end)
        if at > end or length < 0 or length > end - at or kept < 0:
            return
        if kept > matched:
            continue
        if kept < matched:
            break  # behind the word in the order of words
        same = 0
        while same < length and matched + same < len(word) and page[at + same] == word[matched + same]:
            same += 1
        if same == length and matched + same == len(word):
            if footer == size:
                found[0], found[1] = at + length, end
                return
            step, footer = _varint(page, footer, size)
            if footer <= size and step > 0 and step <= end - start and start + step >= at + length:
                found[0], found[1], found[2] = at + length, start + step, 1
            return
        if same < length and (matched + same == len(word) or page[at + same] > word[matched + same]):
            break
        matched += same
    found[0] = 0


@_compiler.kernel(_i64(readable(_u8), readable(_i64), _f64, _i64[::1], _f64[::1], _f64[::1]))
def decode(block, starts, form_weight, rows, exact, weighted):
    end = len(block)
    at, count, row, page = _i64(0), 0, _i64(0), 0
    while at < end:
        while page < len(starts) and starts[page] < at:
            page += 1
        is_start = page < len(starts) and starts[page] == at
        step, at = _varint(block, at, end)
        row = step if is_start else row + step
        size, at = _varint(block, at, end)
        stop = at + (size >> 1)
        if at > end or size < 0 or stop > end:
            return -1
        of_words, of_all, column = 0.0, 0.0, _i64(0)
        while at < stop:
            value, at = _varint(block, at, stop)
            if value == 1:
                column, at = _varint(block, at, stop)
            elif column == 0:
                of_words += 1.0
                of_all += 1.0
            else:
                of_all += form_weight
        if at > stop:
            return -1
        rows[count], exact[count], weighted[count] = row, of_words, of_all
        count += 1
    return count


@_compiler.kernel(_i64(readable(_i64), readable(_f64), readable(_i64), readable(_f64), _i64[::1], _f64[::1]))
def merge(rows, scores, more_rows, more_scores, into_rows, into_scores):
    at, other, count = 0, 0, 0
    while at < len(rows) or other < len(more_rows):
        if other == len(more_rows) or (at < len(rows) and rows[at] < more_rows[other]):
            into_rows[count], into_scores[count] = rows[at], scores[at]
            at += 1
        elif at == len(rows) or more_rows[other] < rows[at]:
            into_rows[count], into_scores[count] = more_rows[other], more_scores[other]
            other += 1
        else:
            into_rows[count], into_scores[count] = rows[at], scores[at] + more_scores[other]
            at += 1
            other += 1
        count += 1
    return count


@_compiler.kernel(_i64(readable(_i64), readable(_i64), _i64[::1]))
def select(rows, wanted, places):
    at, count = 0, 0
    for place in range(len(rows)):
        while at < len(wanted) and wanted[at] < rows[place]:
            at += 1
        if at == len(wanted):
            break
        if wanted[at] == rows[place]:
            places[count] = place
            count += 1
    return count


_compiler.finish()
