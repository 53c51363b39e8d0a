"""Bring an index up to date with the passages of files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tqdm import tqdm

from late_interaction.documents import Document
from late_interaction.engines.records import LEGACY_ROOT
from late_interaction.errors import InvalidRequestError
from late_interaction.ingestion.naming import Naming, Passage
from late_interaction.ingestion.roots import Roots, real_path
from late_interaction.ingestion.vanished import Reading, find_stale
from late_interaction.retrieval.encoding import encode_documents, refusal
from late_interaction.retrieval.truncation import Truncation

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

    from late_interaction.engines import Record
    from late_interaction.index import Index

__all__ = ["Changes", "update"]

_COMMIT_PASSAGES = 512  # in one commit; after a crash, the next run encodes at most this many again
_PAGE_COST = 16  # in passages: encoding a page image takes at least as long as this many


@dataclass(frozen=True)
class Changes:
    """The result of an update, as numbers of passages.

    Attributes:
        added: Encoded, because they are new or have changed.
        unchanged: Already stored.
        deleted: Deleted, because their files were removed or have become shorter.
        updated: Stored with new metadata or a new page image path, and not encoded again.
        unknown_root: Stored by an earlier release, which did not record their folder. `update` never deletes them.
    """

    added: int
    unchanged: int
    deleted: int
    updated: int = 0
    unknown_root: int = 0


def update(
    index: Index,
    documents: Iterable[Document],
    *,
    roots: Collection[str | os.PathLike[str]] = (),
    keep: Collection[str | os.PathLike[str]] = (),
    allow_empty: bool = False,
    progress: bool = False,
    on_skip: Callable[[Path, str], None] | None = None,
) -> Changes:
    """Add these passages, replace changed ones, and delete stored passages that are no longer in their files.

    Each file gets a name relative to a root that the index stores (see `late_interaction.ingestion.roots`). Ids and the
    metadata ``source`` begin with this name, so they depend neither on the current folder nor on how the path is
    written. Only documents that were read from a root are replaced or deleted, never documents added in other ways.

    Passages that are already stored are not encoded again. Every few hundred passages, or few dozen page images, are
    committed, so an interrupted run can be resumed.

    Args:
        index: The index.
        documents: Passages with the metadata ``source`` (the path of the file) and ``passage`` (their number in the
            file, from 0), as `late_interaction.readers.read_paths` returns them.
        roots: Files and folders that were read completely. Stored passages of other files in them are deleted, because
            those files were removed or are now empty.
        keep: Files and folders in ``roots`` whose stored passages are kept. Of a file that was only partly read, the
            passages that were not read are kept. The caller may extend this collection while ``documents`` is read.
        allow_empty: Also delete all stored passages of a file or folder in ``roots`` that no longer has files, and of
            folders that are now empty. An unmounted disk looks the same, so without ``allow_empty`` the first case is
            an error, and the second is skipped.
        progress: Show a progress bar.
        on_skip: Called with each skipped file or folder and the reason. Skipped are documents that the encoder cannot
            encode (for example very long and narrow pages), documents whose id belongs to a stored document from
            another source, and folders that are now empty. Without ``on_skip``, each of these is an error.

    Raises:
        InvalidRequestError: Deleting needs ``allow_empty``; new passages were added, and nothing was deleted. Or
            something must be skipped, and there is no ``on_skip``.
    """
    known = Roots(index.engine)
    known.follow()
    naming = Naming(known, roots)
    truncation = Truncation()
    reading = Reading(places=frozenset(map(real_path, roots)))
    added = unchanged = updated = 0
    with tqdm(desc="Indexing", unit=" passages", disable=not progress) as bar:
        for batch in _batches(naming.named(documents)):
            sorted_out = _sort_out(index, batch, on_skip or _refuse)
            if sorted_out.has_writes:
                known.record()
            sorted_out.write(index, truncation)
            added += len(sorted_out.changed)
            updated += len(sorted_out.updated)
            unchanged += sorted_out.unchanged + len(sorted_out.adopted)
            for passage in batch:
                reading.note(passage)
            bar.update(len(batch))
    truncation.warn()
    kept = frozenset(map(real_path, keep))
    stale = find_stale(index.engine, known, reading, kept, allow_empty=allow_empty, on_skip=on_skip)
    deleted = index.delete(stale) if stale else 0
    unknown = sum(1 for _ in index.engine.scan(root=LEGACY_ROOT, fields=()))
    return Changes(added, unchanged, deleted, updated, unknown)


@dataclass(frozen=True)
class _SortedOut:
    """A batch of passages, sorted by what must be written."""

    changed: dict[str, Passage]  # by id: must be encoded
    updated: list[Passage]  # only fields changed that are not encoded
    adopted: list[Passage]  # unchanged, but stored without a root by an earlier release
    unchanged: int

    @property
    def has_writes(self) -> bool:
        return bool(self.changed or self.updated or self.adopted)

    def write(self, index: Index, truncation: Truncation) -> None:
        for root in {passage.root for passage in (*self.updated, *self.adopted)}:
            index.engine.update_documents([passage.document for passage in self.updated if passage.root == root], root)
            adopted = [passage.document.id for passage in self.adopted if passage.root == root]
            if adopted:
                index.engine.set_root(adopted, root)
        if self.changed:
            index.engine.upsert(self._encoded(index, truncation))

    def _encoded(self, index: Index, truncation: Truncation) -> Iterator[Record]:
        documents = [passage.document for passage in self.changed.values()]
        for record in encode_documents(index.encoder, documents, truncation=truncation):
            yield replace(record, root=self.changed[record.document.id].root)


def _sort_out(index: Index, batch: list[Passage], skip: Callable[[Path, str], None]) -> _SortedOut:
    ids = [passage.document.id for passage in batch]
    with index.engine.one_state():
        held = {document.id: document for document in index.get(ids)}
        owners = index.engine.roots_of(ids)
    changed: dict[str, Passage] = {}
    updated: list[Passage] = []
    adopted: list[Passage] = []
    unchanged = 0
    for passage in batch:
        document, stored, owner = passage.document, held.get(passage.document.id), owners.get(passage.document.id)
        if stored is not None and owner not in (passage.root, LEGACY_ROOT):
            skip(
                passage.given,
                f"the index contains a document {stored.id!r} that was not read from this file; it was not replaced",
            )
        elif stored is not None and document.encoded_content == stored.encoded_content:
            document = _with_kept_image(document, stored)
            if document != stored:
                updated.append(replace(passage, document=document))
            elif owner == LEGACY_ROOT:
                adopted.append(passage)
            else:
                unchanged += 1
        elif reason := refusal(index.encoder, document):
            skip(passage.given, f"{document.id}: {reason}")
        else:
            changed[document.id] = passage
    return _SortedOut(changed, updated, adopted, unchanged)


def _with_kept_image(document: Document, stored: Document) -> Document:
    """Return the document with the stored thumbnail of its page, if there is one."""
    if document.image is None or stored.image is None or not stored.image.has_thumbnail:
        return document
    own = document.image
    image = replace(stored.image, path=own.path, width=own.width, height=own.height)
    return Document(
        document.text,
        image=image,
        id=document.id,
        metadata=document.metadata,
        encoded_text=document.encoded_text,
    )


def _refuse(path: Path, reason: str) -> None:
    raise InvalidRequestError(f"Cannot index {path}: {reason}. Leave it out, or pass on_skip to skip it.")


def _batches(passages: Iterable[Passage]) -> Iterator[list[Passage]]:
    batch: list[Passage] = []
    cost = 0
    for passage in passages:
        batch.append(passage)
        cost += 1 if passage.document.image is None else _PAGE_COST
        if cost >= _COMMIT_PASSAGES:
            yield batch
            batch, cost = [], 0
    if batch:
        yield batch
