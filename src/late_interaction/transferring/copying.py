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
"""Documents that are compared with those of the target together."""

_BATCH_DOCUMENTS = 1024
"""Documents in one write, at most. After an interruption, the next run writes at most this many again."""

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
    copying = _Copying(source, target, encode, sampled, report)
    for batch in _batches(copying.records()):
        target.upsert(batch)
        copying.written(batch)
    return copying.copied


class _Copying:
    """Compares the documents of the source with those of the target. See `copy_documents` for the arguments.

    Attributes:
        copied: What was copied so far.
    """

    def __init__(
        self, source: Engine, target: Engine, encode: Encode | None, sampled: int, report: Callable[[int], object]
    ) -> None:
        self.copied = Copied()
        self._source, self._target = source, target
        self._read = _Reading(source).records if encode is None else self._encoded(encode)
        self._sampled = sampled
        self._report = report
        self._replaced: set[str] = set()  # of those that are not written yet

    def records(self) -> Iterator[Record]:
        """Yield the records that the target needs. Their vectors are read, or encoded, when they are asked for."""
        total = self._source.count()
        step = max(1, total // self._sampled) if self._sampled else 0
        ids = (fields.id for fields in self._source.scan(fields=()))
        seen = 0
        while chunk := list(islice(ids, _CHUNK_DOCUMENTS)):
            if step:
                free = self._sampled - len(self.copied.sampled)
                self.copied.sampled += chunk[-seen % step :: step][:free]
            seen += len(chunk)
            changed, roots = self._compared(chunk)
            found = 0
            for record in self._read(changed):
                found += 1
                yield replace(record, root=roots.get(record.document.id))
            self.copied.vanished += len(changed) - found
            self._report(len(changed) - found)

    def written(self, batch: list[Record]) -> None:
        """Note that records were written."""
        ids = {record.document.id for record in batch}
        self.copied.replaced += len(ids & self._replaced)
        self.copied.added += len(ids - self._replaced)
        self._replaced -= ids
        self.copied.page_files += sum(_has_file(record.document) for record in batch)
        self._report(len(batch))

    def _compared(self, ids: list[str]) -> tuple[list[Document], dict[str, int | None]]:
        """Return the documents that the target does not hold as they are, and the roots of all."""
        documents = {document.id: document for document in self._source.get(ids)}
        known = {document.id: document for document in self._target.get(list(documents))}
        roots = self._source.roots_of(list(documents)) if self._source.capabilities.sources else {}
        changed: list[Document] = []
        unchanged: list[Document] = []
        for document in documents.values():
            is_known = document.id in known and _is_same(document, known[document.id])
            (unchanged if is_known else changed).append(document)
        _correct_roots(self._target, roots, [document.id for document in unchanged])
        self._replaced |= {document.id for document in changed} & known.keys()
        self.copied.unchanged += len(unchanged)
        self.copied.page_files += sum(map(_has_file, unchanged))
        self.copied.vanished += len(ids) - len(documents)
        self._report(len(ids) - len(changed))
        return changed, roots

    def _encoded(self, encode: Encode) -> Callable[[list[Document]], Iterator[Record]]:
        def records(documents: list[Document]) -> Iterator[Record]:
            for record in encode(documents):
                self.copied.without_vectors += not len(record.vectors)
                yield record

        return records


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


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Yield the records in lists that are bounded in number and in bytes of vectors."""
    batch: list[Record] = []
    size = 0
    for one in records:
        if batch and (len(batch) == _BATCH_DOCUMENTS or size + one.vectors.nbytes > _BATCH_BYTES):
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
