"""Two engines in memory that keep the contract and no more: what a caller may not rely on, they do not do."""

from __future__ import annotations

import copy
import itertools
import re
import threading
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from late_interaction.documents import Document, DocumentFields
from late_interaction.engines.base import Capabilities, Engine
from late_interaction.engines.capabilities import unsupported
from late_interaction.engines.records import Match, Record
from late_interaction.errors import (
    DuplicateIdError,
    IndexClosedError,
    IndexNotFoundError,
    InvalidRequestError,
    InvalidVectorsError,
)
from late_interaction.filters import check_restricting, matches, parse
from late_interaction.images import PageImage
from late_interaction.validation import check_ids, check_k, check_vectors

_BATCH = 3  # documents that are written together


@dataclass
class Collection:
    """What stays when an engine is closed: this is the server."""

    dim: int
    rows: dict[str, Row] = field(default_factory=dict)
    encoder: dict[str, Any] | None = None
    numbers: itertools.count = field(default_factory=itertools.count)
    mutex: threading.RLock = field(default_factory=threading.RLock)


@dataclass(frozen=True)
class Row:
    """One stored document. Its number is the order of addition, and its version."""

    number: int
    values: dict[str, Any]
    image: dict[str, Any] | None
    thumbnail: bytes | None
    vectors: np.ndarray

    def document(self):
        image = None if self.image is None else PageImage.from_json(dict(self.image), self.thumbnail)
        return Document.restored(**copy.deepcopy(self.values), image=image)


_collections: dict[str, Collection] = {}
"""By folder. Nothing is written into the folder."""


class WeakEngine(Engine):
    """The required core alone.

    No snapshots: each call sees the last write. A write is a series of small batches, so an error leaves the first
    ones. Search generates candidates from mean vectors and may miss the best document. It takes few ids at a time, and
    knows few filter operators.
    """

    capabilities = Capabilities(filter_operators=frozenset({"$eq", "$ne", "$in", "$and"}), max_candidates=20)

    def __init__(self, collection):
        self._open_collection = collection

    @classmethod
    def open(cls, folder, *, dim=None):
        """Open the collection of a folder, made if a dimension is given and there is none."""
        name = str(folder)
        if name not in _collections:
            if dim is None:
                raise IndexNotFoundError(f"There is no collection {name!r}.")
            _collections[name] = Collection(dim)
        engine = cls(_collections[name])
        if dim not in (None, engine.dim):
            raise InvalidVectorsError(f"The collection {name!r} holds vectors of dimension {engine.dim}, not {dim}.")
        return engine

    @property
    def _collection(self):
        if self._open_collection is None:
            raise IndexClosedError("The collection is closed.")
        return self._open_collection

    @property
    def dim(self):
        return self._collection.dim

    @property
    def encoder_record(self):
        return copy.deepcopy(self._collection.encoder)

    def record_encoder(self, record):
        if self._collection.encoder is None:
            self._collection.encoder = copy.deepcopy(dict(record))

    def upsert(self, records, *, replacing=None):
        collection = self._collection
        if replacing is not None:
            self.delete(where=replacing)
        ids = []
        seen = set()
        records = iter(records)
        while batch := list(islice(records, _BATCH)):
            rows = {}
            for record in batch:
                document = record.document
                if document.id in seen:
                    raise DuplicateIdError(f"The id {document.id!r} is given twice in one call.")
                seen.add(document.id)
                rows[document.id] = self._row(record)
                ids.append(document.id)
            with collection.mutex:
                for row_id, make in rows.items():
                    collection.rows[row_id] = make(next(collection.numbers))
        return ids

    def _row(self, record):
        document = record.document
        vectors = check_vectors(record.vectors, self.dim, f"Vectors of {document.id!r}").copy()
        image = thumbnail = None
        if document.image is not None:
            image, thumbnail = document.image.to_json(), document.image.thumbnail
        values = {name: getattr(document, name) for name in ("text", "id", "metadata", "encoded_text")}
        values = copy.deepcopy(values)
        return partial(Row, values=values, image=image, thumbnail=thumbnail, vectors=vectors)

    def delete(self, *, ids=None, where=None):
        if (ids is None) == (where is None):
            raise InvalidRequestError("delete takes either ids or where.")
        if where is not None:
            self.check_filter(where)
            where = check_restricting(where)
            ids = [row.values["id"] for row in self._rows(where)]
        with self._collection.mutex:
            return sum(self._collection.rows.pop(key, None) is not None for key in check_ids(ids))

    def clear(self):
        with self._collection.mutex:
            count = len(self._collection.rows)
            self._collection.rows.clear()
        return count

    def search(self, query_vectors, k=10, *, where=None, candidates=None):
        k = self._check_limit(check_k(k))
        query = check_vectors(query_vectors, self.dim, "Query vectors")
        rows = self._candidates(where, candidates)
        if candidates is None:  # approximate: of the others none is scored
            rows = first_stage(query, rows, 2 * k)
        return best(((row, maxsim(query, row)) for row in rows), k)

    def score(self, query_vectors, ids):
        query = check_vectors(query_vectors, self.dim, "Query vectors")
        return {row.values["id"]: maxsim(query, row) for row in self._of(check_ids(ids))}

    def fetch(self, found):
        known = self._of([match.id for match in found])
        versions = {match.id: match.version for match in found}
        return {row.values["id"]: row.document() for row in known if row.number == versions[row.values["id"]]}

    def get(self, ids):
        found = {row.values["id"]: row for row in self._of(check_ids(ids))}
        return [found[key].document() for key in ids if key in found]

    def scan(self, *, where=None, root=None, fields=None):
        if root is not None:
            raise unsupported(self, "sources")
        wanted = None if fields is None else [name for name in ("text", "encoded_text", "metadata") if name in fields]
        has_image = fields is not None and "image" in fields
        for row in self._rows(where):
            key = row.values["id"]
            if self._collection.rows.get(key) is not row:  # deleted or replaced meanwhile
                continue
            if wanted is None:
                yield row.document()
            else:
                image = row.document().image if has_image else None
                yield DocumentFields(key, image=image, **{name: copy.deepcopy(row.values[name]) for name in wanted})

    def count(self, *, where=None):
        return len(self._rows(where))

    def close(self):
        self._open_collection = None

    def _check_limit(self, number):
        limit = self.capabilities.max_candidates
        if limit is not None and number > limit:
            raise InvalidRequestError(f"{type(self).__name__} takes at most {limit} at a time, got {number}.")
        return number

    def _candidates(self, where, candidates):
        if candidates is None:
            return self._rows(where)
        candidates = check_ids(candidates)
        self._check_limit(len(candidates))
        chosen = set(candidates)
        return [row for row in self._rows(where) if row.values["id"] in chosen]

    def _rows(self, where=None):
        """The rows that pass, in the order of addition."""
        clause = None
        if where is not None:
            self.check_filter(where)
            clause = parse(where)
        with self._collection.mutex:
            rows = sorted(self._collection.rows.values(), key=lambda row: row.number)
        return [row for row in rows if clause is None or matches(clause, row.values["metadata"], row.values["text"])]

    def _of(self, ids):
        with self._collection.mutex:
            rows = self._collection.rows
            return [rows[key] for key in dict.fromkeys(ids) if key in rows]


