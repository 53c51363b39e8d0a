"""Bringing an index up to date with a stream of passages, as the command line does with folders."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from tqdm import tqdm

from late_interaction.documents import Document
from late_interaction.encoding import refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from late_interaction.encoders import Encoder
    from late_interaction.index import Index

__all__ = ["Changes", "update"]

_COMMIT = 512  # passages a crash can lose; the next run goes on from there
_PAGE = 16  # a page image takes as long to encode as so many passages, or longer


@dataclass(frozen=True)
class Changes:
    """What an update did, in passages."""

    added: int
    unchanged: int
    deleted: int


def update(
    index: Index,
    documents: Iterable[Document],
    *,
    roots: Collection[str | os.PathLike[str]] = (),
    keep: Collection[str] = (),
    progress: bool = False,
    on_skip: Callable[[Path, str], None] | None = None,
) -> Changes:
    """Make the index hold these passages of their sources, and no others of the same sources.

    Passages the index holds already are not encoded again. Commits every few hundred passages, or few dozen page
    images, so a run that was interrupted goes on where it stopped.

    Args:
        index: The index.
        documents: Passages with the metadata ``source`` and ``passage`` (their number in the source, from 0), as
            `late_interaction.readers` makes them.
        roots: Files and folders the passages are all there is of: what the index holds of other sources in them is
            deleted, since those files have gone or are empty now.
        keep: Files and folders in ``roots`` that are left as they are, of a file that was read in part what was not
            read; may be added to while ``documents`` is read.
        progress: Show a progress bar.
        on_skip: Called with the source of a document that the encoder cannot encode, a page too long and thin for
            example, and the reason; the rest goes on. Without it such a document is an error.

    Raises:
        InvalidRequestError: Without `on_skip`, a document that the encoder cannot encode.
    """
    ends: dict[tuple[str, bool], int] = {}  # by source, and whether as page images: where it ends now
    added = unchanged = 0
    with tqdm(desc="Indexing", unit=" passages", disable=not progress) as bar:
        for batch in _batches(documents):
            held = {document.id: document for document in index.get([document.id for document in batch])}
            changed = [document for document in batch if not _is_held(document, held.get(document.id))]
            unchanged += len(batch) - len(changed)
            if changed and on_skip is not None:
                changed = list(_encodable(index.encoder, changed, on_skip))
            if changed:
                index.add(changed)
            added += len(changed)
            for document in batch:  # the last number, not how many: a damaged page may be missing between them
                kind = document.metadata["source"], document.image is not None
                ends[kind] = max(document.metadata["passage"] + 1, ends.get(kind, 0))
            bar.update(len(batch))
    sources = {source for source, _ in ends}

    def is_stale(document: Document) -> bool:
        source, passage = document.metadata.get("source"), document.metadata.get("passage")
        if not isinstance(source, str) or not isinstance(passage, int):
            return False
        if source not in sources:
            return _is_in(source, roots) and not _is_in(source, keep)
        end = ends.get((source, document.image is not None))
        return end is None or (passage >= end and not _is_in(source, keep))

    stale = [document.id for document in index.scan() if is_stale(document)]
    deleted = index.delete(stale) if stale else 0
    return Changes(added, unchanged, deleted)


def _is_held(document: Document, held: Document | None) -> bool:
    """Whether the index holds a document as it is; of a page it may hold a thumbnail, too."""
    if held is None or held == document:
        return held is not None
    has_more = document.image is not None and held.image == document.image.with_thumbnail()
    return has_more and Document(held.text, image=document.image, id=held.id, metadata=held.metadata) == document


def _encodable(encoder: Encoder, documents: list[Document], on_skip: Callable[[Path, str], None]) -> Iterator[Document]:
    for document in documents:
        if reason := refusal(encoder, document):
            on_skip(Path(document.metadata["source"]), f"{document.id}: {reason}")
        else:
            yield document


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    cost = 0
    for document in documents:
        batch.append(document)
        cost += 1 if document.image is None else _PAGE
        if cost >= _COMMIT:
            yield batch
            batch, cost = [], 0
    if batch:
        yield batch


def _is_in(source: str, places: Collection[str | os.PathLike[str]]) -> bool:
    path = PurePath(os.path.abspath(source))  # noqa: PTH100  # pathlib's own keeps "..", which would be in "."
    folders = (PurePath(os.path.abspath(place)) for place in places)  # noqa: PTH100
    return any(folder == path or folder in path.parents for folder in folders)
