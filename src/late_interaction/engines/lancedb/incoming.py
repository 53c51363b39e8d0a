"""The records of one upsert, checked and held in temporary files before anything is written."""

from __future__ import annotations

import tempfile
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from late_interaction.documents import Document
from late_interaction.engines.lancedb.keeping import Kept
from late_interaction.engines.lancedb.rows import (
    FRESH,
    blob_checksum,
    document_columns,
    new_keys,
    new_version,
    tokens_array,
    vector_columns,
)
from late_interaction.engines.lancedb.schema import BLOBS, Format, blobs_schema, documents_schema
from late_interaction.errors import DuplicateIdError, InvalidVectorsError
from late_interaction.validation import check_vectors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from late_interaction.engines.first_stage import Centroids
    from late_interaction.engines.lancedb.database import Database
    from late_interaction.engines.records import Record

__all__ = ["Incoming", "add_pictures"]

_BATCH_DOCUMENTS = 256
_BATCH_BYTES = 2**24  # of token vectors and thumbnails


class Spool:
    """Batches of rows in a temporary file without a name."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`
        self._writer = pa.ipc.new_stream(self._file, schema)
        self.rows = 0
        self._is_written = False

    def append(self, columns: dict[str, Any], rows: int) -> None:
        """Append rows, given as columns by name."""
        arrays = [
            column if isinstance(column, pa.Array) else pa.array(column, field.type)
            for field, column in ((field, columns[field.name]) for field in self.schema)
        ]
        self._writer.write_batch(pa.record_batch(arrays, schema=self.schema))
        self.rows += rows

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the batches. Nothing can be appended any more."""
        if not self._is_written:
            self._writer.close()
            self._is_written = True
        self._file.seek(0)
        with pa.ipc.open_stream(self._file) as reader:
            yield from reader

    def close(self) -> None:
        """Delete the file."""
        self._file.close()


def add_pictures(database: Database, documents: Iterable[Document]) -> dict[str, int]:
    """Store the thumbnails of documents; return their keys by the ids of the documents."""
    first_key = new_keys()
    pictures: dict[str, int] = {}
    spool = Spool(blobs_schema(database.format))
    try:
        for number, document in enumerate(documents):
            if document.image is not None and document.image.thumbnail is not None:
                pictures[document.id] = first_key + number
                append_blobs(database, spool, [(first_key + number, None, document.image.thumbnail)])
        if pictures:
            table = database.table(BLOBS)
            database.call(lambda: table.add(blob_batches(spool)))
    finally:
        spool.close()
    return pictures


def append_blobs(
    database: Database, spool: Spool, blobs: Sequence[tuple[int, NDArray[np.float32] | None, bytes | None]]
) -> None:
    """Append keys, token vectors and thumbnails."""
    dim = database.format.dim
    halves = [np.empty((0, dim), np.float16) if one is None else one.astype(np.float16) for _, one, _ in blobs]
    columns = {
        "key": [key for key, _, _ in blobs],
        "written": [0] * len(blobs),
        "tokens": tokens_array(halves, dim),
        "thumbnail": [thumbnail for _, _, thumbnail in blobs],
        "checksum": [blob_checksum(half, one[2]) for half, one in zip(halves, blobs, strict=True)],
    }
    with database.calling():
        spool.append(columns, len(blobs))


def blob_batches(spool: Spool) -> pa.RecordBatchReader:
    """Return the rows of a file of token vectors and thumbnails, as written now."""
    place, written = spool.schema.get_field_index("written"), time.time_ns() // 1000

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in spool.batches():
            yield batch.set_column(place, spool.schema.field(place), pa.array([written] * len(batch), pa.int64()))

    return pa.RecordBatchReader.from_batches(spool.schema, batches())


