"""The codebook of an index, and the centroids of documents that were written before there was one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from late_interaction.engines.first_stage import (
    MIN_TRAINING_TOKENS,
    Centroids,
    Sample,
    needs_extension,
    size_for,
    train,
)
from late_interaction.engines.lancedb.schema import DOCUMENTS, documents_schema
from late_interaction.engines.lancedb.settings import CODEBOOK
from late_interaction.errors import CorruptIndexError

if TYPE_CHECKING:
    from late_interaction.engines.lancedb.database import Database
    from late_interaction.engines.lancedb.settings import Settings
    from late_interaction.engines.lancedb.snapshot import Snapshot
    from late_interaction.engines.lancedb.states import States

__all__ = ["Codebooks"]

_SAMPLED_PER_CENTROID = 40  # token vectors for training
_ASSIGNED_TOGETHER = 8192  # documents in one commit
_COLUMNS = ("id", "key", "centroids", "codebook")


class Codebooks:
    """Trains, stores and reads the codebook of an index.

    Args:
        database: The database.
        settings: Its settings.
        states: Its states.
    """

    def __init__(self, database: Database, settings: Settings, states: States) -> None:
        self._database = database
        self._settings = settings
        self._states = states
        self._read: tuple[int, Centroids | None] | None = None
        self._added = self._next_count = 0

    def last(self) -> Centroids | None:
        """Return the codebook; None if there is none. It is read again when a setting has changed."""
        version = self._settings.version
        if self._read is None or self._read[0] != version:
            self._read = version, self._stored()
        return self._read[1]

    def _stored(self) -> Centroids | None:
        found = self._settings.read(CODEBOOK)
        if found is None:
            return None
        name = str(found.get("name"))
        if self._read is not None and self._read[1] is not None and self._read[1].name == name:
            return self._read[1]
        data = self._settings.data(f"{CODEBOOK}:{name}")
        centroids = None if data is None else Centroids.from_bytes(data)
        if centroids is None or centroids.name != name or centroids.dim != self._database.format.dim:
            raise CorruptIndexError(
                f"The codebook of {self._database.address} is missing or damaged. Restore the index from a copy."
            )
        return centroids

    def of(self, snapshot: Snapshot) -> Centroids | None:
        """Return a codebook with all centroids of the documents of a state; None if no document has any."""
        return self.last() if snapshot.postings.is_used else None

    def store(self, centroids: Centroids) -> None:
        """Make this the codebook. It is new, or begins with the centroids of the stored one."""
        self._settings.write_once(f"{CODEBOOK}:{centroids.name}", None, centroids.to_bytes())
        self._settings.write(CODEBOOK, {"name": centroids.name, "size": len(centroids)})

    def keep_up(self, added: int) -> None:
        """Train the codebook when there are enough tokens, extend it when there are too many for it, and use it.

        Args:
            added: Tokens that were written since the last call. Not every call counts those of all documents.
        """
        self._added += added
        if self._added < self._next_count:
            return
        snapshot = self._states.last()
        tokens = int(snapshot.rows.tokens.sum(dtype=np.int64))
        centroids = self.last()
        if centroids is None and tokens >= MIN_TRAINING_TOKENS:
            self.store(train(self._sample(snapshot, size_for(tokens)), size_for(tokens)))
        elif centroids is not None and needs_extension(centroids, tokens):
            size = size_for(tokens)
            self.store(centroids.extended(self._sample(snapshot, size - len(centroids)), size))
        self.assign()
        self._added, self._next_count = 0, max(MIN_TRAINING_TOKENS - tokens, tokens // 2)

    def assign(self) -> None:
        """Find the centroids of documents that have none, or were written with a smaller codebook. Resumable."""
        centroids = self.last()
        if centroids is None:
            return
        while True:
            snapshot = self._states.last()
            table = snapshot.scan(["order"], f"tokens > 0 AND codebook < {len(centroids)}")
            positions = np.sort(snapshot.rows.positions(table["_rowid"].to_numpy()))[:_ASSIGNED_TOGETHER]
            if not len(positions) or not self._assign(snapshot, centroids, positions):
                return

    def _assign(self, snapshot: Snapshot, centroids: Centroids, positions: np.ndarray[Any, Any]) -> int:
        """Store the centroids of documents; return how many there were, without those replaced meanwhile."""
        rows = snapshot.rows
        found: dict[int, np.ndarray[Any, Any]] = {}
        for places, vectors, offsets in snapshot.vectors(rows.keys[positions], rows.tokens[positions]):
            parts = np.split(vectors.astype(np.float32), offsets[1:-1])
            found |= dict(zip(places.tolist(), centroids.documents(parts), strict=True))
        chosen = np.array(sorted(found), np.int64)
        if not len(chosen):
            return 0
        ids = snapshot.take(positions[chosen], ["id"])["id"].to_pylist()
        full = documents_schema(self._database.format)
        schema = pa.schema([full.field(name) for name in _COLUMNS])
        source = pa.table(
            {
                "id": ids,
                "key": rows.keys[positions[chosen]],
                "centroids": pa.array([found[place] for place in chosen.tolist()], schema.field("centroids").type),
                "codebook": pa.array([len(centroids)] * len(chosen), pa.int32()),
            },
            schema=schema,
        )
        documents = self._database.table(DOCUMENTS)
        merge = documents.merge_insert("id").use_index(False).when_matched_update_all(where="target.key = source.key")
        result = self._database.retrying(lambda: merge.execute(source))
        return int(result.num_updated_rows)

    def _sample(self, snapshot: Snapshot, centroids: int) -> np.ndarray[Any, Any]:
        """Return token vectors of random documents, enough to train this many centroids."""
        rows = snapshot.rows
        limit = _SAMPLED_PER_CENTROID * centroids
        share = min(1.0, 2 * limit / max(1, int(rows.tokens.sum())))
        chosen = np.flatnonzero(np.random.default_rng(0).random(len(rows)) <= share)
        sample = Sample(limit)
        for _, vectors, _ in snapshot.vectors(rows.keys[chosen], rows.tokens[chosen]):
            sample.add(vectors.astype(np.float32))
        return sample.vectors
