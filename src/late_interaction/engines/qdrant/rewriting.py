"""The part of `QdrantEngine` that changes documents and keeps their vectors.

Each change applies only to the version of the document that was read, so no vectors get the text of another writer.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from qdrant_client import models

from late_interaction.documents import Document, check_metadata
from late_interaction.engines.qdrant.points import (
    Prepared,
    document_point_id,
    payload_for,
    size_of,
    words_of,
)
from late_interaction.engines.qdrant.reading import READ_TOGETHER, order_of
from late_interaction.engines.qdrant.schema import CODEBOOK, TOKEN_COUNT, WORDS, documents
from late_interaction.engines.qdrant.writing import Write, Writing, next_order
from late_interaction.engines.records import Record
from late_interaction.engines.remote.batches import batches_of, chunks_of
from late_interaction.engines.remote.payload import (
    CONTENT,
    ID,
    ORDER,
    ROOT,
    TRUNCATED,
    VERSION,
    content_digest,
    document_of,
    field_keys,
    id_of,
    root_of,
    truncated_of,
)
from late_interaction.errors import CorruptIndexError, InvalidVectorsError, LateInteractionError
from late_interaction.validation import check_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from late_interaction.filters import Where

__all__ = ["Change", "Rewriting"]

_MAX_TRIES = 8  # of a change to a document that others keep replacing
_BATCH_BYTES = 4 * 2**20
_BATCH_DOCUMENTS = 128
_STORED_KEYS = [ID, CONTENT, VERSION, ORDER, ROOT, TRUNCATED, TOKEN_COUNT, CODEBOOK]
"""What is kept of a document whose text, metadata or page is replaced."""


class _Kept(NamedTuple):
    """A document that keeps the stored vectors."""

    document: Document
    order: int


class Change(NamedTuple):
    """The payload that a stored document gets, if it is still of this version.

    Attributes:
        document: The document.
        stored_version: The version that was read.
        payload: The new payload.
    """

    document: Document
    stored_version: object
    payload: dict[str, Any]


class Rewriting(Writing):
    """The part of `QdrantEngine` that changes documents and keeps their vectors."""

    def update_metadata(self, ids: Iterable[str], metadata: Mapping[str, Any]) -> int:
        """Set these keys in the metadata of documents, keep their other keys, and return the number of documents.

        Unknown ids are skipped. No vectors are read or written.
        """
        pending = list(dict.fromkeys(check_ids(ids)))
        metadata = check_metadata(metadata)
        self._check_writable()
        write = Write(planned=pending)
        for _ in range(_MAX_TRIES):
            lost: list[str] = []
            with self._reporting(write):
                for chunk in chunks_of(pending, READ_TOGETHER):
                    changes = [self._with_metadata(one, metadata, write) for one in self._stored(chunk, field_keys())]
                    applied = self._overwrite(changes, write)
                    lost += [one.document.id for one in changes if one.document.id not in applied]
            if not lost:
                return len(write.written)
            pending = lost
        raise LateInteractionError(
            f"The metadata of {len(pending)} documents could not be set, because others kept replacing them, first "
            f"{pending[0]!r:.200}. Try again."
        )

    def upsert_keeping(
        self,
        records: Iterable[Record | Document],
        encode: Callable[[list[Document]], Iterable[Record]],
        *,
        replacing: Where | None = None,
    ) -> list[str]:
        """Upsert, where a document without vectors keeps those that are stored under its id.

        Args:
            records: Records, and documents whose `Document.encoded_content` is that of the stored document.
            encode: Called at the end with those of them that others have deleted or replaced meanwhile; returns their
                records, in order.
            replacing: As in `upsert`.
        """
        self._check_writable()
        self._stage.refresh()
        replaced = self._replaced(replacing)
        ids: list[str] = []
        write, lost = Write(), list[Document]()
        items: Iterable[Prepared | _Kept] = self._checked_items(records, ids)
        if isinstance(records, (list, tuple)):
            items, write.planned = list(items), ids
        with self._reporting(write):
            for batch in batches_of(items, _size_of_item, max_bytes=2 * _BATCH_BYTES, max_items=_BATCH_DOCUMENTS):
                if new := [one for one in batch if isinstance(one, Prepared)]:
                    self._write(new, write)
                if kept := [one for one in batch if isinstance(one, _Kept)]:
                    lost += self._keep(kept, write)
            if lost:
                self._encode_again(lost, encode, write)
            self._finish(write, replaced, replacing)
        return ids

    def _checked_items(self, records: Iterable[Record | Document], ids: list[str]) -> Iterator[Prepared | _Kept]:
        seen: set[str] = set()
        for record in records:
            if isinstance(record, Document):
                self._note(record.id, seen, ids)
                yield _Kept(record, next_order())
            else:
                vectors = self._checked_vectors(record)
                self._note(record.document.id, seen, ids)
                yield Prepared(record, vectors, next_order())

    def _encode_again(
        self, lost: list[Document], encode: Callable[[list[Document]], Iterable[Record]], write: Write
    ) -> None:
        ids: list[str] = []
        again = self._checked(encode(lost), ids)
        for batch in batches_of(again, size_of, max_bytes=2 * _BATCH_BYTES, max_items=_BATCH_DOCUMENTS):
            self._write(batch, write)
        if ids != [document.id for document in lost]:
            raise InvalidVectorsError(f"encode must return a record of each of {len(lost)} documents, in order.")

    def _keep(self, kept: Sequence[_Kept], write: Write) -> list[Document]:
        """Replace documents and keep their vectors; return those whose stored document differs or is gone."""
        orders = {one.document.id: one.order for one in kept}
        stored = {id_of(payload): payload for payload in self._stored(list(orders), [])}
        same = [
            one.document
            for one in kept
            if one.document.id in stored and stored[one.document.id].get(CONTENT) == content_digest(one.document)
        ]
        changes = [self.changed(one, stored[one.id], write, order=orders[one.id], root=None) for one in same]
        applied = self._overwrite(changes, write)
        self._write_words([one for one in same if one.id in applied], write)
        return [one.document for one in kept if one.document.id not in applied]

    def changed(
        self, document: Document, stored: Mapping[str, Any], write: Write, *, order: int, root: int | None
    ) -> Change:
        """Return the change that replaces a stored document, of which `_STORED_KEYS` were read."""
        tokens, codebook = stored.get(TOKEN_COUNT), stored.get(CODEBOOK)
        if type(tokens) is not int or not isinstance(codebook, (str, type(None))):
            raise CorruptIndexError(
                f"The stored document {document.id!r:.200} is damaged: {TOKEN_COUNT} is {tokens!r:.80}. Add it again."
            )
        record = Record(document, np.empty((0, self.dim), np.float32), root, truncated=truncated_of(stored))
        payload = payload_for(record, order=order, version=write.version, tokens=tokens, codebook=codebook)
        return Change(document, stored.get(VERSION), payload)

    def _with_metadata(self, stored: Mapping[str, Any], metadata: Mapping[str, Any], write: Write) -> Change:
        document = document_of(stored).with_metadata(metadata)
        return self.changed(document, stored, write, order=order_of(stored), root=root_of(stored))

    def _stored(self, ids: Sequence[str], keys: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield what is stored of documents: these keys and `_STORED_KEYS`."""
        return self._payloads(ids, list(dict.fromkeys([*keys, *_STORED_KEYS])))

    def _overwrite(self, changes: Sequence[Change], write: Write) -> set[str]:
        """Replace payloads of documents that are still of the version that was read; return the ids of these."""
        applied: set[str] = set()
        for batch in batches_of(changes, _size_of_change, max_bytes=_BATCH_BYTES, max_items=_BATCH_DOCUMENTS):
            ids = [change.document.id for change in batch]
            self._field_indexes.add(change.payload for change in batch)
            operations = [models.OverwritePayloadOperation(overwrite_payload=_conditional(change)) for change in batch]
            try:
                self._connection.call("batch_update_points", update_operations=operations, wait=True)
                found = self._payloads(ids, [ID, VERSION])
                done = {id_of(payload) for payload in found if payload.get(VERSION) == write.version}
            except LateInteractionError:
                self._note_written(ids, write)
                raise
            write.written += [one for one in ids if one in done]
            applied |= done
        return applied

    def _write_words(self, kept: Sequence[Document], write: Write) -> None:
        """Write the words of pages, whose text may have changed while the page is the same."""
        pages = [document for document in kept if document.image is not None]
        unchanged = models.Filter(
            must=[models.FieldCondition(key=VERSION, match=models.MatchValue(value=write.version))]
        )
        for chunk in chunks_of(pages, _BATCH_DOCUMENTS):
            words = {document.id: words_of(document.text_to_encode, self.language) for document in chunk}
            points = [
                models.PointVectors(id=document_point_id(name), vector=vector)  # type: ignore[arg-type]
                for name, vector in words.items()
                if vector
            ]
            if points:
                self._connection.call("update_vectors", points=points, update_filter=unchanged, wait=True)
            if without := [document_point_id(name) for name, vector in words.items() if not vector]:
                those = models.Filter(must=[*unchanged.must, models.HasIdCondition(has_id=[*without])])  # type: ignore[misc]
                self._connection.call(
                    "delete_vectors", vectors=[WORDS], points=models.FilterSelector(filter=those), wait=True
                )


def _conditional(change: Change) -> models.SetPayload:
    same = models.FieldCondition(key=VERSION, match=models.MatchValue(value=change.stored_version))  # type: ignore[arg-type]
    those = documents(models.HasIdCondition(has_id=[document_point_id(change.document.id)]), same)
    return models.SetPayload(payload=change.payload, filter=those)


def _size_of_item(item: Prepared | _Kept) -> int:
    if isinstance(item, Prepared):
        return size_of(item)
    return size_of(
        Prepared(Record(item.document, np.empty((0, 1), np.float32)), np.empty((0, 1), np.float32), item.order)
    )


def _size_of_change(change: Change) -> int:
    return len(json.dumps(change.payload))
