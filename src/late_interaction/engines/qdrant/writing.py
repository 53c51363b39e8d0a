"""The part of `QdrantEngine` that writes: in batches, each of them durable, and exact about what is written."""

from __future__ import annotations

import logging
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from qdrant_client import models

from late_interaction.engines.qdrant.points import Orders, Prepared, document_point_id, points_of, size_of
from late_interaction.engines.qdrant.schema import documents
from late_interaction.engines.qdrant.searching import Searching
from late_interaction.engines.remote.batches import batches_of, chunks_of
from late_interaction.engines.remote.payload import ID, VERSION, id_of
from late_interaction.errors import (
    DuplicateIdError,
    EngineRefusedError,
    EngineUnavailableError,
    IndexReplacedError,
    InvalidRequestError,
    InvalidVectorsError,
    LateInteractionError,
    PartialWriteError,
)
from late_interaction.filters import check_restricting
from late_interaction.validation import check_ids, check_vectors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from late_interaction.engines.qdrant.first_stage import StageState
    from late_interaction.engines.records import Record
    from late_interaction.filters import Where

__all__ = ["Write", "Writing", "next_order"]

_BATCH_BYTES = 8 * 2**20  # of a request, about; a server takes 32 MB
_BATCH_DOCUMENTS = 256
_IDS_TOGETHER = 1000

_logger = logging.getLogger(__name__)
next_order = Orders()


@dataclass
class Write:
    """One call that writes documents.

    Attributes:
        planned: The ids of all documents, if they are known; None for an iterator.
        version: Marks the documents that this call has written.
        written: The ids of those that are certainly written, in order.
        pending: The ids of those of which that is not known.
        lacks_centroids: Whether a document was written without the sparse vector of centroids.
    """

    planned: list[str] | None = None
    version: str = field(default_factory=lambda: uuid.uuid4().hex)
    written: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    lacks_centroids: bool = False


