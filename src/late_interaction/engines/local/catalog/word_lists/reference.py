"""The kernels of lexical search in plain Python and NumPy: the definition that the compiled ones are tested against.

An integer in a block takes seven bits of each byte, the highest first, until a byte below 128, and eight of a ninth.
Integers have 64 bits with a sign.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["decode", "find", "merge", "select"]

_HEADER_BYTES = 4  # where the first document begins and where the words end, two bytes each
_COLUMN = 1  # in place of a position: the number of the next column follows


def find(page: bytes, word: bytes) -> tuple[int, int, bool]:
    """Return where the list of a word is in a page of words, and whether it ends there.

    A word is stored as the number of bytes that it has in common with the one before, the number of its other bytes,
    and these. The first has no common ones. Behind all words and lists are the distances between words.

    Returns:
        Where the list begins; 0 if the page does not have the word, -1 if the page is damaged. Where the list ends, or
        the page. Whether another word follows.
    """
    end = int.from_bytes(page[2:4], "big")
    starts = None if not _HEADER_BYTES <= end <= len(page) else _word_starts(page, end)
    if starts is None:
        return -1, 0, False
    before = b""
    for number, start in enumerate(starts):
        kept, at = (0, start) if number == 0 else _varint(page, start, end)
        length, at = _varint(page, at, end)
        here = before[:kept] + page[at : at + length]
        if here == word:
            is_last = number == len(starts) - 1
            return at + length, end if is_last else starts[number + 1], not is_last
        before = here
    return 0, 0, False


def _word_starts(page: bytes, end: int) -> list[int] | None:
    """Return where the words of a page are; None if one of these places is outside."""
    starts, start, footer = [], 0, end
    while footer < len(page):
        step, footer = _varint(page, footer, len(page))
        if footer > len(page) or not 0 < step <= end - start:
            return None
        start += step
        starts.append(start)
    return starts


def decode(
    block: bytes, starts: list[int], form_weight: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the documents of a list: their rows, how often they have the word in column 0, and in all columns.

    A document is its row, of those that are not in ``starts`` the distance to the row before, twice the number of bytes
    of its positions, and these. The order of additions is that of the positions.

    Args:
        block: The list.
        starts: Where in the list a row is stored as it is, ascending.
        form_weight: What an occurrence in another column than 0 counts.

    Returns:
        None if a document is incomplete.
    """
    rows, exact, weighted, at, row = [], [], [], 0, 0
    while at < len(block):
        is_start = at in starts
        step, at = _varint(block, at, len(block))
        row = step if is_start else row + step
        size, at = _varint(block, at, len(block))
        stop = at + (size >> 1)
        if at > len(block) or size < 0 or stop > len(block):
            return None
        column, of_words, of_all = 0, 0.0, 0.0
        while at < stop:
            value, at = _varint(block, at, stop)
            if value == _COLUMN:
                column, at = _varint(block, at, stop)
            else:
                of_words += column == 0
                of_all += 1.0 if column == 0 else form_weight
        if at > stop:
            return None
        rows.append(row)
        exact.append(of_words)
        weighted.append(of_all)
    return np.array(rows, np.int64), np.array(exact, np.float64), np.array(weighted, np.float64)


def merge(
    rows: NDArray[np.int64], scores: NDArray[np.float64], more_rows: NDArray[np.int64], more_scores: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the ascending rows of two ascending lists, each once, with the sums of their scores."""
    all_rows = np.union1d(rows, more_rows)
    sums = np.zeros(len(all_rows))
    sums[np.searchsorted(all_rows, rows)] += scores
    sums[np.searchsorted(all_rows, more_rows)] += more_scores
    return all_rows, sums


def select(rows: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the positions of those of some ascending rows that are among other ascending rows."""
    return np.asarray(np.flatnonzero(np.isin(rows, wanted)), np.int64)


def _varint(block: bytes, at: int, end: int) -> tuple[int, int]:
    """Return the integer at a place and the place behind it; behind ``end`` if it is incomplete."""
    value = 0
    for size in range(9):
        if at >= end:
            return _signed(value), end + 1
        byte = block[at]
        at += 1
        if size == 8:
            return _signed(value << 8 | byte), at
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            break
    return _signed(value), at


def _signed(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63
