"""Bringing an index up to date with a stream of passages, as the command line does with folders."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from late_interaction.documents import Document
    from late_interaction.index import Index

__all__ = ["Changes", "update"]

_COMMIT = 512  # documents a crash can lose; the next run goes on from there


@dataclass(frozen=True)
class Changes:
    """What an update did, in passages."""

    added: int
    unchanged: int
    deleted: int


def update(index: Index, documents: Iterable[Document], *, progress: bool = False) -> Changes:
    """Make the index hold these passages of their sources, and no others of the same sources.

    Passages the index holds already are not encoded again. Commits every few hundred passages, so a run that was
    interrupted goes on where it stopped.

    Args:
        index: The index.
        documents: Passages with the metadata ``source`` and ``passage`` (their number in the source, from 0), as
            `late_interaction.readers` makes them.
        progress: Show a progress bar.
    """
    passages: Counter[str] = Counter()
    added = unchanged = deleted = 0
    remaining = iter(documents)
    with tqdm(desc="Indexing", unit=" passages", disable=not progress) as bar:
        while batch := list(islice(remaining, _COMMIT)):
            held = {document.id: document for document in index.get([document.id for document in batch])}
            changed = [document for document in batch if held.get(document.id) != document]
            index.add(changed)
            added += len(changed)
            unchanged += len(batch) - len(changed)
            passages.update(document.metadata["source"] for document in batch)
            bar.update(len(batch))
    for source, count in passages.items():  # a file that has become shorter leaves passages behind
        stale = {"source": source, "passage": {"$gte": count}}
        if index.count(where=stale):
            deleted += index.delete(where=stale)
    return Changes(added, unchanged, deleted)