class ServerEngine(WeakEngine):
    """More like a server: also words, stored vectors and every filter operator, but no snapshots and small batches."""

    capabilities = Capabilities(lexical=True, vectors=True, remote=True)

    def search_lexical(self, query, k=10, *, where=None, candidates=None):
        k = self._check_limit(check_k(k))
        words = set(words_of(query))
        scored = []
        for row in self._candidates(where, candidates):
            found = words_of(row.document().text_to_encode)
            if shared := words & set(found):
                scored.append((row, len(shared) + 1 / len(found)))
        return best(scored, k)

    def records(self, ids):
        return {row.values["id"]: Record(row.document(), row.vectors.copy()) for row in self._of(check_ids(ids))}

    def vectors(self, ids):
        return {row.values["id"]: row.vectors.copy() for row in self._of(check_ids(ids))}


def first_stage(query, rows, count):
    """The rows whose mean vector is most like that of the query, and those that have none."""
    with_vectors = [row for row in rows if len(row.vectors)]
    mean = query.mean(axis=0) if len(query) else np.zeros(query.shape[1])
    order = sorted(with_vectors, key=lambda row: -float(row.vectors.mean(axis=0) @ mean))
    return [row for row in rows if not len(row.vectors)] + order[:count]


def maxsim(query, row):
    return float((query @ row.vectors.T).max(axis=1).sum()) if len(row.vectors) else 0.0


def best(scored, k):
    order = sorted(scored, key=lambda pair: -pair[1])
    return [Match(row.values["id"], score, version=row.number) for row, score in order[:k]]


def words_of(text):
    return re.findall(r"\w+", text.lower())
