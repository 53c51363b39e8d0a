"""Read the list of documents of a word from the tables of FTS5.

The file format of FTS5 (version 4, which `word_checks` requires, too) is described at the top of SQLite's
``fts5_index.c``. An index is several segments, each a b-tree of words with their documents. The documents of a newer
segment replace those of an older one. A document without positions has been deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from late_interaction.engines.local.kernels import kernels_of
from late_interaction.errors import CorruptIndexError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["Doclists", "Occurrences", "WordList", "damaged", "varints"]

_AVERAGES, _STRUCTURE = 1, 10  # rows of ``words_data``
_SEGMENT_BITS = 37  # of the number of a row of ``words_data``; the number of the page is in the others
_MAIN_INDEX = b"0"  # the words themselves; FTS5 can index their prefixes, too
_COOKIE_BYTES = 4
_HEADER_BYTES = 4
_MIN_DOCUMENT_BYTES = 2  # in a list: the row, and the size of the positions
_MAX_SEGMENTS = 2000  # of FTS5
_MAX_SEGMENT_NUMBER, _MAX_PAGE = (1 << 16) - 1, (1 << 31) - 1  # that the number of a row has room for
_MAX_INTEGER = 1 << 53  # more than any count

_Columns: TypeAlias = "tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]"
_NOTHING = np.empty(0, np.int64), np.empty(0), np.empty(0)


class Occurrences(NamedTuple):
    """How often documents have a word or a phrase.

    Attributes:
        rows: Ascending row numbers of the documents that have it, (n,).
        counts: The number of times, each with the weight of its column, (n,).
    """

    rows: NDArray[np.int64]
    counts: NDArray[np.float64]


class WordList(NamedTuple):
    """The documents that have a word: as it is written, and in any column."""

    exact: Occurrences
    anywhere: Occurrences


class _Segment(NamedTuple):
    number: int
    first_page: int
    last_page: int


@dataclass(frozen=True)
class Doclists:
    """The lists of one commit.

    Attributes:
        segments: Segments of FTS5, the newest first.
        documents: The number of documents.
        tokens: The number of words of all documents.
    """

    segments: tuple[_Segment, ...]
    documents: int
    tokens: int

    @classmethod
    def of(cls, connection: sqlite3.Connection) -> Doclists:
        """Return the lists that a connection in a transaction sees.

        Raises:
            CorruptIndexError: The tables of FTS5 are damaged.
        """
        averages = connection.execute("SELECT block FROM words_data WHERE id = ?", (_AVERAGES,)).fetchone()
        structure = connection.execute("SELECT block FROM words_data WHERE id = ?", (_STRUCTURE,)).fetchone()
        if structure is None:
            raise damaged("the list of segments is missing")
        totals = [0] if averages is None else list(varints(averages[0]))
        return cls(tuple(_segments(structure[0])), totals[0] if totals else 0, sum(totals[1:]))

    def read(self, connection: sqlite3.Connection, word: str, form_weight: float) -> WordList:
        """Return the documents of a word.

        Args:
            connection: A connection that sees this commit.
            word: The word.
            form_weight: The weight of a word in the column of forms.

        Raises:
            CorruptIndexError: The tables of FTS5 are damaged.
        """
        encoded = word.encode()
        found = [self._read(connection, segment, encoded, form_weight) for segment in self.segments]
        parts = [part for part in found if part is not None]
        rows, exact, anywhere = parts[0] if parts else _NOTHING
        if len(parts) > 1:
            columns = (np.concatenate(column) for column in zip(*parts, strict=True))
            rows, exact, anywhere = next(columns), next(columns), next(columns)
            rows, newest = np.unique(rows, return_index=True)  # the first of equal ones
            exact, anywhere = exact[newest], anywhere[newest]
        elif (rows[1:] <= rows[:-1]).any():
            raise damaged("rows are not in order")
        return WordList(_positive(rows, exact), _positive(rows, anywhere))

    def _read(
        self, connection: sqlite3.Connection, segment: _Segment, word: bytes, form_weight: float
    ) -> _Columns | None:
        """Return rows and counts of the documents of a word in one segment, 0 of deleted ones; None without a list."""
        row = connection.execute(
            "SELECT pgno FROM words_idx WHERE segid = ? AND term <= ? ORDER BY term DESC LIMIT 1",
            (segment.number, _MAIN_INDEX + word),
        ).fetchone()
        if row is not None and type(row[0]) is not int:
            raise damaged("the number of a page is missing")
        page = segment.first_page if row is None else max(row[0] >> 1, segment.first_page)
        parts: list[bytes] = []
        starts = [0]
        size = 0
        for is_first, block in _pages(connection, segment, page):
            start, end, is_end = _HEADER_BYTES, *_end_of_list(block)
            if is_first:
                found = np.empty(3, np.int64)
                kernels_of(__package__).find(_bytes(block), _bytes(_MAIN_INDEX + word), found)
                start, end, is_end = int(found[0]), int(found[1]), bool(found[2])
                if start < 0:
                    raise damaged("a page is incomplete")
                if start == 0:
                    return None
            elif start <= (first_row := int.from_bytes(block[:2], "big")) < end:
                starts.append(size + first_row - start)
            parts.append(block[start:end])
            size += end - start
            if is_end:
                break
        return _decoded(b"".join(parts), starts, form_weight)


def _decoded(block: bytes, starts: list[int], form_weight: float) -> _Columns:
    most = len(block) // _MIN_DOCUMENT_BYTES + 1
    rows, exact, anywhere = np.empty(most, np.int64), np.empty(most), np.empty(most)
    count = kernels_of(__package__).decode(
        _bytes(block), np.array(starts, np.int64), form_weight, rows, exact, anywhere
    )
    if count < 0:
        raise damaged("a list of documents is incomplete")
    return rows[:count], exact[:count], anywhere[:count]


def _positive(rows: NDArray[np.int64], counts: NDArray[np.float64]) -> Occurrences:
    """Return the documents with a count above 0, in arrays of their own."""
    has_it = counts > 0
    return Occurrences(rows[has_it], counts[has_it])


def _bytes(block: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(block, np.uint8)


def _pages(connection: sqlite3.Connection, segment: _Segment, page: int) -> Iterator[tuple[bool, bytes]]:
    """Yield the pages of a segment from this one on, each with whether it is the first."""
    base = segment.number << _SEGMENT_BITS
    rows = connection.execute(
        "SELECT id, block FROM words_data WHERE id BETWEEN ? AND ? ORDER BY id", (base + page, base + segment.last_page)
    )
    for expected, (row, block) in enumerate(rows, base + page):
        if row != expected or type(block) is not bytes or len(block) < _HEADER_BYTES:
            raise damaged("a page is missing")
        yield expected == base + page, block


def _end_of_list(block: bytes) -> tuple[int, bool]:
    """Return where a list that an earlier page began ends in a page, and whether it ends there."""
    end = int.from_bytes(block[2:4], "big")
    first_word = _varint(block, end)[0] if _HEADER_BYTES <= end < len(block) else end
    if not _HEADER_BYTES <= first_word <= end <= len(block):
        raise damaged("a page is incomplete")
    return first_word, end < len(block)


def _segments(structure: object) -> Iterator[_Segment]:
    """Yield the segments of the index, the newest first."""
    numbers = varints(structure, _COOKIE_BYTES)
    try:
        levels, total, _ = next(numbers), next(numbers), next(numbers)
        if max(levels, total) > _MAX_SEGMENTS:
            raise damaged("it has too many segments")
        for _ in range(levels):
            _, segments = next(numbers), next(numbers)
            if segments > total:
                raise damaged("it has too many segments")
            level = [_Segment(next(numbers), next(numbers), next(numbers)) for _ in range(segments)]
            if any(one.number > _MAX_SEGMENT_NUMBER or max(one[1:]) > _MAX_PAGE for one in level):
                raise damaged("a segment has a number out of range")
            yield from (segment for segment in reversed(level) if segment.first_page)
    except StopIteration:
        raise damaged("the list of segments is incomplete") from None


def varints(block: object, at: int = 0) -> Iterator[int]:
    """Yield the integers in a block, from a place on.

    Raises:
        CorruptIndexError: It is not a block, or an integer is larger than any count.
    """
    if type(block) is not bytes:
        raise damaged("a block is missing")
    while at < len(block):
        value, at = _varint(block, at)
        if value > _MAX_INTEGER:
            raise damaged("a number is out of range")
        yield value


def _varint(block: bytes, at: int) -> tuple[int, int]:
    """Return the integer at a place in a block, as SQLite encodes it, and the place behind it.

    There are seven bits in each byte, the highest first, and eight in the ninth.
    """
    value = 0
    for byte in block[at : at + 8]:
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at
    return (value << 8 | block[at], at + 1) if at < len(block) else (value, at)


def damaged(what: str) -> CorruptIndexError:
    """Return the error for damaged tables of FTS5."""
    return CorruptIndexError(f"The words of lexical search are damaged: {what}. Restore the index from a copy.")
