"""The part of `QdrantEngine` that remembers which folder a document was read from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qdrant_client import models

from late_interaction.engines.qdrant.points import Prepared, document_point_id, vectors_of
from late_interaction.engines.qdrant.reading import READ_TOGETHER, VECTORS_READ_TOGETHER, order_of
from late_interaction.engines.qdrant.rewriting import Rewriting
from late_interaction.engines.qdrant.schema import documents
from late_interaction.engines.qdrant.settings import ROOTS
from late_interaction.engines.qdrant.writing import Write
from late_interaction.engines.records import Record
from late_interaction.engines.remote.batches import chunks_of
from late_interaction.engines.remote.payload import ID, ORDER, ROOT, TRUNCATED, id_of, truncated_of
from late_interaction.errors import InvalidRequestError, UnknownIdError
from late_interaction.validation import check_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from late_interaction.documents import Document

__all__ = ["Sources"]

_IDS_TOGETHER = 1000


class Sources(Rewriting):
    """The part of `QdrantEngine` that remembers which folder a document was read from."""

    def record_roots(self, roots: Mapping[str, Any]) -> None:
        """Store, as JSON, the roots that documents are read from, by number (see `Record`)."""
        self._check_writable()
        self._settings.write(ROOTS, dict(roots))

    def set_root(self, ids: Sequence[str], root: int | None) -> None:
        """Record that stored documents were read from this root."""
        self._check_writable()
        for chunk in chunks_of(dict.fromkeys(check_ids(ids)), _IDS_TOGETHER):
            those = documents(models.HasIdCondition(has_id=[document_point_id(one) for one in chunk]))
            self._connection.call("set_payload", payload={ROOT: root}, points=those, wait=True)

    def update_documents(
        self, documents: Iterable[Document], root: int | None, *, stored_ids: Mapping[str, str] | None = None
    ) -> int:
        """Replace the text, metadata and page image of stored documents, and keep their vectors; return their number.

        Vectors of documents that keep their ids are neither read nor written. Those of others are read and written.

        Args:
            documents: The documents, each id once.
            root: The root.
            stored_ids: The stored ids of documents that get another one, by the new id. Each stored id occurs once. A
                stored document with a new id is deleted, unless it gets another id itself.

        Raises:
            UnknownIdError: The collection holds no document of an id. Nothing is changed.
        """
        self._check_writable()
        given = {document.id: document for document in documents}
        renamed = {new: old for new, old in (stored_ids or {}).items() if new != old}
        if not renamed.keys() <= given.keys():
            raise InvalidRequestError("stored_ids has the id of a document that is not given.")
        self._check_known([renamed.get(one, one) for one in given])
        write = Write(planned=list(given))
        with self._reporting(write):
            for chunk in chunks_of([one for one in given if one not in renamed], READ_TOGETHER):
                self._update_in_place([given[one] for one in chunk], root, write)
            for group in _in_order(renamed):
                self._rename({new: renamed[new] for new in group}, given, root, write)
        return len(given)

    def _check_known(self, ids: Sequence[str]) -> None:
        known = {id_of(payload) for payload in self._stored(ids, [])}
        if missing := [one for one in ids if one not in known]:
            raise UnknownIdError(f"The index holds no document with the id {missing[0]!r:.200}. Nothing was changed.")

    def _update_in_place(self, given: Sequence[Document], root: int | None, write: Write) -> None:
        pending = {document.id: document for document in given}
        while pending:  # again for those that others have replaced meanwhile; the last one wins
            stored = list(self._stored(list(pending), []))
            changes = [self.changed(pending[id_of(one)], one, write, order=order_of(one), root=root) for one in stored]
            applied = self._overwrite(changes, write)
            self._write_words([pending[one] for one in applied], write)
            gone = pending.keys() - {id_of(one) for one in stored}
            pending = {name: one for name, one in pending.items() if name not in applied and name not in gone}

    def _rename(
        self, renamed: Mapping[str, str], given: Mapping[str, Document], root: int | None, write: Write
    ) -> None:
        """Write stored vectors under new ids, then delete the old ones that are not new ids too."""
        keys = [ID, ORDER, TRUNCATED]
        stored = {id_of(point.payload): point for point in self._with_vectors(renamed.values(), keys)}
        batch = []
        for new, old in renamed.items():
            if old in stored:  # unless others have deleted it meanwhile
                vectors, payload = vectors_of(stored[old], self.dim), stored[old].payload or {}
                record = Record(given[new], vectors, root, truncated=truncated_of(payload))
                batch.append(Prepared(record, vectors, order_of(payload)))
        if batch:
            self._write(batch, write)
        self.delete(ids=[old for old in renamed.values() if old not in renamed])


def _in_order(renamed: Mapping[str, str]) -> Iterator[list[str]]:
    """Yield the new ids in groups, so that no document is overwritten before its own vectors are moved.

    Chains are taken from their ends. What remains are circles, which are one group.
    """
    pending = dict(renamed)
    while pending:
        stored = set(pending.values())
        free = [new for new in pending if new not in stored]
        for group in chunks_of(free, VECTORS_READ_TOGETHER) if free else [list(pending)]:
            yield group
            for new in group:
                del pending[new]