class Incoming:
    """The records of one upsert. Documents are numbered in order, from 0.

    Args:
        database: Where they are going to be written.
        centroids: Its codebook; None if there is none yet.

    Attributes:
        ids: The ids of all documents, in order.
        kept: Documents that keep stored vectors, by their number. They are in memory, without thumbnails.
        tokens: The number of token vectors.
        first_key: The key of the vectors of the first document. That of each other one is greater by its number.
    """

    def __init__(self, database: Database, centroids: Centroids | None) -> None:
        self._database = database
        self._format: Format = database.format
        self._centroids = centroids
        self._documents = Spool(documents_schema(self._format))
        self._blobs = Spool(blobs_schema(self._format))
        self._seen: set[str] = set()
        self._pending: list[tuple[int, Record, NDArray[np.float32]]] = []
        self._pending_bytes = 0
        self.ids: list[str] = []
        self.kept: dict[int, Kept] = {}
        self.tokens = 0
        self.first_key = new_keys()

    def __enter__(self) -> Incoming:
        return self

    def __exit__(self, *exception: object) -> None:
        self._documents.close()
        self._blobs.close()

    @property
    def has_blobs(self) -> bool:
        """Whether there are token vectors or thumbnails to write."""
        return self._blobs.rows > 0

    def add(self, record: Record | Document, *, keeping: bool = False) -> None:
        """Add a record; with ``keeping`` perhaps a document that keeps the stored vectors.

        Raises:
            DuplicateIdError: There is one of this id.
            InvalidVectorsError: The vectors cannot be stored.
        """
        if isinstance(record, Document):
            if not keeping:
                raise InvalidVectorsError(f"{record.id!r} has no vectors: pass Record(document, vectors).")
            self._keep(record)
            return
        vectors = self._vectors(record)
        self._append(self._number(record.document.id), record, vectors)

    def encoded(self, number: int, record: Record) -> None:
        """Give a document new vectors that was to keep the stored ones."""
        vectors = self._vectors(record)
        del self.kept[number]
        self._append(number, record, vectors)

    def _vectors(self, record: Record) -> NDArray[np.float32]:
        return check_vectors(record.vectors, self._format.dim, f"Vectors of {record.document.id!r}")

    def _append(self, number: int, record: Record, vectors: NDArray[np.float32]) -> None:
        image = record.document.image
        thumbnail = None if image is None else image.thumbnail
        self.tokens += len(vectors)
        if vectors is record.vectors:
            vectors = vectors.copy()  # the caller may use the array again
        self._pending.append((number, record, vectors))
        self._pending_bytes += vectors.nbytes + len(thumbnail or b"")
        if len(self._pending) >= _BATCH_DOCUMENTS or self._pending_bytes >= _BATCH_BYTES:
            self.flush()

    def _keep(self, document: Document) -> None:
        number = self._number(document.id)
        columns = document_columns(document, self._format.language)
        picture = None
        if document.image is not None and document.image.thumbnail is not None:
            picture = self.first_key + number
            append_blobs(self._database, self._blobs, [(picture, None, document.image.thumbnail)])
        self.kept[number] = Kept(document, columns | {"picture": picture, "root": None})

    def _number(self, document_id: str) -> int:
        if document_id in self._seen:
            raise DuplicateIdError(f"The id {document_id!r:.200} is given twice in one call. Nothing was written.")
        self._seen.add(document_id)
        self.ids.append(document_id)
        return len(self.ids) - 1

    def flush(self) -> None:
        """Write what was added into the files."""
        if not self._pending:
            return
        arrays = [vectors for _, _, vectors in self._pending]
        assigned = [None] * len(arrays) if self._centroids is None else self._centroids.documents(arrays)
        rows, blobs = [], []
        for (number, record, vectors), centroids in zip(self._pending, assigned, strict=True):
            image = record.document.image
            thumbnail = None if image is None else image.thumbnail
            key = self.first_key + number
            rows.append(
                document_columns(record.document, self._format.language)
                | vector_columns(vectors, centroids, 0 if self._centroids is None else len(self._centroids))
                | {
                    "key": key,
                    "picture": None if thumbnail is None else key,
                    "order": number,
                    "version": new_version(),
                    "previous": FRESH,
                    "root": record.root,
                    "truncated": record.truncated,
                }
            )
            blobs.append((key, vectors, thumbnail))
        with self._database.calling():
            self._documents.append(
                {name: [row[name] for row in rows] for name in self._documents.schema.names}, len(rows)
            )
        append_blobs(self._database, self._blobs, blobs)
        self._pending, self._pending_bytes = [], 0

    def blobs(self) -> pa.RecordBatchReader:
        """Return the rows of token vectors and thumbnails."""
        return blob_batches(self._blobs)

    def documents(self, order: int, kept: list[dict[str, Any]]) -> pa.RecordBatchReader:
        """Return the rows of documents.

        Args:
            order: The order of the first document.
            kept: The rows of those that keep stored vectors, with their own orders.
        """
        schema = self._documents.schema
        place = schema.get_field_index("order")

        def batches() -> Iterator[pa.RecordBatch]:
            for batch in self._documents.batches():
                orders = batch.column(place).to_numpy() + order
                yield batch.set_column(place, schema.field("order"), pa.array(orders, pa.int64()))
            yield from pa.Table.from_pylist(kept, schema=schema).to_batches()

        return pa.RecordBatchReader.from_batches(schema, batches())
