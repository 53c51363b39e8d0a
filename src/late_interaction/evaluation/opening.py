"""Open what a user evaluates, and look up documents in it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.encoders import ReducedEncoder
from late_interaction.engines import Record
from late_interaction.errors import IndexNotFoundError, InvalidRequestError
from late_interaction.evaluation.dataset import Dataset
from late_interaction.evaluation.evaluated_index import EvaluatedIndex, stored_records
from late_interaction.evaluation.reading.corpora import JsonlDocuments
from late_interaction.evaluation.reading.datasets import read_dataset
from late_interaction.evaluation.settings import check_dim
from late_interaction.index import Index
from late_interaction.retrieval.identity import unique_documents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from late_interaction.documents import Document
    from late_interaction.evaluation.dataset import JudgedQuery
    from late_interaction.evaluation.requested import Requested
    from late_interaction.evaluation.results import SystemResult
    from late_interaction.evaluation.temporary import TemporaryIndexes

__all__ = ["documents_by_id", "missing_documents", "open_evaluated"]

_CHUNK_IDS = 500
_POOL_DEPTH = 10  # documents of each ranking that a judge is asked about


def open_evaluated(given: Any, encoder: Any, temporary: TemporaryIndexes, requested: Requested) -> EvaluatedIndex:
    """Return the index of the user, or one that is made of documents.

    Args:
        given: An index, its path or address, or documents.
        encoder: The encoder of documents, or of an index that is opened.
        temporary: Where an index is made.
        requested: What is compared.

    Raises:
        InvalidRequestError: It is none of these, or documents have no encoder.
    """
    if isinstance(given, Index):
        if encoder is not None:
            raise InvalidRequestError(
                "An open index has its encoder. Leave out encoder=, or pass the path of the index."
            )
        return EvaluatedIndex(given, temporary)
    if isinstance(given, (str, os.PathLike)):
        try:
            return EvaluatedIndex(temporary.keep(Index.open(given, encoder=encoder, read_only=True)), temporary)
        except IndexNotFoundError:
            if not Path(given).exists():
                raise
        given = read_dataset(given) if Path(given).is_dir() else JsonlDocuments(Path(given))
    if isinstance(given, Dataset):
        given = given.documents
    if given is None or isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise InvalidRequestError(
            "evaluate takes an index, its path or address, or documents, got "
            f"{'a dataset without documents' if given is None else type(given).__name__}."
        )
    if encoder is not None:
        return _of_documents(given, encoder, temporary, requested)
    if requested.needs_encoder:
        raise InvalidRequestError(
            'Documents need an encoder, for example encoder="minilm". To search them for words only: '
            'systems=["lexical"].'
        )
    return _without_vectors(given, temporary)


def _of_documents(
    documents: Iterable[Document | str], encoder: Any, temporary: TemporaryIndexes, requested: Requested
) -> EvaluatedIndex:
    exact = temporary.open(encoder=encoder, bits=None)
    check_dim(requested.dim, exact.engine.dim)  # before documents are encoded
    exact.add(documents, progress=temporary.progress)
    index = temporary.open(encoder=encoder)
    index.engine.upsert(temporary.shown(stored_records(exact.engine), "Storing", exact.count()))
    index.compact()
    is_reduced = isinstance(exact.encoder, ReducedEncoder)
    return EvaluatedIndex(_not_empty(index), temporary, exact=None if is_reduced else exact)


def _without_vectors(documents: Iterable[Document | str], temporary: TemporaryIndexes) -> EvaluatedIndex:
    index = temporary.open(dim=1)
    unique = temporary.shown(unique_documents(documents, []), "Indexing", None)
    index.engine.upsert(Record(document, np.empty((0, 1), np.float32)) for document in unique)
    return EvaluatedIndex(_not_empty(index), temporary)


def _not_empty(index: Index) -> Index:
    if not index.count():
        raise InvalidRequestError("There are no documents to search.")
    return index


def missing_documents(index: Index, queries: Sequence[JudgedQuery]) -> list[str]:
    """Return a note if documents that are judged as relevant are not in the index."""
    relevant = {key for query in queries for key, grade in query.relevant.items() if grade > 0}
    missing = relevant - {document.id for document in _stored(index, relevant)}
    if not missing:
        return []
    affected = sum(any(key in missing and grade > 0 for key, grade in query.relevant.items()) for query in queries)
    note = (
        f"The index lacks {len(missing):,} of {len(relevant):,} relevant documents, for example {min(missing)!r}, so "
        f"no system can find them. This lowers the measures of {affected:,} of {len(queries):,} queries."
    )
    return [note]


def documents_by_id(index: Index, results: Iterable[SystemResult]) -> dict[str, Document]:
    """Return the documents that a judge is asked about."""
    ids = {key for result in results for ranking in result.rankings.values() for key in ranking[:_POOL_DEPTH]}
    return {document.id: document for document in _stored(index, ids)}


def _stored(index: Index, ids: Iterable[str]) -> Iterator[Document]:
    remaining = iter(sorted(ids))
    while chunk := list(islice(remaining, _CHUNK_IDS)):
        yield from index.get(chunk)
