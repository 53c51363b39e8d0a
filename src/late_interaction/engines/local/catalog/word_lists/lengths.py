"""How many words documents have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.local.catalog.word_lists.doclists import damaged, varints

if TYPE_CHECKING:
    import sqlite3

    from numpy.typing import NDArray

__all__ = ["Lengths"]

_MAX_SLOTS = 1 << 20  # 8 MB
_LENGTH_BITS = 20
_MAX_LENGTH, _MAX_ROW = (1 << _LENGTH_BITS) - 1, (1 << 62 - _LENGTH_BITS) - 1  # that a slot has room for
_EMPTY = -1
_MAX_SIZE_BYTES = 18  # two integers
_LENGTHS_OF = """SELECT sz FROM json_each(?) CROSS JOIN words_docsize ON words_docsize.id = json_each.value"""


class Lengths:
    """The number of words of documents of one commit, read when they are needed and kept.

    Each document has one slot, which it may share with others; the last one that was read is in it. A slot is one
    integer, row and length, so that threads can read and write slots at the same time.

    Args:
        documents: The number of documents.
    """

    def __init__(self, documents: int) -> None:
        slots = 1 << min(documents, _MAX_SLOTS - 1).bit_length()
        self._slots = np.full(slots, _EMPTY, np.int64)

    def of(self, connection: sqlite3.Connection, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the number of words of the documents in some rows, (n,).

        Raises:
            CorruptIndexError: A document has none.
        """
        at = rows & (len(self._slots) - 1)
        found = self._slots[at]
        lengths: NDArray[np.float64] = (found & _MAX_LENGTH).astype(np.float64)
        missing = np.flatnonzero(found >> _LENGTH_BITS != rows)
        if len(missing):
            read = _read(connection, rows[missing])
            lengths[missing] = read
            fits = (read <= _MAX_LENGTH) & (rows[missing] <= _MAX_ROW)
            kept = missing[fits]
            self._slots[at[kept]] = rows[kept] << _LENGTH_BITS | read[fits]
        return lengths


def _read(connection: sqlite3.Connection, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    found = [size for (size,) in connection.execute(_LENGTHS_OF, (json.dumps(rows.tolist()),))]
    if len(found) != len(rows) or not all(type(size) is bytes and len(size) <= _MAX_SIZE_BYTES for size in found):
        raise damaged("the length of a document is missing")
    # Two numbers, one for each column, mostly of one byte each.
    return np.array([size[0] + size[1] if len(size) == 2 else sum(varints(size)) for size in found], np.int64)
