"""Making an index hold the passages of files, and no others of the same files."""

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

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

    from late_interaction.engines import Record
    from late_interaction.index import Index

__all__ = ["Changes", "update"]

_COMMIT = 512  # passages a crash can lose; the next run goes on from there
_PAGE = 16  # a page image takes as long to encode as so many passages, or longer


@dataclass(frozen=True)
class Changes:
    """What an update did, in passages.

    Attributes:
        added: Encoded, since they are new or have changed.
        unchanged: Held as they are.
        deleted: Of files that are gone or have become shorter.
        updated: Changed in metadata or in the place of a page image alone, and not encoded again.
        unknown_root: Held from an earlier release, which did not record the folder; never deleted.
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
    """Make the index hold these passages of their files, and no others of the same files.

    Each file gets a name (see `late_interaction.ingestion.roots`): ids and the metadata ``source`` begin with its path
    from a root that the index remembers. So a file is the same one whatever the current folder is and however it is
    given. Only documents that were read from a root are ever replaced or deleted; those that were added in another way
    are not.

    What the index holds already is not encoded again. Commits every few hundred passages, or few dozen page images, so
    a run that was interrupted goes on where it stopped.

    Args:
        index: The index.
        documents: Passages with the metadata ``source`` (the path of the file) and ``passage`` (their number in the
            file, from 0), as `late_interaction.readers.read_paths` makes them.
        roots: Files and folders the passages are all there is of: what the index holds of other files in them is
            deleted, since those files have gone or are empty now.
        keep: Files and folders in ``roots`` that are left as they are, of a file that was read in part what was not
            read; may be added to while ``documents`` is read.
        allow_empty: Delete also everything that the index holds of a file or folder in ``roots`` in which there is no
            file any more, and of folders that are empty now. Unmounted disks look like that, so without it the first
            is an error, and the second is skipped.
        progress: Show a progress bar.
        on_skip: Called with a file or folder that is skipped, and the reason; the rest goes on. Skipped are a document
            that the encoder cannot encode (a page too long and thin, for example) or whose id the index holds of a
            document that is not from this file, and a folder that is empty now. Without it each of these is an error.

    Raises:
        InvalidRequestError: ``allow_empty`` would be needed; what was read is added, and nothing is deleted. Or,
            without `on_skip`, something would be skipped.
    """
    known = Roots(index.engine)
    known.follow()
    naming = Naming(known, roots)
    reading = Reading(places=frozenset(map(real_path, roots)))
    added = unchanged = updated = 0
    with tqdm(desc="Indexing", unit=" passages", disable=not progress) as bar:
        for batch in _batches(naming.named(documents)):
            sorted_out = _sort_out(index, batch, on_skip or _refuse)
            if sorted_out.has_writes:
                known.record()
            sorted_out.write(index)
            added += len(sorted_out.changed)
            updated += len(sorted_out.updated)
            unchanged += sorted_out.unchanged + len(sorted_out.adopted)
            for passage in batch:
                reading.note(passage)
            bar.update(len(batch))
    kept = frozenset(map(real_path, keep))
    stale = find_stale(index.engine, known, reading, kept, allow_empty=allow_empty, on_skip=on_skip)
    deleted = index.delete(stale) if stale else 0
    unknown = sum(1 for _ in index.engine.scan(root=LEGACY_ROOT))
    return Changes(added, unchanged, deleted, updated, unknown)


@dataclass(frozen=True)
class _SortedOut:
    """What is to be done with a batch of passages."""

    changed: dict[str, Passage]  # by id: to be encoded
    updated: list[Passage]  # changed in what is not encoded
    adopted: list[Passage]  # held as they are, from a root that was not recorded
    unchanged: int

    @property
    def has_writes(self) -> bool:
        return bool(self.changed or self.updated or self.adopted)

    def write(self, index: Index) -> None:
        for root in {passage.root for passage in (*self.updated, *self.adopted)}:
            index.engine.update_documents([passage.document for passage in self.updated if passage.root == root], root)
            adopted = [passage.document.id for passage in self.adopted if passage.root == root]
            if adopted:
                index.engine.set_root(adopted, root)
        if self.changed:
            index.engine.upsert(self._encoded(index))

    def _encoded(self, index: Index) -> Iterator[Record]:
        for record in encode_documents(index.encoder, [passage.document for passage in self.changed.values()]):
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
            skip(passage.given, f"the index holds a document {stored.id!r} that was not read from this file; it stays")
        elif stored is not None and _is_encoded_alike(document, stored):
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


def _is_encoded_alike(document: Document, stored: Document) -> bool:
    """Whether the vectors of the stored document are those of the other."""
    if document.image is not None and stored.image is not None:
        return (document.image.digest, document.image.page) == (stored.image.digest, stored.image.page)
    return document.image is stored.image is None and document.text_to_encode == stored.text_to_encode


def _with_kept_image(document: Document, stored: Document) -> Document:
    """The document with the thumbnail that the index keeps of its page, if there is one."""
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
    raise InvalidRequestError(f"{path} cannot be indexed: {reason}. Leave it out, or pass on_skip to skip it.")


def _batches(passages: Iterable[Passage]) -> Iterator[list[Passage]]:
    batch: list[Passage] = []
    cost = 0
    for passage in passages:
        batch.append(passage)
        cost += 1 if passage.document.image is None else _PAGE
        if cost >= _COMMIT:
            yield batch
            batch, cost = [], 0
    if batch:
        yield batch
