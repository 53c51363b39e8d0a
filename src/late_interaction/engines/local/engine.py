"""The local engine: a directory that holds documents, their metadata and their token vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

from late_interaction.engines.local.adding import Target, add_records
from late_interaction.engines.local.catalog.document_rows import DocumentRow, field_rows
from late_interaction.engines.local.catalog.settings import check_dim
from late_interaction.engines.local.copying import check_target, copy_folders, reserved
from late_interaction.engines.local.maintenance import Maintenance
from late_interaction.engines.local.opening import has_index, look_around, open_directory, resolve_root
from late_interaction.engines.local.quantization.codecs import BITS
from late_interaction.engines.local.reading import Reading
from late_interaction.engines.local.search.device import Device
from late_interaction.engines.local.storage.names import Taken
from late_interaction.engines.local.transactions import Transactions
from late_interaction.errors import (
    InvalidRequestError,
    InvalidVectorsError,
    ReadOnlyIndexError,
)
from late_interaction.filters import check_restricting, parse
from late_interaction.validation import check_ids
from late_interaction.words import DEFAULT_LANGUAGE, check_language

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from late_interaction.documents import Document
    from late_interaction.engines.local.catalog.writer import Writer
    from late_interaction.engines.local.opening import Opened
    from late_interaction.engines.records import Record
    from late_interaction.filters import Where

__all__ = ["LocalEngine"]

_Result = TypeVar("_Result")

_DEFAULT_BITS = 4


class LocalEngine(Reading):
    """Token vectors and documents in one directory: compressed, with durable commits, many readers and one writer.

    Open one with `LocalEngine.open`. Any thread may call any method. A search sees the last commit of any process; a
    write is one transaction that survives a crash once it has returned.

    Example:
        >>> import numpy as np, tempfile
        >>> from late_interaction import Document
        >>> from late_interaction.engines import Record
        >>> engine = LocalEngine.open(tempfile.mkdtemp(), dim=2)
        >>> engine.upsert([Record(Document("east", id="e"), np.array([[1.0, 0.0]]))])
        ['e']
        >>> engine.search([[1.0, 0.0]], k=1)[0].score
        1.0
        >>> engine.close()
    """

    def __init__(self, opened: Opened, device: Device | None) -> None:
        super().__init__(opened, device)
        self._transactions: Transactions | None = None
        self._maintenance: Maintenance | None = None
        if opened.lock is not None:
            self._transactions = Transactions(opened.location, opened.catalog, opened.lock)
            self._maintenance = Maintenance(opened.catalog, self._transactions, self._states)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        dim: int | None = None,
        bits: int | Literal["default"] | None = "default",
        language: str | None = "default",
        device: str | None = None,
        read_only: bool = False,
    ) -> LocalEngine:
        """Open the index in a directory, creating it if ``dim`` is given and there is none.

        Args:
            path: The directory. A new index needs one that is empty or does not exist.
            dim: Dimension of the token vectors; may be left out for an index that exists.
            bits: 1, 2, 4 (the default) or 8 for each dimension of a compressed vector, or None to keep vectors exact.
                May be left out for an index that exists.
            language: Language of the words of lexical search, for example ``english`` (the default), which are reduced
                to stems; None for no stems. May be left out for an index that exists.
            device: Score compressed documents on this device of torch, for example ``cuda``; None or ``cpu`` for the
                processor.
            read_only: Do not write, and do not take the writer's lock.

        Raises:
            IndexNotFoundError: The directory has no index, and ``dim`` is not given.
            IndexLockedError: Another writer has it open.
            InvalidVectorsError: The index has another dimension.
            InvalidRequestError: The index has other bits or another language, or one of these is not an allowed value;
                a new index in a directory that has something else in it.
            CorruptIndexError: The files are damaged.
            StorageError: The directory cannot be read or written.
        """
        if bits not in (None, "default") and (type(bits) is not int or bits not in BITS):
            raise InvalidRequestError(f"bits must be one of {', '.join(map(str, BITS))} or None, got {bits!r}.")
        if language != "default":
            check_language(language)
        exists = has_index(path)
        if dim is not None:
            check_dim(dim, compressed=not exists and bits is not None)
        on_device = None if device in (None, "cpu") else Device(device)
        opened = open_directory(
            path,
            dim=dim,
            bits=_DEFAULT_BITS if bits == "default" else bits,
            language=DEFAULT_LANGUAGE if language == "default" else language,
            read_only=read_only,
        )
        try:
            engine = cls(opened, on_device)
            if dim is not None and dim != engine.dim:
                raise InvalidVectorsError(
                    f"The index at {engine.path} holds vectors of dimension {engine.dim}, not {dim}."
                )
            if bits not in ("default", engine.bits):
                raise InvalidRequestError(
                    f"The index at {engine.path} was created with bits={engine.bits}, not {bits}."
                )
            if language not in ("default", engine.language):
                raise InvalidRequestError(
                    f"The index at {engine.path} was created with language={engine.language!r}, not {language!r}."
                )
            look_around(opened, engine._states, engine._transactions, engine._maintenance)
        except BaseException:
            opened.close()
            raise
        return engine

    @property
    def read_only(self) -> bool:
        """Whether writing is refused: also in a process that was forked from the writer."""
        return self._transactions is None or self._transactions.is_inherited

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

    def update_documents(self, documents: Iterable[Document], root: int | None) -> int:
        """Replace the text, metadata and page image of stored documents, and keep their vectors; return their number.

        For documents of which nothing changed that is encoded. Record that they were read from this root.

        Raises:
            UnknownIdError: The index holds no document of an id. Nothing is changed.
        """
        # Rows are made before the transaction begins: a thumbnail may have to be rendered.
        rows = [(DocumentRow.of(document, root), list(field_rows(document.metadata))) for document in documents]
        return self._commit(lambda writer: writer.update_documents(rows)) if rows else 0

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

    def copy(self, path: str | os.PathLike[str]) -> None:
        """Write a copy into another directory. Writers wait. A crash leaves a complete copy, or one that is not opened.

        Raises:
            InvalidRequestError: The directory has something in it, or is inside this one.
            IndexLockedError: Another copy is being written there.
            StorageError: Writing failed; what was written is removed.
        """
        transactions = self._writable()
        target = resolve_root(path)
        check_target(self._root, target)
        with transactions.hold(), self._states.reading() as (_, snapshot), reserved(target, snapshot.names):
            copy_folders(snapshot.folders, target)
            self._opened.catalog.copy(target)

    def close(self) -> None:
        """Release files and locks. Closing twice is no error."""
        if self._transactions is None:
            self._opened.close()
        else:
            with self._transactions.hold():
                if self._maintenance is not None and not self.read_only:
                    self._maintenance.close()
                self._transactions.close()
                self._opened.close()

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LocalEngine({str(self._root)!r}, dim={self._dim}, read_only={self.read_only})"

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
            ids, used = add_records(
                Target(self._root, self._dim, transactions, names, tokenizer), records, encode, replacing
            )
        finally:
            for name in names.taken:
                if name not in used:
                    self._discard(name)
        self._tidy()
        return ids

    def _commit(self, change: Callable[[Writer], _Result]) -> _Result:
        return self._writable().commit(change)

    def _discard(self, name: str) -> None:
        if self._maintenance is not None:
            self._maintenance.discard(name)

    def _tidy(self) -> None:
        if self._maintenance is not None:
            self._maintenance.tidy()

    def _writable(self) -> Transactions:
        if self._transactions is None:
            raise ReadOnlyIndexError(f"The index at {self._root} is open with read_only=True.")
        if self._states.pinned is not None:
            raise InvalidRequestError("Nothing can be written inside one_state().")
        self._transactions.check()
        return self._transactions
