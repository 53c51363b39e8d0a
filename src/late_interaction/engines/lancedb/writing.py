"""The half of `LanceDBEngine` that writes documents."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.engines.lancedb.incoming import Incoming
from late_interaction.engines.lancedb.keeping import IS_CURRENT, blob_keys, kept_rows, not_kept
from late_interaction.engines.lancedb.maintenance import Maintenance
from late_interaction.engines.lancedb.ordering import next_order
from late_interaction.engines.lancedb.reading import Reading
from late_interaction.engines.lancedb.schema import BLOBS, DOCUMENTS
from late_interaction.engines.lancedb.searching import passing, version_condition
from late_interaction.engines.lancedb.settings import ENCODER
from late_interaction.engines.lancedb.sql import conditions_of_numbers
from late_interaction.errors import InvalidRequestError, InvalidVectorsError, LateInteractionError, ReadOnlyIndexError
from late_interaction.filters import check_restricting, parse
from late_interaction.validation import check_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from late_interaction.documents import Document
    from late_interaction.engines.lancedb.database import Database
    from late_interaction.engines.lancedb.snapshot import Snapshot
    from late_interaction.engines.records import Record
    from late_interaction.filters import Filter, Where

__all__ = ["Writing"]


class Writing(Reading):
    """The half of `LanceDBEngine` that writes documents.

    Args:
        database: The database.
        candidates: Documents that the first stage finds; None for the default.
        read_only: Refuse to write.
    """

    def __init__(self, database: Database, candidates: int | None, *, read_only: bool) -> None:
        super().__init__(database, candidates)
        self._read_only = read_only
        self._maintenance = Maintenance(database, self._states, self._codebooks)

    @property
    def read_only(self) -> bool:
        """Whether writing is refused."""
        return self._read_only

    def record_encoder(self, record: Mapping[str, Any]) -> None:
        """Store, as JSON, which encoder made the vectors, unless a record is stored already, which stays."""
        self._check_writable()
        self._settings.write_once(ENCODER, dict(record))

    def upsert(self, records: Iterable[Record], *, replacing: Where | None = None) -> list[str]:
        """Add records, replacing those of the same id; return the ids, in order.

        All or nothing: an error in any record, or in the iterable itself, leaves the index as it was. Records are held
        in temporary files; LanceDB then reads all but token vectors and thumbnails into memory. The iterable may read
        and write the index.

        Args:
            records: Documents with their vectors.
            replacing: Delete the documents that pass this filter in the same commit.

        Raises:
            InvalidVectorsError: Vectors of another shape or dimension, NaN or infinity.
            DuplicateIdError: Two records have the same id.
            EngineUnavailableError: Other writers came first again and again, or the object store does not answer.
        """
        return self._upsert(records, None, replacing)

    def upsert_keeping(
        self,
        records: Iterable[Record | Document],
        encode: Callable[[list[Document]], Iterable[Record]],
        *,
        replacing: Where | None = None,
    ) -> list[str]:
        """Upsert, where a document without vectors keeps those that are stored under its id. See `Engine`.

        Args:
            records: Records, and documents whose `Document.encoded_content` is that of the stored document.
            encode: Called with those of them whose stored document has other content or is gone; returns their records,
                in order.
            replacing: As in `upsert`. What it deletes keeps its vectors where ``records`` has the document.
        """
        return self._upsert(records, encode, replacing)

    def delete(self, *, ids: Iterable[str] | None = None, where: Where | None = None) -> int:
        """Delete by ids or by filter and return how many there were. Unknown ids are skipped.

        Raises:
            InvalidRequestError: Every document matches the filter.
        """
        if (ids is None) == (where is None):
            raise InvalidRequestError("delete takes either ids or where.")
        if ids is not None:
            ids = check_ids(ids)
        self._check_writable()
        where = None if where is None else check_restricting(where)
        snapshot = self._states.last()
        if where is not None:
            return self._delete_passing(snapshot, where)
        return self._delete(snapshot, snapshot.positions_of_ids(ids or ()))

    def clear(self) -> int:
        """Delete every document and return how many there were."""
        self._check_writable()
        snapshot = self._states.last()
        return self._delete(snapshot, np.arange(len(snapshot.rows)))

    def _delete(self, snapshot: Snapshot, positions: NDArray[np.int64]) -> int:
        """Delete the documents at these positions, unless they were replaced since; return their number."""
        if not len(positions):
            return 0
        condition = version_condition(snapshot, positions)
        old = blob_keys(snapshot.take(positions, ["key", "picture"]).to_pylist())
        documents = self._database.table(DOCUMENTS)
        deleted = self._database.retrying(lambda: documents.delete(condition)).num_deleted_rows
        self._delete_blobs(old)
        self._maintenance.tidy(0)
        return int(deleted)

    def _upsert(
        self,
        records: Iterable[Record | Document],
        encode: Callable[[list[Document]], Iterable[Record]] | None,
        replacing: Where | None,
    ) -> list[str]:
        self._check_writable()
        clause = None if replacing is None else parse(replacing)  # a bad filter is an error before anything is encoded
        with Incoming(self._database, self._codebooks.last()) as incoming:
            for record in records:
                incoming.add(record, keeping=encode is not None)
            self._check_writable()  # the iterable may have closed the index
            if not incoming.ids:
                if clause is not None:
                    self._delete_passing(self._states.last(), clause)
                return []
            incoming.flush()
            if encode is not None:
                self._encode_lost(incoming, encode)
            lost = self._commit(incoming, clause)
        if lost and encode is not None:
            self._upsert(_checked(encode(lost), lost), None, None)
        self._codebooks.keep_up(incoming.tokens)
        self._maintenance.tidy(len(incoming.ids))
        return incoming.ids

    def _encode_lost(self, incoming: Incoming, encode: Callable[[list[Document]], Iterable[Record]]) -> None:
        """Encode the documents that cannot keep the stored vectors, until no others are."""
        while incoming.kept:
            _, lost = kept_rows(self._states.last(), incoming.kept)
            if not lost:
                return
            documents = [incoming.kept[number].document for number in lost]
            for number, record in zip(lost, _checked(encode(documents), documents), strict=True):
                incoming.encoded(number, record)
            incoming.flush()

    def _commit(self, incoming: Incoming, clause: Filter | None) -> list[Document]:
        """Write what came in; return documents that others deleted or replaced since, so that they have no vectors."""
        if incoming.has_blobs:
            blobs = self._database.table(BLOBS)
            self._database.call(lambda: blobs.add(incoming.blobs()))
        snapshot = self._states.last()
        kept, lost = kept_rows(snapshot, incoming.kept)
        order = next_order(len(incoming.ids))
        rows = [row | {"order": order + number} for number, row in kept.items()]
        condition, removed_keys = None, set()
        if clause is not None:
            removed = passing(snapshot, clause)
            removed = np.arange(len(snapshot.rows)) if removed is None else removed
            condition = version_condition(snapshot, removed)
            removed_keys = blob_keys(snapshot.take(removed, ["key", "picture"]).to_pylist())
        documents = self._database.table(DOCUMENTS)
        merge = documents.merge_insert("id").use_index(False).when_not_matched_insert_all()
        merge = merge.when_matched_update_all(where=IS_CURRENT if rows else None)
        if condition is not None:
            merge = merge.when_not_matched_by_source_delete(condition)
        result = self._database.retrying(lambda: merge.execute(incoming.documents(order, rows)))
        before = self._states.before(result.version, snapshot)
        replaced_keys = blob_keys(before.find(incoming.ids, ("key", "picture")).values())
        self._delete_blobs((replaced_keys | removed_keys) - blob_keys(rows))
        if before is not snapshot:  # others wrote in between
            lost += not_kept(before, kept)
        return [incoming.kept[number].document for number in lost]

    def _delete_passing(self, snapshot: Snapshot, clause: Filter) -> int:
        positions = passing(snapshot, clause)
        return self._delete(snapshot, np.arange(len(snapshot.rows)) if positions is None else positions)

    def _delete_blobs(self, keys: Iterable[int]) -> None:
        """Delete token vectors and thumbnails that no document has any more.

        Those of an upsert that failed are left to `compact`: perhaps its documents were written, and only the answer
        was lost.
        """
        blobs = self._database.table(BLOBS)
        with suppress(LateInteractionError):  # the documents are written; `compact` deletes what is left over
            for condition in conditions_of_numbers("key", keys):
                self._database.retrying(partial(blobs.delete, condition))

    def _check_writable(self) -> None:
        if self._read_only:
            raise ReadOnlyIndexError(f"The index at {self._database.address} is open with read_only=True.")
        if self._states.pinned is not None:
            raise InvalidRequestError("Nothing can be written inside one_state().")
        _ = self._database.format


def _checked(records: Iterable[Record], documents: list[Document]) -> list[Record]:
    records = list(records)
    if [record.document.id for record in records] != [document.id for document in documents]:
        raise InvalidVectorsError(f"encode must return a record of each of {len(documents)} documents, in order.")
    return records
