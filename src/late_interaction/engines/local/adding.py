"""Add the records of one upsert: write vectors into a new segment, hold the documents, then commit both at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from late_interaction.documents import Document
from late_interaction.engines.local.catalog.incoming import Incoming
from late_interaction.engines.local.catalog.writer import Kept
from late_interaction.engines.local.storage.segment_writer import SegmentWriter
from late_interaction.errors import InvalidVectorsError
from late_interaction.validation import check_vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from late_interaction.engines.local.catalog.writer import Writer
    from late_interaction.engines.local.storage.names import Taken
    from late_interaction.engines.local.storage.segment import SegmentEntry
    from late_interaction.engines.local.transactions import Transactions
    from late_interaction.engines.records import Record
    from late_interaction.filters import Where
    from late_interaction.words import Tokenizer

__all__ = ["Target", "add_records"]


class Target(NamedTuple):
    """Where records are added.

    Attributes:
        root: The directory of the index.
        dim: Dimension of the token vectors.
        transactions: Its write transactions.
        names: Names for new segments.
        tokenizer: Splits texts into words; None in an index whose words are those of an older format.
    """

    root: Path
    dim: int
    transactions: Transactions
    names: Taken
    tokenizer: Tokenizer | None


class _VectorsLostError(Exception):
    """Documents that keep the stored vectors were deleted or replaced since they were compared.

    Attributes:
        documents: The documents.
    """

    def __init__(self, documents: list[Document]) -> None:
        super().__init__(documents)
        self.documents = documents


def add_records(
    target: Target,
    records: Iterable[Record | Document],
    encode: Callable[[list[Document]], Iterable[Record]] | None,
    replacing: Where | None,
) -> tuple[list[str], set[str], int]:
    """Write records into new segments and commit them.

    Returns:
        The ids, in order, the names of the segments, and the number of their tokens.

    Without vectors there is no segment. See `LocalEngine.upsert_keeping`.

    Args:
        target: Where to.
        records: Records, and with ``encode`` documents that keep the stored vectors.
        encode: Returns the records of documents whose stored vectors are lost.
        replacing: Delete the documents that pass this filter first.
    """
    with Incoming(target.root, target.tokenizer) as incoming:
        entry = _write(target, records, incoming, keeping=encode is not None)
        encoded: list[tuple[SegmentEntry, dict[str, bool]]] = []  # documents whose vectors were lost meanwhile

        def change(writer: Writer) -> None:
            kept = _kept(writer, incoming, {one for _, truncated in encoded for one in truncated})
            for segment, truncated in encoded:
                number = writer.add_segment(segment)
                kept |= {one: Kept((number, at), truncated[one]) for at, one in enumerate(truncated)}
            if replacing is not None:
                writer.delete_where(replacing)
            writer.add(incoming, entry, kept)

        while incoming.ids or replacing is not None:
            try:
                target.transactions.commit(change)
                break
            except _VectorsLostError as lost:
                if encode is None:  # never: without it, no document keeps its vectors
                    raise
                documents = lost.documents
            encoded.append(_write_again(target, encode(documents), documents))
        added = [segment for segment in (entry, *(segment for segment, _ in encoded)) if segment is not None]
        return incoming.ids, {segment.name for segment in added}, sum(segment.tokens for segment in added)


def _write_again(
    target: Target, records: Iterable[Record], documents: list[Document]
) -> tuple[SegmentEntry, dict[str, bool]]:
    """Write the vectors of these documents into a segment; return it with the ids in their order, and what was cut."""
    with Incoming(target.root, None) as incoming:
        entry = _write(target, records, incoming, keeping=False)
        if entry is None or incoming.ids != [document.id for document in documents]:
            raise InvalidVectorsError(f"encode must return a record of each of {len(documents)} documents, in order.")
        return entry, {row.document.id: row.truncated for row in incoming}


def _write(
    target: Target, records: Iterable[Record | Document], incoming: Incoming, *, keeping: bool
) -> SegmentEntry | None:
    """Hold the documents of records, and write their vectors into a new segment; None if no record has vectors.

    Args:
        target: Where to.
        records: The records.
        incoming: Holds the documents.
        keeping: Whether there may be documents without vectors, which keep the stored ones.
    """
    check_process = target.transactions.check_process
    has_vectors = False
    with SegmentWriter(target.root, target.names.take(), target.dim) as files:
        for record in records:
            check_process()  # the iterable may fork: the child shares the open files
            if isinstance(record, Document):
                if not keeping:
                    raise InvalidVectorsError(f"{record.id!r} has no vectors: pass Record(document, vectors).")
                incoming.append(record, None, keeps_vectors=True)
                continue
            vectors = check_vectors(record.vectors, target.dim, f"Vectors of {record.document.id!r}")
            incoming.append(record.document, record.root, truncated=record.truncated)
            files.append_documents([len(vectors)], vectors=vectors)
            has_vectors = True
        check_process()
        return files.finish_segment() if has_vectors else None


def _kept(writer: Writer, incoming: Incoming, encoded: set[str]) -> dict[str, Kept]:
    """Return the stored vectors that documents keep, by id, but for those that were encoded since.

    Raises:
        _VectorsLostError: A stored document has meanwhile other content, or is gone.
    """
    found: dict[str, Kept] = {}
    lost: list[Document] = []
    for document, kept in writer.kept(one for one in incoming.kept() if one.id not in encoded):
        if kept is None:
            lost.append(document.document())
        else:
            found[document.id] = kept
    if lost:
        raise _VectorsLostError(lost)
    return found
