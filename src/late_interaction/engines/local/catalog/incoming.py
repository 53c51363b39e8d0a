"""Hold the documents of one upsert outside of the catalog, until one short transaction adds them all."""

from __future__ import annotations

import marshal
import tempfile
from io import BufferedReader, BytesIO
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from late_interaction.engines.local.catalog.document_rows import DocumentRow, field_rows
from late_interaction.engines.local.catalog.stored_words import DocumentWords, words_of
from late_interaction.engines.local.storage.files import disk_errors, write_all
from late_interaction.errors import DuplicateIdError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from late_interaction.documents import Document
    from late_interaction.engines.local.catalog.document_rows import FieldRow
    from late_interaction.words import Tokenizer

__all__ = ["Incoming", "IncomingRow"]

_MAX_BUFFER_BYTES = 1 << 20  # more rows are written to an unnamed file in the index directory
_LENGTH_BYTES = 8


class IncomingRow(NamedTuple):
    """A document to add.

    Attributes:
        document: Its row.
        fields: The values in its metadata, as filters find them.
        words: Its words; None in an index whose words are those of an older format.
        truncated: See `Record`.
        keeps_vectors: It has no vectors of its own, but those of the stored document.
    """

    document: DocumentRow
    fields: list[FieldRow]
    words: DocumentWords | None
    truncated: bool
    keeps_vectors: bool


class Incoming:
    """The documents to add, in order. Those with vectors have them in the new segment in the same order.

    Args:
        root: The directory of the index, in which a temporary file holds the rows if there are many.
        tokenizer: Splits texts into words; None in an index whose words are those of an older format.
    """

    def __init__(self, root: Path, tokenizer: Tokenizer | None) -> None:
        self._root = root
        self._tokenizer = tokenizer
        self._buffer = bytearray()
        self._file: FileIO | None = None  # unbuffered: a forked child has nothing to write a second time
        self._ids: dict[str, None] = {}
        self._has_kept = False

    @property
    def ids(self) -> list[str]:
        """The ids of the documents, in order."""
        return list(self._ids)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def append(
        self, document: Document, root: int | None, *, truncated: bool = False, keeps_vectors: bool = False
    ) -> None:
        """Append a document that was read from this root. See `IncomingRow` for the other arguments.

        Raises:
            DuplicateIdError: Another document has the same id.
            StorageError: The temporary file cannot be written.
        """
        if document.id in self._ids:
            raise DuplicateIdError(f"The id {document.id!r} occurs twice in one call. Nothing was added.")
        self._ids[document.id] = None
        self._has_kept = self._has_kept or keeps_vectors
        words = () if self._tokenizer is None else words_of(document.text_to_encode, self._tokenizer)
        columns, fields = tuple(DocumentRow.of(document, root)), list(field_rows(document.metadata))
        row = marshal.dumps((columns, fields, tuple(words), truncated, keeps_vectors))
        self._buffer += len(row).to_bytes(_LENGTH_BYTES, "little") + row
        if len(self._buffer) > _MAX_BUFFER_BYTES:
            self._spill()

    def __iter__(self) -> Iterator[IncomingRow]:
        """Yield the documents. Only this process can have written the rows it unmarshals: the file has no name."""
        sources: list[BinaryIO] = [BytesIO(self._buffer)]
        if self._file is not None:
            self._file.seek(0)
            sources.insert(0, BufferedReader(self._file))
        for source in sources:
            while length := source.read(_LENGTH_BYTES):
                values = marshal.loads(source.read(int.from_bytes(length, "little")))  # noqa: S302  # see above
                row, fields, words, *flags = values
                yield IncomingRow(DocumentRow(*row), fields, DocumentWords(*words) if words else None, *flags)

    def kept(self) -> Iterator[DocumentRow]:
        """Yield the documents that keep the stored vectors."""
        return (row.document for row in (self if self._has_kept else ()) if row.keeps_vectors)

    def _spill(self) -> None:
        with disk_errors(self._root):
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._root, buffering=0)  # noqa: SIM115  # see `__exit__`
            write_all(self._file, self._buffer)
        self._buffer.clear()
