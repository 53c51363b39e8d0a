"""Add the records of one upsert: write vectors into a new segment, hold the documents, then commit both at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from late_interaction.engines.local.catalog.incoming import Incoming
from late_interaction.engines.local.storage.segment import SegmentWriter
from late_interaction.validation import check_vectors

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from late_interaction.engines.local.catalog.writer import Writer
    from late_interaction.engines.local.transactions import Transactions
    from late_interaction.engines.records import Record
    from late_interaction.filters import Where
    from late_interaction.words import Tokenizer

__all__ = ["add_records"]


def add_records(
    root: Path,
    dim: int,
    transactions: Transactions,
    name: str,
    records: Iterable[Record],
    replacing: Where | None,
    tokenizer: Tokenizer | None,
) -> list[str]:
    """Write records into a new segment of this name and commit them; return the ids, in order.

    Without any record there is no segment. See `LocalEngine.upsert`.
    """
    with Incoming(root, tokenizer) as incoming:
        with SegmentWriter(root, name, dim) as files:
            for record in records:
                transactions.check_process()  # the iterable may fork: the child shares the open files
                vectors = check_vectors(record.vectors, dim, f"Vectors of {record.document.id!r}")
                incoming.append(record)
                files.append_documents([len(vectors)], vectors=vectors)
            transactions.check_process()
            entry = files.finish_segment() if incoming.ids else None

        def change(writer: Writer) -> None:
            if replacing is not None:
                writer.delete_where(replacing)
            if entry is not None:
                writer.add(incoming, entry)

        if entry is not None or replacing is not None:
            transactions.commit(change)
        return incoming.ids
