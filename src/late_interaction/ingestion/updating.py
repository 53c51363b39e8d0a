"""Bring an index up to date with the passages of files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from late_interaction.documents import Document
from late_interaction.engines.records import LEGACY_ROOT
from late_interaction.errors import InvalidRequestError
from late_interaction.ingestion.moved import Moved
from late_interaction.ingestion.naming import Naming, Passage
from late_interaction.ingestion.places import Places
from late_interaction.ingestion.progress import Progress
from late_interaction.ingestion.roots import Roots
from late_interaction.ingestion.vanished import Reading, find_stale
from late_interaction.retrieval.encoding import encode_documents, refusal
from late_interaction.retrieval.truncation import Truncation

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
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
        updated: Stored with a new id, new metadata or a new page image path, and not encoded again.
        unknown_root: Stored by an earlier release, which did not record their folder. `update` never deletes them.
        added_by_source: The number of those added, by file name.
        deleted_by_source: The number of those deleted, by file name.
    """

    added: int
    unchanged: int
    deleted: int
    updated: int = 0
    unknown_root: int = 0
    added_by_source: Mapping[str, int] = field(default_factory=dict, compare=False)
    deleted_by_source: Mapping[str, int] = field(default_factory=dict, compare=False)

    def __add__(self, other: Changes) -> Changes:
        """Return the changes of both updates."""
        return Changes(
            self.added + other.added,
            self.unchanged + other.unchanged,
            self.deleted + other.deleted,
            self.updated + other.updated,
            max(self.unknown_root, other.unknown_root),  # not a change: of the same index
            {**self.added_by_source, **other.added_by_source},
            {**self.deleted_by_source, **other.deleted_by_source},
        )


def update(
    index: Index,
    documents: Iterable[Document],
    *,
    roots: Collection[str | os.PathLike[str]] = (),
    keep: Collection[str | os.PathLike[str]] = (),
    allow_empty: bool = False,
    progress: bool = False,
    expected: Mapping[str, int] | None = None,
    dry_run: bool = False,
    on_skip: Callable[[Path, str], None] | None = None,
) -> Changes:
    """Add these passages, replace changed ones, and delete stored passages that are no longer in their files.

    Each file gets a name relative to a root that the index stores (see `late_interaction.ingestion.roots`). Ids and the
    metadata ``source`` begin with this name, so they depend neither on the current folder nor on how the path is
    written. Only documents that were read from a root are replaced or deleted, never documents added in other ways.

    Passages that are already stored are not encoded again. They get new ids if their file was moved from one of the
    places in ``roots`` (a page image from anywhere), or if passages before them were added or removed. Every few
    hundred passages, or few dozen page images, are committed, so an interrupted run can be resumed.

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
        progress: Show a progress bar, with the rate in passages or pages.
        expected: About how many passages each file has, by its ``source`` (see
            `late_interaction.readers.expected_documents`), for a total and the time left on the progress bar.
        dry_run: Write nothing, and return what would change. The index may be open for reading.
        on_skip: Called with each skipped file or folder and the reason. Skipped are documents that the encoder cannot
            encode (for example very long and narrow pages), documents whose id belongs to a stored document from
            another source, and folders that are now empty. Without ``on_skip``, each of these is an error.

    Raises:
        InvalidRequestError: Deleting needs ``allow_empty``; new passages were added, and nothing was deleted. Or
            something must be skipped, and there is no ``on_skip``.
    """
    known = Roots(index.engine, dry_run=dry_run)
    places = Places(roots)
    known.follow(places.real)
    naming = Naming(known, places)
    truncation = Truncation()
    reading = Reading(places.real)
    moved = Moved(index, known, reading, lambda: places.paths_of(keep))
    unchanged = updated = 0
    added: Counter[str] = Counter()
    renamed: set[str] = set()  # by a dry run: passages that would have another id now
    unit = "pages" if index.modalities == ("image",) else "passages"
    with Progress(expected or {}, unit, is_shown=progress) as bar:
        for batch in _batches(naming.named(documents)):
            for passage in batch:
                bar.read(passage.given.as_posix())
            sorted_out = _sort_out(index, batch, moved, on_skip or _refuse)
            bar.done(len(batch) - len(sorted_out.changed))
            if sorted_out.has_writes and not dry_run:
                known.record()
                sorted_out.write(index, truncation, bar.done)
            added.update(_source(passage.document) for passage in sorted_out.changed.values())
            updated += len(sorted_out.updated) + len(sorted_out.stored_ids)
            unchanged += sorted_out.unchanged + len(sorted_out.adopted)
            if dry_run:
                renamed.update(sorted_out.stored_ids.values())
            for passage in batch:
                reading.note(passage)
    truncation.warn()
    kept = places.paths_of(keep)
    found = find_stale(index.engine, known, reading, kept, allow_empty=allow_empty, on_skip=on_skip)
    stale = [document_id for document_id in found if document_id not in renamed]
    deleted = Counter(source for ids in _in_groups(stale) for source in map(_source, index.get(ids)))
    if stale and not dry_run:
        index.delete(stale)
    unknown = sum(1 for _ in index.engine.scan(root=LEGACY_ROOT, fields=()))
    return Changes(sum(added.values()), unchanged, len(stale), updated, unknown, added, deleted)


