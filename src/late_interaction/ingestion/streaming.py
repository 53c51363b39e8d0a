"""Add a stream of documents with ids of their own in many commits, so that an interrupted run can be resumed."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from late_interaction.errors import DuplicateIdError
from late_interaction.ingestion.progress import Progress
from late_interaction.ingestion.updating import Changes
from late_interaction.retrieval.encoding import encode_documents
from late_interaction.retrieval.truncation import Truncation
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from late_interaction.documents import Document
    from late_interaction.index import Index

__all__ = ["add_stream"]

_COMMIT_DOCUMENTS = 512  # in one commit; after an interruption, the next run encodes at most this many again


def add_stream(
    index: Index,
    documents: Iterable[Document],
    *,
    name: str,
    progress: bool = False,
    expected: int | None = None,
    dry_run: bool = False,
) -> Changes:
    """Add documents that the index does not hold, and replace those that have changed. Nothing is deleted.

    What is stored already is not encoded again. Every few hundred documents are committed. A document that was read
    from a file remains one of this file, unless its metadata ``source`` or ``passage`` differs.

    Args:
        index: The index.
        documents: The documents.
        name: The name of the stream, for `Changes.added_by_source`.
        progress: Show a progress bar.
        expected: About how many documents there are, for the time left on the progress bar.
        dry_run: Write nothing, and return what would change.

    Raises:
        DuplicateIdError: Two documents have the same id. Those committed before were added, and the message says how
            many these are.
    """
    added = updated = unchanged = 0
    stream = _unique(documents, name, dry_run=dry_run)
    truncation = Truncation()
    unit = "pages" if index.modalities == ("image",) else "documents"
    with Progress({name: expected} if expected else {}, unit, is_shown=progress) as bar:
        while batch := list(islice(stream, _COMMIT_DOCUMENTS)):
            held, roots = _held(index, batch)
            changed: list[Document] = []
            updates: list[Document] = []  # of what is not encoded
            for document in batch:
                bar.read(name)
                stored = held.get(document.id)
                if stored is None or document.encoded_content != stored.encoded_content:
                    changed.append(document)
                elif document != stored:
                    updates.append(document)
            bar.done(len(batch) - len(changed))
            if updates and not dry_run and not index.engine.capabilities.sources:
                index.add(updates)  # with the stored vectors, if the engine returns them
            elif updates and not dry_run:
                for root in {roots.get(document.id) for document in updates}:
                    of_root = [document for document in updates if roots.get(document.id) == root]
                    index.engine.update_documents(of_root, root)
            if changed and not dry_run:
                records = encode_documents(index.encoder, changed, bar.done, truncation=truncation)
                index.engine.upsert(replace(record, root=roots.get(record.document.id)) for record in records)
            added += len(changed)
            updated += len(updates)
            unchanged += len(batch) - len(changed) - len(updates)
    truncation.warn()
    return Changes(added, unchanged, 0, updated, added_by_source={name: added} if added else {})


def _held(index: Index, batch: list[Document]) -> tuple[dict[str, Document], dict[str, int]]:
    """Return the stored documents with the ids of a batch, and the roots of those that are still of the same file."""
    ids = [document.id for document in batch]
    with index.engine.one_state():
        held = {document.id: document for document in index.get(ids)}
        owners = index.engine.roots_of(ids) if index.engine.capabilities.sources else {}
    roots = {
        document.id: root
        for document in batch
        if (root := owners.get(document.id)) is not None
        and all(document.metadata.get(key) == held[document.id].metadata.get(key) for key in ("source", "passage"))
    }
    return held, roots


def _unique(documents: Iterable[Document], name: str, *, dry_run: bool) -> Iterator[Document]:
    """Yield the documents. Equal documents without an id of their own are yielded once."""
    seen: dict[str, bool] = {}
    for number, document in enumerate(documents, start=1):
        if document.id not in seen:
            seen[document.id] = document.has_content_id
            yield document
        elif not (seen[document.id] and document.has_content_id):
            committed = 0 if dry_run else len(seen) - len(seen) % _COMMIT_DOCUMENTS
            done = (
                f"The first {counted(committed, 'document')} were added"
                if committed
                else "None of its documents was added"
            )
            raise DuplicateIdError(
                f"{name}: Document {number:,} has the id {document.id!r}, which occurs before. {done}. Give each "
                "document an id of its own."
            )
