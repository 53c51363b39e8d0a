"""One state of the tables: pinned versions, and what searches keep of them in memory."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from late_interaction.engines.lancedb.postings import Postings
from late_interaction.engines.lancedb.schema import BLOBS, DOCUMENTS
from late_interaction.engines.lancedb.sql import conditions_of_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from late_interaction.engines.lancedb.database import Database

__all__ = ["Rows", "Snapshot"]

_Value = TypeVar("_Value")

_ROW = "_rowid"
_TAKEN_BYTES = 2**25  # of token vectors read together
_MIN_TAKEN = 16
_MAX_TAKEN = 4096


class Rows:
    """All documents in the order of addition; a *position* is a place in it. 36 bytes each.

    Attributes:
        rows: Row numbers in the table of documents, (n,).
        keys: Keys of their token vectors, (n,).
        orders: Their order of addition, (n,).
        tokens: Their numbers of tokens, (n,).
    """

    def __init__(self, table: pa.Table) -> None:
        columns = {name: table[name].to_numpy() for name in (_ROW, "key", "order", "tokens")}
        by_order = np.lexsort((columns[_ROW], columns["order"]))
        self.rows: NDArray[np.int64] = columns[_ROW][by_order].astype(np.int64)
        self.keys: NDArray[np.int64] = columns["key"][by_order]
        self.orders: NDArray[np.int64] = columns["order"][by_order]
        self.tokens: NDArray[np.int32] = columns["tokens"][by_order]
        self._by_row = np.argsort(self.rows)
        self._sorted_rows = self.rows[self._by_row]

    def __len__(self) -> int:
        return len(self.rows)

    def positions(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        """Return the positions of rows of the table, in order."""
        return self._by_row[np.searchsorted(self._sorted_rows, rows.astype(np.int64))]


class _Once(Generic[_Value]):
    """A value that is made when it is first needed, by one thread while others wait.

    Each has a mutex of its own. The mutex of a `functools.cached_property` is one for all objects before Python 3.12,
    so two threads with two snapshots could wait for each other.
    """

    def __init__(self, make: Callable[[], _Value]) -> None:
        self._make = make
        self._mutex = threading.RLock()
        self._values: list[_Value] = []

    def get(self) -> _Value:
        with self._mutex:
            if not self._values:
                self._values.append(self._make())
            return self._values[0]


class Snapshot:
    """The tables at one version. Any thread may call any method.

    Args:
        database: The database.
        documents_version: Version of the table of documents.
        blobs_version: Version of the table of blobs.
        same: A snapshot with the same version of the table of documents, whose memory is shared.
    """

    def __init__(
        self, database: Database, documents_version: int, blobs_version: int, same: Snapshot | None = None
    ) -> None:
        self.version = documents_version
        self.blobs_version = blobs_version
        self.call = database.call
        self._dim = database.format.dim
        self._blobs = database.pinned(BLOBS, blobs_version)
        self.passing: dict[Any, NDArray[np.int64]] = {} if same is None else same.passing
        """Positions that pass a filter, by filter."""
        self.documents: Any = database.pinned(DOCUMENTS, documents_version) if same is None else same.documents
        self._rows: _Once[Rows] = _Once(self._read_rows) if same is None else same._rows
        self._postings: _Once[Postings] = _Once(self._read_postings) if same is None else same._postings
        self._places = _Once(self._read_places)

    @property
    def rows(self) -> Rows:
        """All documents."""
        return self._rows.get()

    @property
    def postings(self) -> Postings:
        """The documents of each centroid."""
        return self._postings.get()

    def _read_rows(self) -> Rows:
        return Rows(self.scan(["key", "order", "tokens"]))

    def _read_postings(self) -> Postings:
        table = self.scan(["centroids"])
        positions = self.rows.positions(table[_ROW].to_numpy())
        return Postings(table["centroids"].combine_chunks(), positions, self.rows.tokens)

    def _read_places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the keys of all blobs, ascending, and their rows."""
        table = self.call(self._blobs.query().select(["key"]).with_row_id().to_arrow)
        keys, rows = table["key"].to_numpy(), table[_ROW].to_numpy().astype(np.int64)
        by_key = np.argsort(keys)
        return keys[by_key], rows[by_key]

    def count(self) -> int:
        """Return the number of documents."""
        return int(self.call(self.documents.count_rows))

    def scan(self, columns: Sequence[str], condition: str | None = None) -> pa.Table:
        """Return columns and row numbers of the documents that pass an SQL condition."""
        query = self.documents.query().select(list(columns)).with_row_id()
        return self.call((query if condition is None else query.where(condition)).to_arrow)

    def find(self, ids: Sequence[str], columns: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return columns of the documents of these ids, by id; unknown ids are left out."""
        columns = ["id", *(name for name in columns if name != "id")]
        tables = [self.scan(columns, condition) for condition in conditions_of_ids(ids)]
        return {row["id"]: row for table in tables for row in table.to_pylist()}

    def positions_of_ids(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Return the positions of the documents of these ids, ascending; unknown ids are left out."""
        found = [self.scan(["order"], condition)[_ROW].to_numpy() for condition in conditions_of_ids(ids)]
        return np.unique(self.rows.positions(np.concatenate([np.empty(0, np.int64), *found])))

    def take(self, positions: NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """Return columns of the documents at these positions, in this order."""
        rows = self.rows.rows[positions]
        request = self.documents.take_row_ids(np.sort(rows).tolist()).select(list(columns)).with_row_id()
        table = self.call(request.to_arrow)
        taken = table[_ROW].to_numpy().astype(np.int64)
        by_row = np.argsort(taken)
        return table.take(by_row[np.searchsorted(taken[by_row], rows)])

    def thumbnails(self, keys: Sequence[int]) -> dict[int, bytes]:
        """Return thumbnails by key."""
        found: dict[int, bytes] = {}
        for places, rows in self._chunks(np.unique(np.asarray(list(keys), np.int64)), per_row=2**17):
            del places
            table = self._taken(rows, ["key", "thumbnail"])
            found |= {
                key: data
                for key, data in zip(table["key"].to_pylist(), table["thumbnail"].to_pylist(), strict=True)
                if data is not None
            }
        return found

    def vectors(
        self, keys: NDArray[np.int64], tokens: NDArray[np.int32]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16], NDArray[np.int64]]]:
        """Yield token vectors in groups: which of the keys, the vectors one after the other, and their offsets.

        Keys of other writers' documents that have been replaced meanwhile are left out.

        Args:
            keys: Keys of documents, (n,).
            tokens: The number of tokens of each, (n,).
        """
        filled = np.flatnonzero(tokens)
        keys = keys[filled]
        by_key = np.argsort(keys)
        average = max(1, int(tokens[filled].mean())) if len(filled) else 1
        for places, rows in self._chunks(keys[by_key], per_row=average * self._dim * 2):
            table = self._taken(rows, ["tokens"])
            column = table["tokens"].combine_chunks()
            if isinstance(column, pa.ChunkedArray):
                column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
            offsets = column.offsets.to_numpy().astype(np.int64)
            flat = column.values.flatten().to_numpy(zero_copy_only=False).reshape(-1, self._dim)
            yield filled[by_key[places]], flat[offsets[0] : offsets[-1]], offsets - offsets[0]

    def missing_keys(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of the keys that no blob has."""
        return np.setdiff1d(keys, self._places.get()[0])

    def blob_batches(self) -> Iterator[pa.RecordBatch]:
        """Yield all blobs, a few at a time."""
        _, rows = self._places.get()
        for first in range(0, len(rows), 64):
            yield from self._taken(
                np.sort(rows[first : first + 64]), ["key", "tokens", "thumbnail", "checksum"]
            ).to_batches()

    def blob_keys(self) -> NDArray[np.int64]:
        """Return the keys of all blobs, ascending."""
        return self._places.get()[0]

    def _chunks(
        self, keys: NDArray[np.int64], *, per_row: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Yield places in ``keys``, ascending, with the rows of their blobs, in groups of bounded size."""
        known, rows = self._places.get()
        at = np.searchsorted(known, keys)
        at[at == len(known)] = 0
        there = np.flatnonzero(known[at] == keys) if len(known) else np.empty(0, np.int64)
        there = there[np.argsort(rows[at[there]], kind="stable")]
        size = min(max(_MIN_TAKEN, _TAKEN_BYTES // per_row), _MAX_TAKEN)
        for first in range(0, len(there), size):
            places = there[first : first + size]
            yield places, rows[at[places]]

    def _taken(self, rows: NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """Return columns of these rows of blobs, which are ascending, in order."""
        table = self.call(self._blobs.take_row_ids(rows.tolist()).select(list(columns)).with_row_id().to_arrow)
        taken = table[_ROW].to_numpy().astype(np.int64)
        if not np.array_equal(taken, rows):
            table = table.take(pc.sort_indices(table[_ROW]))
        return table
