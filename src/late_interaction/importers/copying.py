"""Copy the documents of a source into an engine in bounded batches, without those that it holds already."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.records import Record
from late_interaction.errors import (
    CorruptIndexError,
    DuplicateIdError,
    InvalidRequestError,
    InvalidVectorsError,
)
from late_interaction.validation import check_vectors
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from late_interaction.documents import Document
    from late_interaction.engines import Engine
    from late_interaction.importers.foreign import ForeignIndex
    from late_interaction.importers.verification import ExactScores

__all__ = ["Copied", "check_target", "copy_documents"]

_CHUNK_DOCUMENTS = 256
"""Documents that are compared with those of the index together."""

_CHUNK_BYTES = 32 * 2**20
"""Bytes of their token vectors, unless one document has more."""

_COMMIT_BYTES = 256 * 2**20
"""Bytes of token vectors of one commit. They are not kept in memory; after an interruption, they are read again."""

_COMMIT_DOCUMENTS = 20_000

_HEAD_DOCUMENTS = 32
"""First documents of an index that are compared with those of the source, to know whether they are the same."""

_SEARCHED_DOCUMENTS = _COMMIT_DOCUMENTS
"""Documents of the source among which these must be: a server may have kept any part of the first batch."""

_MIN_COSINE = 0.6  # of a token vector and the same one compressed to 1 bit, which has .8 and more


@dataclass
class Copied:
    """What was copied.

    Attributes:
        added: Documents that were written.
        unchanged: Documents that the index held already.
    """

    added: int = 0
    unchanged: int = 0


def check_target(source: ForeignIndex, engine: Engine) -> None:
    """Refuse an index that holds anything but documents of an earlier, interrupted import of the source.

    Its first documents are compared with those of the source: their content, and their token vectors.

    Raises:
        InvalidRequestError: It holds other documents.
        InvalidVectorsError: It holds vectors of another dimension.
    """
    head = {document.id: document for document in islice(engine.scan(), _HEAD_DOCUMENTS)}
    if not head:
        return
    if engine.dim != source.dim:
        raise InvalidVectorsError(
            f"The index holds vectors of dimension {engine.dim}, the source of {source.dim}. Import into a new index."
        )
    missing = dict(head)
    for document, vectors in islice(source.read(), _SEARCHED_DOCUMENTS):
        if (stored := missing.pop(document.id, None)) is None:
            continue
        if not _is_same(document, stored):
            raise _other_content(document.id)
        if not _has_vectors(engine, document.id, vectors):
            raise InvalidRequestError(
                f"The document {document.id!r:.200} has other token vectors in the index than in the source, so it is "
                "not from an earlier import of the source. Import into a new index."
            )
        if not missing:
            return
    raise InvalidRequestError(
        f"The index holds documents that are not from the source, such as {next(iter(missing))!r:.200}. An import goes "
        "on where an earlier import of the same source was interrupted, and else needs a new index."
    )


def copy_documents(
    source: ForeignIndex, engine: Engine, scores: ExactScores, *, report: Callable[[int], object]
) -> Copied:
    """Copy all documents, in the order of the source.

    Args:
        source: The source.
        engine: The engine.
        scores: Is shown every document with its token vectors, also those that are not written again.
        report: Called with the number of documents since the last call.

    Raises:
        CorruptIndexError: The source is damaged. What was committed before stays, and the message says so.
        InvalidRequestError: The index holds a document of the same id with other content.
        DuplicateIdError: Two documents of the source have the same id.
    """
    copying = _Copying(source, engine, scores, report)
    records = copying.records()
    try:
        while (first := next(records, None)) is not None:
            copying.copied.added += len(engine.upsert(_commit(first, records)))
    except CorruptIndexError as error:
        kept = copying.copied.added + copying.before
        raise CorruptIndexError(
            f"{error} {counted(kept, 'document')} read before were imported: the same import goes on from there once "
            "the source is whole."
            if kept
            else f"{error} Nothing was imported."
        ) from None
    return copying.copied


class _Copying:
    """Compares the documents of a source with those of an engine. See `copy_documents` for the arguments.

    Attributes:
        copied: What was copied so far.
        before: Documents that the engine held at the beginning.
    """

    def __init__(
        self, source: ForeignIndex, engine: Engine, scores: ExactScores, report: Callable[[int], object]
    ) -> None:
        self.copied = Copied()
        self.before = engine.count()
        self._source, self._engine = source, engine
        self._scores = scores
        self._report = report

    def records(self) -> Iterator[Record]:
        """Yield the records that the engine needs."""
        number = 0
        for pairs in self._chunks():
            ids = [document.id for document, _ in pairs]
            self._scores.add(ids, [vectors for _, vectors in pairs])
            known = {document.id: document for document in self._engine.get(ids)}
            for document, vectors in pairs:
                stored = known.get(document.id)
                if stored is None:
                    yield Record(document, vectors)
                    continue
                self._check_known(document, stored)
            number += len(pairs)
            self._report(len(pairs))
        if number != self._source.documents:
            raise CorruptIndexError(
                f"The source claims {counted(self._source.documents, 'document')}, and has {number:,}. Copy it again."
            )

    def _check_known(self, document: Document, stored: Document) -> None:
        self.copied.unchanged += 1
        if self.copied.unchanged > self.before:
            raise DuplicateIdError(
                f"Two documents of the source have the id {document.id!r:.200}. Ids must be unique: pass documents "
                "with ids of their own."
            )
        if not _is_same(document, stored):
            raise _other_content(document.id)

    def _chunks(self) -> Iterator[list[tuple[Document, NDArray[np.float32]]]]:
        """Yield the documents with their checked vectors in lists that are bounded in number and in bytes."""
        chunk: list[tuple[Document, NDArray[np.float32]]] = []
        size = 0
        for document, given in self._source.read():
            try:
                vectors = check_vectors(given, self._engine.dim, f"Vectors of {document.id!r:.200} in the source")
            except InvalidVectorsError as error:
                raise CorruptIndexError(str(error)) from None
            if chunk and (len(chunk) == _CHUNK_DOCUMENTS or size + vectors.nbytes > _CHUNK_BYTES):
                yield chunk
                chunk, size = [], 0
            chunk.append((document, vectors))
            size += vectors.nbytes
        if chunk:
            yield chunk


def _commit(first: Record, records: Iterator[Record]) -> Iterator[Record]:
    """Yield the first record and as many others as belong in one commit."""
    size = 0
    for number, one in enumerate(chain([first], records), 1):
        yield one
        size += one.vectors.nbytes
        if size >= _COMMIT_BYTES or number >= _COMMIT_DOCUMENTS:
            return


def _is_same(document: Document, stored: Document) -> bool:
    """Return whether two documents are equal, also in the types of numbers, which equality in Python ignores."""
    return document == stored and _json(document) == _json(stored)


def _json(document: Document) -> str:
    return json.dumps(document.metadata, sort_keys=True)


def _has_vectors(engine: Engine, key: str, vectors: NDArray[np.float32]) -> bool:
    """Return whether the stored vectors of a document are these, compressed or not."""
    if not engine.capabilities.vectors:
        return True
    stored = engine.vectors([key]).get(key)
    if stored is None or stored.shape != vectors.shape:
        return False
    products = np.linalg.norm(vectors, axis=1) * np.linalg.norm(stored, axis=1)
    is_usable = products > 0
    cosines = np.einsum("ij,ij->i", vectors, stored)[is_usable] / products[is_usable]
    return not len(cosines) or float(cosines.mean()) >= _MIN_COSINE


def _other_content(key: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"The index holds a document of the id {key!r:.200} with another text, metadata or image than the source. "
        "Import into a new index."
    )
