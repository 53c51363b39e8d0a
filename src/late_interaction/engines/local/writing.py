"""The half of `LocalEngine` that writes."""

from __future__ import annotations

import weakref
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from late_interaction.engines.local.adding import Target, add_records
from late_interaction.engines.local.catalog.document_rows import DocumentRow, field_rows
from late_interaction.engines.local.copying import check_target, copied_to, copy_folders
from late_interaction.engines.local.maintenance import Maintenance
from late_interaction.engines.local.opening import resolve_root
from late_interaction.engines.local.reading import Reading
from late_interaction.engines.local.storage.names import Taken
from late_interaction.engines.local.transactions import Transactions
from late_interaction.errors import IndexClosedError, InvalidRequestError, ReadOnlyIndexError
from late_interaction.filters import check_restricting, parse
from late_interaction.validation import check_ids

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from late_interaction.documents import Document
    from late_interaction.engines.local.catalog.writer import Writer
    from late_interaction.engines.local.opening import Opened
    from late_interaction.engines.local.search.device import Device
    from late_interaction.engines.local.sharing import Sharing
    from late_interaction.engines.records import Record
    from late_interaction.filters import Where

__all__ = ["Writing"]

_Result = TypeVar("_Result")


class Writing(Reading):
    """The half of `LocalEngine` that writes.

    Args:
        opened: The directory of the index.
        device: Scores compressed documents; None for the processor.
        sharing: The engine whose files and writer lock are shared; None for an engine of its own.
    """

    def __init__(self, opened: Opened, device: Device | None, sharing: Sharing | None = None) -> None:
        super().__init__(opened, device, None if sharing is None else sharing.engine._states.snapshots)
        self._sharing = sharing
        self._is_closed = False
        self._is_reader = opened.lock is None if sharing is None else sharing.engine.read_only
        self._transactions: Transactions | None = None
        self._maintenance: Maintenance | None = None
        if sharing is not None:
            self._transactions, self._maintenance = sharing.engine._transactions, sharing.engine._maintenance
        elif opened.lock is not None:
            self._transactions = Transactions(opened.location, opened.catalog, opened.lock)
            owner = weakref.ref(self)
            self._maintenance = Maintenance(opened.catalog, self._transactions, self._states, owner)

    @property
    def read_only(self) -> bool:
        """Whether writing is refused: also in a process that was forked from the writer."""
        transactions = self._transactions  # read once: another thread may close the index
        return self._is_reader or (transactions is not None and transactions.is_inherited)

    def hold(self) -> AbstractContextManager[Any]:
        """Return a mutex: inside its ``with`` block, no other thread commits."""
        return nullcontext() if self._transactions is None else self._transactions.hold()

    def record_encoder(self, record: Mapping[str, Any]) -> None:
        """Store, as JSON, which encoder made the vectors, unless a record is stored already, which stays."""

        def store(writer: Writer) -> None:
            if writer.setting("encoder") is None:
                writer.set_setting("encoder", dict(record))

        self._commit(store)

    def record_roots(self, roots: Mapping[str, Any]) -> None:
        """Store, as JSON, the roots that documents are read from, by number (see `Record`)."""
        self._commit(lambda writer: writer.set_setting("roots", dict(roots)))

    def set_root(self, ids: Sequence[str], root: int | None) -> None:
        """Record that stored documents were read from this root."""
        ids = check_ids(ids)
        self._commit(lambda writer: writer.set_root(ids, root))

    def update_documents(
        self, documents: Iterable[Document], root: int | None, *, stored_ids: Mapping[str, str] | None = None
    ) -> int:
        """Replace the text, metadata and page image of stored documents, and keep their vectors; return their number.

        For documents of which nothing changed that is encoded. Record that they were read from this root.

        Args:
            documents: The documents, each id once.
            root: The root.
            stored_ids: The stored ids of documents that get another one, by the new id. Each stored id occurs once. A
                stored document with a new id is deleted, unless it gets another id itself.

        Raises:
            UnknownIdError: The index holds no document of an id. Nothing is changed.
        """
        # Rows are made before the transaction begins: a thumbnail may have to be rendered.
        rows = [(DocumentRow.of(document, root), list(field_rows(document.metadata))) for document in documents]
        renamed = dict(stored_ids or {})
        if not renamed.keys() <= {row.id for row, _ in rows}:
            raise InvalidRequestError("stored_ids has the id of a document that is not given.")
        updated = self._commit(lambda writer: writer.update_documents(rows, renamed)) if rows else 0
        if renamed:
            self._tidy()  # documents may have been deleted
        return updated

    def upsert(self, records: Iterable[Record], *, replacing: Where | None = None) -> list[str]:
        """Add records, replacing those of the same id; return the ids, in order.

        All or nothing: an error in any record, or in the iterable itself, leaves the index as it was. The iterable is
        consumed one record at a time, so memory stays bounded. It may read and write the same index.

        Args:
            records: Documents with their vectors.
            replacing: Delete the stored documents that pass this filter in the same commit, before the records are
                added.

        Raises:
            InvalidVectorsError: Vectors of another shape or dimension, or NaN or infinity.
            DuplicateIdError: Two records have the same id.
        """
        return self._upsert(records, None, replacing)

    def upsert_keeping(
        self,
        records: Iterable[Record | Document],
        encode: Callable[[list[Document]], Iterable[Record]],
        *,
        replacing: Where | None = None,
    ) -> list[str]:
        """Upsert, where a document without vectors keeps those that are stored under its id, byte for byte.

        All or nothing, as `upsert`. In `scan`, such a document comes last, as every one that was replaced.

        Args:
            records: Records, and documents whose `Document.encoded_content` is that of the stored document.
            encode: Called, outside of any transaction, with those of them that others have deleted or replaced by
                other content before the commit; returns their records, in order.
            replacing: As in `upsert`. What it deletes keeps its vectors where ``records`` has the document.
        """
        return self._upsert(records, encode, replacing)

    def _upsert(
        self,
        records: Iterable[Record | Document],
        encode: Callable[[list[Document]], Iterable[Record]] | None,
        replacing: Where | None,
    ) -> list[str]:
        transactions = self._writable()
        if replacing is not None:
            parse(replacing)  # a bad filter is an error before anything is encoded
        with self._opened.catalog.reading() as reader:
            tokenizer = reader.tokenizer
        names = Taken(transactions.names)
        used: set[str] = set()
        try:
            ids, used, added_tokens = add_records(
                Target(self._root, self._dim, transactions, names, tokenizer), records, encode, replacing
            )
        finally:
            for name in names.taken:
                if name not in used:
                    self._discard(name)
        self._tidy(added_tokens)
        return ids

    def update_metadata(self, ids: Iterable[str], metadata: Mapping[str, Any]) -> int:
        """Set these keys in the metadata of documents, in one transaction; return the number of documents."""
        ids = check_ids(ids)
        return self._commit(lambda writer: writer.update_metadata(ids, metadata))

    def delete(self, *, ids: Iterable[str] | None = None, where: Where | None = None) -> int:
        """Delete by ids or by filter and return the number of deleted documents. Unknown ids are skipped.

        Raises:
            InvalidRequestError: Every document matches the filter.
        """
        if (ids is None) == (where is None):
            raise InvalidRequestError("delete takes either ids or where.")
        if ids is not None:
            ids = check_ids(ids)
        transactions = self._writable()
        where = None if where is None else check_restricting(where)
        deleted = transactions.commit(
            lambda writer: writer.delete_ids(ids or ()) if where is None else writer.delete_where(where)
        )
        self._tidy()
        return deleted

    def clear(self) -> int:
        """Delete every document and return how many there were."""
        deleted = self._commit(lambda writer: writer.delete_where({}))
        self._tidy()
        return deleted

    def compact(self) -> None:
        """Drop deleted documents, compress uncompressed segments and merge all segments into one.

        If an older release, Unicode table or stemmer split the texts into words for lexical search, they are split
        again, in one transaction: other writers wait, about a minute for a million short documents.
        """
        transactions = self._writable()
        with self._states.reading() as (reader, _):
            has_current_words = reader.has_current_words
        if not has_current_words:
            transactions.commit(lambda writer: writer.rebuild_words())  # also brings the catalog up to date
        if self._maintenance is not None:
            self._maintenance.compact()

    def copy(self, path: str | os.PathLike[str], *, replace: bool = False) -> None:
        """Write a copy into another directory. Writers wait. A crash leaves a complete copy, or one that is not opened.

        With ``replace``, an earlier copy may be there, or the index itself; see `Index.copy`.

        Raises:
            InvalidRequestError: The directory has something in it, or is inside this one.
            IndexLockedError: Another copy is being written there, or the one there is open for writing.
            StorageError: Writing failed; what was written is removed.
        """
        transactions = self._writable()
        target = resolve_root(path)
        if replace and target.exists() and target.samefile(self._root):
            return
        if not replace:
            check_target(self._root, target)
        with transactions.hold(), self._states.reading() as (_, snapshot):
            replaces = replace and check_target(self._root, target, may_be_earlier_copy=snapshot.generation)
            with copied_to(target, snapshot, replaces=replaces) as directory:
                copy_folders(snapshot.folders, directory)
                self._opened.catalog.copy(directory)

    def _commit(self, change: Callable[[Writer], _Result]) -> _Result:
        return self._writable().commit(change)

    def _discard(self, name: str) -> None:
        if self._maintenance is not None:
            self._maintenance.discard(name)

    def _tidy(self, added_tokens: int = 0) -> None:
        if self._maintenance is not None:
            self._maintenance.tidy(added_tokens)

    def _writable(self) -> Transactions:
        transactions = self._transactions
        if self._is_reader:
            raise ReadOnlyIndexError(f"The index at {self._root} is open with read_only=True.")
        if self._states.pinned is not None:
            raise InvalidRequestError("Nothing can be written inside one_state().")
        if transactions is None or (self._is_closed and not transactions.is_inherited):
            raise IndexClosedError("The index is closed. Open it again.")
        transactions.check()
        self._opened.location.check()  # of a shared engine, each opening has its own path
        return transactions
