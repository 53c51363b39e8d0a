"""The half of `LanceDBEngine` that reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.engines.base import Capabilities, Engine
from late_interaction.engines.fields import check_fields
from late_interaction.engines.lancedb.codebooks import Codebooks
from late_interaction.engines.lancedb.rows import COLUMNS, DOCUMENT_COLUMNS, document_fields, parsed_document
from late_interaction.engines.lancedb.scoring import exact_scores
from late_interaction.engines.lancedb.searching import matches_at, passing, ranked_rows, search
from late_interaction.engines.lancedb.settings import ENCODER, Settings
from late_interaction.engines.lancedb.sql import conditions_of_ids
from late_interaction.engines.lancedb.states import States
from late_interaction.engines.lancedb.words import full_text_query
from late_interaction.engines.records import Match, Record
from late_interaction.validation import check_ids, check_k, check_query, check_vectors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from late_interaction.documents import Document, DocumentFields, FieldName
    from late_interaction.engines.lancedb.database import Database
    from late_interaction.engines.lancedb.snapshot import Snapshot
    from late_interaction.engines.lancedb.states import OneState
    from late_interaction.engines.records import Ids
    from late_interaction.filters import Where

__all__ = ["Reading"]

_SCANNED_TOGETHER = 64  # documents
_SCANNED_FIELDS_TOGETHER = 1024  # of documents without thumbnails


class Reading(Engine):
    """The half of `LanceDBEngine` that reads.

    Args:
        database: The database.
        candidates: Documents that the first stage finds; None for the default.
    """

    def __init__(self, database: Database, candidates: int | None) -> None:
        self._database = database
        self._candidates = candidates
        self._states = States(database)
        self._settings = Settings(database)
        self._codebooks = Codebooks(database, self._settings, self._states)
        self._capabilities = Capabilities(
            snapshots=True,
            atomic_upsert=True,
            lexical=True,
            vectors=True,
            verify=True,
            compact=True,
            sources=True,
            keeps_vectors=True,
            remote=database.address.is_remote,
        )

    @property
    def capabilities(self) -> Capabilities:
        """What this engine can do beyond the required core."""
        return self._capabilities

    @property
    def dim(self) -> int:
        """Dimension of the token vectors."""
        return self._database.format.dim

    @property
    def language(self) -> str | None:
        """Language of the words of lexical search, which are reduced to stems; None for no stems."""
        return self._database.format.language

    @property
    def encoder_record(self) -> dict[str, Any] | None:
        """What `record_encoder` wrote, or None."""
        return self._settings.read(ENCODER)

    def change_token(self) -> tuple[int, int]:
        """Return the versions of the tables of documents and of their vectors."""
        snapshot = self._states.current()
        return snapshot.version, snapshot.blobs_version

    def one_state(self, *, short: bool = False) -> OneState:
        """Return a context manager: what is read inside the block is of one version, whatever others write meanwhile.

        Nothing can be written inside of it.

        Args:
            short: Ignored: a fork waits for single calls only.
        """
        del short
        return self._states.one_state()

    def search(
        self, query_vectors: ArrayLike, k: int = 10, *, where: Where | None = None, candidates: Ids | None = None
    ) -> list[Match]:
        """Return the best documents by exact MaxSim among the candidates of both first stages. See `Engine.search`.

        A collection, or what passes a filter, of no more documents than the first stages find is scored completely, and
        so are ``candidates``.
        """
        k = check_k(k)
        query = check_vectors(query_vectors, self.dim, "Query vectors")
        ids = None if candidates is None else check_ids(candidates)
        snapshot = self._states.current()
        depth = self._candidates
        return search(snapshot, query, k, where=where, ids=ids, codebooks=self._codebooks, depth=depth)

    def score(self, query_vectors: ArrayLike, ids: Ids) -> dict[str, float]:
        """Return the exact MaxSim of every document of these ids, by id; unknown ids are left out.

        Args:
            query_vectors: (query tokens, dim).
            ids: Any number of ids.
        """
        query = check_vectors(query_vectors, self.dim, "Query vectors")
        ids = check_ids(ids)
        snapshot = self._states.current()
        positions = snapshot.positions_of_ids(ids)
        scores = exact_scores(snapshot, query, positions)
        return {match.id: match.score for match in matches_at(snapshot, positions, scores)}

    def search_lexical(
        self, query: str, k: int = 10, *, where: Where | None = None, candidates: Ids | None = None
    ) -> list[Match]:
        """Return the k best documents by BM25 over the words of the query, their stems and forms without diacritics."""
        k = check_k(k)
        words = full_text_query(check_query(query), self.language)
        ids = None if candidates is None else check_ids(candidates)
        snapshot = self._states.current()
        positions = passing(snapshot, where)
        if words is None:
            return []
        conditions: list[str | None] = [None] if ids is None else list(conditions_of_ids(ids))
        found: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []
        for condition in conditions:
            request = snapshot.documents.query().nearest_to_text(words)
            found.append(ranked_rows(snapshot, request, "_score", where, positions, k, condition))
        if not found:
            return []
        places, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
        best = np.lexsort((places, -scores))[:k]
        return matches_at(snapshot, places[best], scores[best])

    def fetch(self, matches: Sequence[Match]) -> dict[str, Document]:
        """Return the documents of these matches, by id, without those deleted or replaced since they were found."""
        snapshot = self._states.current()
        keys = {match.id: match.version for match in matches}
        rows = snapshot.find(list(keys), (*DOCUMENT_COLUMNS, "key"))
        return _documents(snapshot, {name: row for name, row in rows.items() if row["key"] == keys[name]})

    def get(self, ids: Sequence[str]) -> list[Document]:
        """Return the documents of these ids, in this order; unknown ids are left out."""
        ids = check_ids(ids)
        snapshot = self._states.current()
        found = _documents(snapshot, snapshot.find(ids, DOCUMENT_COLUMNS))
        parsed: dict[str, Document] = {}
        rows = None
        documents = []
        for document_id in ids:
            if document_id in parsed:  # each is an object of its own
                rows = snapshot.find(ids, DOCUMENT_COLUMNS) if rows is None else rows
                documents.append(_documents(snapshot, {document_id: rows[document_id]})[document_id])
            elif document_id in found:
                parsed[document_id] = found[document_id]
                documents.append(found[document_id])
        return documents

    def records(self, ids: Sequence[str]) -> dict[str, Record]:
        """Return documents together with their token vectors, by id; unknown ids are left out."""
        ids = check_ids(ids)
        snapshot = self._states.current()
        rows = snapshot.find(ids, (*DOCUMENT_COLUMNS, "key", "tokens", "root", "truncated"))
        documents, vectors = _documents(snapshot, rows), _vectors(snapshot, rows, self.dim)
        return {
            key: Record(documents[key], vectors[key], rows[key]["root"], truncated=rows[key]["truncated"])
            for key in dict.fromkeys(ids)
            if key in vectors
        }

    def vectors(self, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Return the stored token vectors by id, each (tokens, dim) float32, rounded to float16."""
        ids = check_ids(ids)
        snapshot = self._states.current()
        found = _vectors(snapshot, snapshot.find(ids, ("key", "tokens")), self.dim)
        return {key: found[key] for key in dict.fromkeys(ids) if key in found}

    def scan(
        self, *, where: Where | None = None, root: int | None = None, fields: Iterable[FieldName] | None = None
    ) -> Iterator[Any]:
        """Yield every document that passes, in the order of addition. All are of one version. See `Engine.scan`."""
        snapshot = self._states.current()
        names = None if fields is None else check_fields(fields)
        positions = passing(snapshot, where)
        positions = np.arange(len(snapshot.rows)) if positions is None else positions
        if root is not None:
            of_root = snapshot.scan(["order"], f"root = {int(root)}")["_rowid"].to_numpy()
            positions = np.intersect1d(positions, snapshot.rows.positions(of_root))
        return self._scanned(snapshot, positions, names)

    def _scanned(
        self, snapshot: Snapshot, positions: NDArray[np.int64], names: tuple[FieldName, ...] | None
    ) -> Iterator[Document] | Iterator[DocumentFields]:
        columns = DOCUMENT_COLUMNS if names is None else ["id", *(column for name in names for column in COLUMNS[name])]
        size = _SCANNED_TOGETHER if "picture" in columns else _SCANNED_FIELDS_TOGETHER
        for first in range(0, len(positions), size):
            self._database.check_open()
            rows = snapshot.take(positions[first : first + size], columns).to_pylist()
            thumbnails = _thumbnails(snapshot, rows)
            for row in rows:
                thumbnail = thumbnails.get(row.get("picture"))
                yield parsed_document(row, thumbnail) if names is None else document_fields(row, names, thumbnail)

    def count(self, *, where: Where | None = None) -> int:
        """Return how many documents pass."""
        snapshot = self._states.current()
        positions = passing(snapshot, where)
        return snapshot.count() if positions is None else len(positions)

    def centroids(self) -> NDArray[np.float32] | None:
        """Return the centroids of the codebook, (centroids, dim); None while there is none."""
        found = self._codebooks.last()
        return None if found is None else found.values


def _documents(snapshot: Snapshot, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Document]:
    thumbnails = _thumbnails(snapshot, rows.values())
    return {key: parsed_document(row, thumbnails.get(row["picture"])) for key, row in rows.items()}


def _thumbnails(snapshot: Snapshot, rows: Iterable[Mapping[str, Any]]) -> dict[Any, bytes]:
    keys = [row["picture"] for row in rows if row.get("picture") is not None]
    return snapshot.thumbnails(keys) if keys else {}


def _vectors(snapshot: Snapshot, rows: Mapping[str, Mapping[str, Any]], dim: int) -> dict[str, NDArray[np.float32]]:
    """Return the token vectors of rows, by id."""
    ids = list(rows)
    keys = np.array([rows[key]["key"] for key in ids], np.int64)
    tokens = np.array([rows[key]["tokens"] for key in ids], np.int32)
    found = {ids[place]: np.empty((0, dim), np.float32) for place in np.flatnonzero(tokens == 0).tolist()}
    for places, vectors, offsets in snapshot.vectors(keys, tokens):
        parts = np.split(vectors.astype(np.float32), offsets[1:-1])
        found |= {ids[place]: part for place, part in zip(places.tolist(), parts, strict=True)}
    return found
