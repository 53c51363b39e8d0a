"""Copy documents with their vectors in bounded batches, leaving out those that the target holds already."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from late_interaction.documents import Document
    from late_interaction.engines import Engine, Record

    Encode: TypeAlias = Callable[[list[Document]], Iterable[Record]]

__all__ = ["Copied", "copy_documents"]

_CHUNK_DOCUMENTS = 256
"""Documents that are compared with those of the target together, and that are in one write, at most."""

_BATCH_BYTES = 32 * 2**20
"""Bytes of token vectors in one write, unless one document has more."""

_FIRST_READ_DOCUMENTS = 16
"""Documents that are read with their vectors before it is known how large they are."""


@dataclass
class Copied:
    """What was copied.

    Attributes:
        added: Documents that the target did not hold.
        replaced: Documents of which the target held another version.
        unchanged: Documents that the target held already.
        vanished: Documents that others have deleted from the source meanwhile.
        page_files: Documents that refer to an image file.
        without_vectors: Documents that were encoded again and have no vectors, because they have no text.
        sampled: Ids of documents to verify.
    """

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    vanished: int = 0
    page_files: int = 0
    without_vectors: int = 0
    sampled: list[str] = field(default_factory=list)

    @property
    def present(self) -> int:
        """How many documents of the source the target holds."""
        return self.added + self.replaced + self.unchanged


def copy_documents(
    source: Engine, target: Engine, encode: Encode | None, *, sampled: int, report: Callable[[int], object]
) -> Copied:
    """Copy all documents, in the order of addition.

    Args:
        source: The source.
        target: The target.
        encode: Encodes documents again, in order; None to copy their vectors.
        sampled: How many evenly spaced documents to choose for `verification`.
        report: Called with the number of documents since the last call.
    """
    copied = Copied()
    step = max(1, source.count() // sampled) if sampled else 0
    ids = (fields.id for fields in source.scan(fields=()))
    read = _encoded(encode, copied) if encode else _Reading(source).records
    seen = 0
    while chunk := list(islice(ids, _CHUNK_DOCUMENTS)):
        if step:
            first = -seen % step
            copied.sampled += chunk[first::step][: sampled - len(copied.sampled)]
        seen += len(chunk)
        documents = {document.id: document for document in source.get(chunk)}
        known = {document.id: document for document in target.get(list(documents))}
        roots = source.roots_of(list(documents)) if source.capabilities.sources else {}
        unchanged = [key for key in documents if key in known and _is_same(documents[key], known[key])]
        kept = set(unchanged)
        changed = [document for key, document in documents.items() if key not in kept]
        _correct_roots(target, roots, unchanged)
        copied.unchanged += len(unchanged)
        copied.page_files += sum(_has_file(documents[key]) for key in unchanged)
        report(len(chunk) - len(changed))
        for batch in _batches(replace(one, root=roots.get(one.document.id)) for one in read(changed)):
            target.upsert(batch)
            replaced = sum(one.document.id in known for one in batch)
            copied.added += len(batch) - replaced
            copied.replaced += replaced
            copied.page_files += sum(_has_file(one.document) for one in batch)
            report(len(batch))
    copied.vanished = seen - copied.present
    return copied


class _Reading:
    """Reads documents with their vectors, as many together as fit into a batch.

    Args:
        source: The source.
    """

    def __init__(self, source: Engine) -> None:
        self._source = source
        self._number = _FIRST_READ_DOCUMENTS

    def records(self, documents: list[Document]) -> Iterator[Record]:
        """Yield the records of documents, in order, without those that others have deleted meanwhile."""
        ids = iter([document.id for document in documents])
        while chunk := list(islice(ids, self._number)):
            found = self._source.records(chunk)
            yield from (found[key] for key in chunk if key in found)
            greatest = max((one.vectors.nbytes for one in found.values()), default=0)
            self._number = min(_CHUNK_DOCUMENTS, max(1, _BATCH_BYTES // max(greatest, 1)))


def _encoded(encode: Encode, copied: Copied) -> Callable[[list[Document]], Iterator[Record]]:
    def records(documents: list[Document]) -> Iterator[Record]:
        for one in encode(documents):
            copied.without_vectors += not len(one.vectors)
            yield one

    return records


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Yield the records in lists that are bounded in bytes of vectors."""
    batch: list[Record] = []
    size = 0
    for one in records:
        if batch and size + one.vectors.nbytes > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += one.vectors.nbytes
    if batch:
        yield batch


def _correct_roots(target: Engine, roots: dict[str, int | None], ids: list[str]) -> None:
    """Note the roots of documents that are stored already, where both engines remember roots."""
    if not (roots and ids and target.capabilities.sources):
        return
    known = target.roots_of(ids)
    wrong: dict[int | None, list[str]] = {}
    for key in ids:
        if key in known and known[key] != roots.get(key):
            wrong.setdefault(roots.get(key), []).append(key)
    for root, some in wrong.items():
        target.set_root(some, root)


def _is_same(document: Document, stored: Document) -> bool:
    """Return whether two documents are equal, also in the types of numbers, which equality in Python ignores."""
    return document == stored and _json(document.metadata) == _json(stored.metadata)


def _json(metadata: Mapping[str, Any]) -> str:
    return json.dumps(metadata, sort_keys=True)


def _has_file(document: Document) -> bool:
    return document.image is not None and document.image.path is not None