@dataclass(frozen=True)
class _SortedOut:
    """A batch of passages, sorted by what must be written."""

    changed: dict[str, Passage]  # by id: must be encoded
    updated: list[Passage]  # only fields changed that are not encoded
    renamed: list[Passage]  # stored with another id
    stored_ids: dict[str, str]  # the ids of these in the index, by their new ids
    adopted: list[Passage]  # unchanged, but stored without a root by an earlier release
    unchanged: int

    @property
    def has_writes(self) -> bool:
        return bool(self.changed or self.updated or self.renamed or self.adopted)

    def write(self, index: Index, truncation: Truncation, report: Callable[[int], object]) -> None:
        for root in {passage.root for passage in (*self.updated, *self.adopted)}:
            index.engine.update_documents([passage.document for passage in self.updated if passage.root == root], root)
            adopted = [passage.document.id for passage in self.adopted if passage.root == root]
            if adopted:
                index.engine.set_root(adopted, root)
        if self.changed:
            index.engine.upsert(self._encoded(index, truncation, report))
        else:
            self._rename(index)

    def _encoded(self, index: Index, truncation: Truncation, report: Callable[[int], object]) -> Iterator[Record]:
        documents = [passage.document for passage in self.changed.values()]
        for record in encode_documents(index.encoder, documents, report, truncation=truncation):
            yield replace(record, root=self.changed[record.document.id].root)
        # Not before all are encoded: some replace passages that are renamed, which would be missing meanwhile.
        self._rename(index)

    def _rename(self, index: Index) -> None:
        for root in {passage.root for passage in self.renamed}:
            documents = [passage.document for passage in self.renamed if passage.root == root]
            stored_ids = {document.id: self.stored_ids[document.id] for document in documents}
            index.engine.update_documents(documents, root, stored_ids=stored_ids)


def _sort_out(index: Index, batch: list[Passage], moved: Moved, skip: Callable[[Path, str], None]) -> _SortedOut:
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
    renamed: list[Passage] = []
    stored_ids: dict[str, str] = {}
    for document_id, stored in (moved.find(batch, changed, held) if changed else {}).items():
        passage = changed.pop(document_id)
        renamed.append(replace(passage, document=_with_kept_image(passage.document, stored)))
        stored_ids[document_id] = stored.id
    return _SortedOut(changed, updated, renamed, stored_ids, adopted, unchanged)


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


def _source(document: Document) -> str:
    return str(document.metadata["source"])


def _in_groups(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _COMMIT_PASSAGES):
        yield ids[start : start + _COMMIT_PASSAGES]


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