class Writing(Searching):
    """The part of `QdrantEngine` that writes."""

    def upsert(self, records: Iterable[Record], *, replacing: Where | None = None) -> list[str]:
        """Add records, replacing those of the same id; return the ids, in order.

        They are written in batches of 8 MB, each of which is durable. If the iterable itself raises, the batches before
        are written. With ``replacing``, documents that pass are deleted after all records are written, so an error
        never loses documents.

        Raises:
            InvalidVectorsError: Vectors of another shape or dimension, NaN or infinity. Of a list, all are checked
                before anything is written.
            DuplicateIdError: Two records have the same id.
            PartialWriteError: Some are written. The same call again completes it.
            IndexReplacedError: The collection was deleted and created again after it was opened.
        """
        self._check_writable()
        self._stage.refresh()
        replaced = self._replaced(replacing)
        ids: list[str] = []
        prepared: Iterable[Prepared] = self._checked(records, ids)
        write = Write()
        if isinstance(records, (list, tuple)):
            prepared, write.planned = list(prepared), ids
        with self._reporting(write):
            for batch in batches_of(prepared, size_of, max_bytes=_BATCH_BYTES, max_items=_BATCH_DOCUMENTS):
                self._write(batch, write)
            self._finish(write, replaced, replacing)
        return ids

    def delete(self, *, ids: Iterable[str] | None = None, where: Where | None = None) -> int:
        """Delete by ids or by filter and return about how many there were: they are counted just before."""
        if (ids is None) == (where is None):
            raise InvalidRequestError("delete takes either ids or where.")
        if where is not None:
            self.check_filter(where)
            conditions = iter([documents(self._condition(check_restricting(where)))])
        else:
            chunks = chunks_of(dict.fromkeys(check_ids(ids or ())), _IDS_TOGETHER)
            conditions = (documents(_with_point_ids(map(document_point_id, chunk))) for chunk in chunks)
        self._check_writable()
        return sum(self._delete(condition) for condition in conditions)

    def clear(self) -> int:
        """Delete every document and return how many there were. Settings and centroids stay."""
        self._check_writable()
        deleted = self._delete(documents())
        self._size.forget()
        return deleted

    def _delete(self, condition: models.Filter) -> int:
        count = self._count(condition)
        if count:
            self._connection.call("delete", points_selector=models.FilterSelector(filter=condition), wait=True)
        return count

    def _checked(self, records: Iterable[Record], ids: list[str]) -> Iterator[Prepared]:
        """Yield the records, checked, and append their ids."""
        seen: set[str] = set(ids)
        for record in records:
            vectors = self._checked_vectors(record)
            self._note(record.document.id, seen, ids)
            yield Prepared(record, vectors, next_order())

    def _checked_vectors(self, record: Record) -> NDArray[np.float32]:
        if not hasattr(record, "vectors"):
            raise InvalidVectorsError(
                f"{getattr(record, 'id', record)!r} has no vectors: pass Record(document, vectors)."
            )
        return check_vectors(record.vectors, self.dim, f"Vectors of {record.document.id!r}")

    def _note(self, document_id: str, seen: set[str], ids: list[str]) -> None:
        if document_id in seen:
            raise DuplicateIdError(
                f"Two documents in one call have the id {document_id!r:.200}. Give each its own id, or make two calls."
            )
        seen.add(document_id)
        ids.append(document_id)

    def _write(self, batch: Sequence[Prepared], write: Write) -> None:
        """Write some documents. After an error, those that were written nevertheless are noted."""
        centroids = self._grown().centroids
        write.lacks_centroids |= centroids is None
        points = points_of(batch, write.version, language=self.language, centroids=centroids)
        self._field_indexes.add(cast("dict[str, Any]", point.payload) for point in points)
        try:
            self._connection.call("upsert", points=points, wait=True)
        except LateInteractionError:
            self._note_written([one.id for one in batch], write)
            raise
        write.written += [one.id for one in batch]
        self._size.added(len(batch), sum(len(one.vectors) for one in batch))
        if not self._capabilities.exact_search:
            for one in batch:
                self._stage.observe(one.vectors)

    def _note_written(self, ids: Sequence[str], write: Write) -> None:
        """Ask which of these documents are written. If the server cannot be asked, they count as not written."""
        with suppress(LateInteractionError):
            found = self._payloads(ids, [ID, VERSION])
            confirmed = {id_of(payload) for payload in found if payload.get(VERSION) == write.version}
            write.pending += [one for one in ids if one not in confirmed]
            write.written += [one for one in ids if one in confirmed]
            return
        write.pending += ids

    @contextmanager
    def _reporting(self, write: Write) -> Iterator[None]:
        """Raise an error of the server as one that says which documents are written, if some are.

        Raises:
            PartialWriteError: Some are written.
        """
        try:
            yield
        except (EngineUnavailableError, EngineRefusedError) as error:
            if not write.written:
                raise
            done = set(write.written)
            rest = write.pending if write.planned is None else write.planned
            not_written = [one for one in rest if one not in done]
            what = f"and {len(not_written)} perhaps not" if not_written else "but not all that they replace are deleted"
            first = "" if isinstance(error, EngineUnavailableError) else "When that is resolved, "
            again = f"{first}the same call again completes it."
            raise PartialWriteError(
                f"{len(write.written)} documents are written, {what}: {error} {again[0].upper()}{again[1:]}",
                written=write.written,
                not_written=not_written,
            ) from error

    def _replaced(self, replacing: Where | None) -> set[str]:
        """Return the ids of the points of documents that pass the filter."""
        if replacing is None:
            return set()
        return {str(point.id) for point in self._scroll(documents(self._condition(replacing)), [], _IDS_TOGETHER)}

    def _finish(self, write: Write, replaced: set[str], replacing: Where | None) -> None:
        """Delete what was to be replaced and still passes, then bring the first stage up to date."""
        left = replaced - {document_point_id(one) for one in write.written}
        for chunk in chunks_of(sorted(left), _IDS_TOGETHER):
            condition = documents(_with_point_ids(chunk), self._condition(replacing))
            self._connection.call("delete", points_selector=models.FilterSelector(filter=condition), wait=True)
        if write.written:
            self._fill_after(write)

    def _grown(self) -> StageState:
        """Return the first stage, after training or extending centroids if the collection is large enough.

        If that fails, documents are stored all the same. If not even the setting can be read, they are not: without
        sparse vectors they would be missing in a first stage that is complete.
        """
        if self._capabilities.exact_search:
            return self._stage.current
        try:
            return self._stage.grow()
        except LateInteractionError as error:
            if self._stage.known is None or isinstance(error, IndexReplacedError):
                raise
            _logger.warning("The centroids of %s were not trained: %s", self._connection.address, error)
            return self._stage.known

    def _fill_after(self, write: Write) -> None:
        """Write the sparse vectors that are missing, after the documents are written: an error is only logged."""
        state = self._grown()
        try:
            if state.centroids is None and write.lacks_centroids and not self._capabilities.exact_search:
                state = self._stage.refresh()  # another writer may have trained some meanwhile
            if state.centroids is not None and (write.lacks_centroids or not state.is_complete):
                self._stage.fill()
        except LateInteractionError as error:
            _logger.warning(
                "Sparse vectors of %s are missing, and are written by the next call that adds documents: %s",
                self._connection.address,
                error,
            )


def _with_point_ids(ids: Iterable[str]) -> models.HasIdCondition:
    return models.HasIdCondition(has_id=list(ids))
