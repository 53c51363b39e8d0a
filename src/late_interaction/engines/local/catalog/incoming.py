"""The documents of one upsert, gathered outside of the catalog until one short transaction adds them all."""

from __future__ import annotations

import marshal
import tempfile
from io import BufferedReader, BytesIO
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from late_interaction.engines.local.catalog.document_rows import DocumentRow, field_rows
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

__all__ = ["Incoming", "IncomingRow"]

_BUFFER_BYTES = 1 << 20  # beyond this the rows go to an unnamed file in the index directory
_LENGTH_BYTES = 8


class IncomingRow(NamedTuple):
    """A document on its way into the catalog: its row, and what filters see of its metadata."""

    document: DocumentRow
    fields: list[FieldRow]


class Incoming:
    """Documents on their way into the catalog, in the order of their vectors in the new segment.

    Args:
        root: The directory of the index, on whose disk many documents are kept.

    Attributes:
        ids: Of the documents, in order.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._buffer = bytearray()
        self._file: FileIO | None = None  # unbuffered: a forked child must have nothing to write a second time
        self._ids: dict[str, None] = {}

    @property
    def ids(self) -> list[str]:
        """The ids, in order."""
        return list(self._ids)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def append(self, document: Document, root: int | None) -> None:
        """Take a document.

        Raises:
            DuplicateIdError: A document of the same id was taken before.
            StorageError: The disk does not take it.
        """
        if document.id in self._ids:
            raise DuplicateIdError(f"The id {document.id!r} is given twice in one call. Nothing was added.")
        self._ids[document.id] = None
        row = marshal.dumps((tuple(DocumentRow.of(document, root)), list(field_rows(document.metadata))))
        self._buffer += len(row).to_bytes(_LENGTH_BYTES, "little") + row
        if len(self._buffer) > _BUFFER_BYTES:
            self._spill()

    def __iter__(self) -> Iterator[IncomingRow]:
        """Yield what was taken. The rows come from this process, which wrote them, through a file without a name."""
        sources: list[BinaryIO] = [BytesIO(self._buffer)]
        if self._file is not None:
            self._file.seek(0)
            sources.insert(0, BufferedReader(self._file))
        for source in sources:
            while length := source.read(_LENGTH_BYTES):
                row, fields = marshal.loads(source.read(int.from_bytes(length, "little")))  # noqa: S302  # its own
                yield IncomingRow(DocumentRow(*row), fields)

    def _spill(self) -> None:
        with disk_errors(self._root):
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._root, buffering=0)  # noqa: SIM115  # see `__exit__`
            write_all(self._file, self._buffer)
        self._buffer.clear()
