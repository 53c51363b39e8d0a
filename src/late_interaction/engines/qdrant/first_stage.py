"""Candidate generation of a collection: which centroids it has, and whether every document has a sparse vector of them.

The setting ``first_stage`` names the centroids. They are trained when there are enough token vectors. Then documents
that were written before get their sparse vectors (``filling``); until all have one (``complete``), searches use mean
vectors alone. As the collection grows, the centroids are extended: the earlier ones keep their numbers, so sparse
vectors made with them stay valid, and `FirstStage.fill` with ``outdated`` makes them again.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from qdrant_client import models

from late_interaction.engines import first_stage
from late_interaction.engines.first_stage import Centroids, Sample, needs_extension, size_for, train
from late_interaction.engines.qdrant.codebooks import delete_codebook, load_codebook, parts_of, store_codebook
from late_interaction.engines.qdrant.points import centroid_vector, vectors_of
from late_interaction.engines.qdrant.schema import CENTROIDS, CODEBOOK, TOKEN_COUNT, TOKENS, documents
from late_interaction.engines.qdrant.settings import FIRST_STAGE
from late_interaction.engines.remote.payload import VERSION
from late_interaction.errors import CorruptIndexError
from late_interaction.forking import renew_in_child

if TYPE_CHECKING:
    from late_interaction.engines.qdrant.client import Connection
    from late_interaction.engines.qdrant.settings import Settings
    from late_interaction.engines.qdrant.sizes import Size

__all__ = ["FirstStage", "StageState"]

_KEPT_SECONDS = 60.0
_FILLED_TOGETHER = 64  # documents, whose token vectors are read
_MAX_SAMPLE_VALUES = 2**25  # 64 MB as float16
_TOKENS_PER_CENTROID = 64  # of a sample that is read from the collection

FILLING, COMPLETE = "filling", "complete"

_HAS_TOKENS = models.FieldCondition(key=TOKEN_COUNT, range=models.Range(gte=1))


class StageState(NamedTuple):
    """What the setting says.

    Attributes:
        centroids: The centroids; None if there are none.
        is_complete: Whether every document has a sparse vector.
    """

    centroids: Centroids | None = None
    is_complete: bool = False


class FirstStage:
    """Reads, trains and extends the centroids of a collection.

    Args:
        connection: Calls the client.
        settings: The settings of the collection.
        size: Its size.
    """

    def __init__(self, connection: Connection, settings: Settings, size: Size) -> None:
        self._connection = connection
        self._settings = settings
        self._size = size
        self._known: tuple[StageState, float] | None = None  # and until when it is used, in monotonic seconds
        self._sample: Sample | None = None
        self._make_mutex()
        renew_in_child(self._make_mutex)

    def _make_mutex(self) -> None:
        self._mutex = threading.RLock()

    @property
    def current(self) -> StageState:
        """What the setting says, or said at most a minute ago."""
        known = self._known
        if known is None or known[1] < time.monotonic():
            return self.refresh()
        return known[0]

    @property
    def known(self) -> StageState | None:
        """What the setting said when it was last read or written; None if it was not."""
        return None if self._known is None else self._known[0]

    def refresh(self) -> StageState:
        """Read the setting, and the centroids if they are others than before.

        Raises:
            IndexReplacedError: It is that of another collection than was opened.
        """
        for _ in range(3):  # another writer may replace the centroids between the two reads
            value = self._settings.read(FIRST_STAGE)
            state = StageState() if value is None else self._state_of(value)
            if state is not None:
                self._known = state, time.monotonic() + _KEPT_SECONDS
                return state
        raise CorruptIndexError(
            f"The centroids of the collection {self._connection.address} are missing. Restore the collection from a "
            "snapshot."
        )

    def adopt(self, centroids: Centroids) -> None:
        """Use these centroids unless there are some already."""
        with self._mutex:
            if self.refresh().centroids is None:
                self._install_first(centroids)

    def observe(self, vectors: Any) -> None:
        """Take token vectors that were written, (tokens, dim), into the sample for training."""
        with self._mutex:
            if self._sample is None:
                self._sample = Sample(_MAX_SAMPLE_VALUES // max(1, vectors.shape[1]))
            self._sample.add(vectors)

    def grow(self) -> StageState:
        """Train the first centroids, or extend them, if the collection is large enough by now."""
        with self._mutex:
            state, tokens = self.current, self._size.tokens
            if tokens < first_stage.MIN_TRAINING_TOKENS:
                return state
            if state.centroids is None:
                size = size_for(tokens)
                return self._install_first(train(self._vectors_to_train(tokens, size), size))
            if needs_extension(state.centroids, tokens):
                state = self.refresh()  # another writer may have extended them meanwhile
            if state.centroids is not None and needs_extension(state.centroids, tokens):
                size = size_for(tokens)
                new = state.centroids.extended(self._vectors_to_train(tokens, size), size)
                self._install_extended(state, state.centroids, new)
            return self.current

    def fill(self, *, outdated: bool = False) -> None:
        """Write the sparse vectors of documents that have none; with ``outdated``, also those of earlier centroids."""
        state = self.current
        if state.centroids is None:
            return
        if outdated:
            condition: Any = models.FieldCondition(
                key=CODEBOOK, match=models.MatchExcept(**{"except": [state.centroids.name]})
            )
            missing = models.Filter(should=[condition, _has_none()])
        else:
            missing = models.Filter(must=[_has_none()])
        left = documents(_HAS_TOKENS, missing)
        offset: Any = None
        while True:
            page, offset = self._connection.call(
                "scroll",
                scroll_filter=left,
                limit=_FILLED_TOGETHER,
                offset=offset,
                with_payload=[VERSION],
                with_vectors=[TOKENS],
            )
            if page:
                self._write_sparse(page, state.centroids)
            if offset is None:
                break
        if not state.is_complete and not self.missing():
            self._replace(state, StageState(state.centroids, is_complete=True))

    def missing(self) -> int:
        """Return how many documents with token vectors have no sparse vector."""
        left = documents(_HAS_TOKENS, _has_none())
        return int(self._connection.call("count", count_filter=left, exact=True).count)

    def _write_sparse(self, page: list[Any], centroids: Centroids) -> None:
        """Write the sparse vectors of documents, unless they are replaced meanwhile: then their writer does."""
        found = centroids.documents([vectors_of(point, centroids.dim) for point in page])
        points = [
            models.PointVectors(id=point.id, vector={CENTROIDS: centroid_vector(ids)})
            for point, ids in zip(page, found, strict=True)
        ]
        versions = sorted({str((point.payload or {}).get(VERSION)) for point in page})
        same = models.FieldCondition(key=VERSION, match=models.MatchAny(any=versions))
        those = models.Filter(must=[models.HasIdCondition(has_id=[point.id for point in page]), same])
        update = models.UpdateVectors(points=points, update_filter=models.Filter(must=[same]))
        note = models.SetPayload(payload={CODEBOOK: centroids.name}, filter=those)
        operations = [
            models.UpdateVectorsOperation(update_vectors=update),
            models.SetPayloadOperation(set_payload=note),
        ]
        self._connection.call("batch_update_points", update_operations=operations, wait=True)

    def _install_first(self, centroids: Centroids) -> StageState:
        store_codebook(self._connection, centroids)
        self._settings.write_once(FIRST_STAGE, _value(StageState(centroids)))
        state = self.refresh()
        if state.centroids is not None and state.centroids.name != centroids.name:  # another writer was faster
            delete_codebook(self._connection, centroids.name, parts_of(centroids))
        self.fill()
        return self.current

    def _install_extended(self, before: StageState, old: Centroids, centroids: Centroids) -> None:
        store_codebook(self._connection, centroids)
        is_used = self._replace(before, StageState(centroids, before.is_complete))
        unused = old if is_used else centroids
        if self.current.centroids is not None and self.current.centroids.name != unused.name:
            delete_codebook(self._connection, unused.name, parts_of(unused))

    def _replace(self, before: StageState, state: StageState) -> bool:
        """Write the setting unless another writer has changed it; return whether it is written."""
        is_written = self._settings.replace(FIRST_STAGE, _value(before), _value(state))
        if is_written:
            self._known = state, time.monotonic() + _KEPT_SECONDS
        else:
            self.refresh()
        return is_written

    def _state_of(self, value: dict[str, Any]) -> StageState | None:
        """Return what the value of the setting says; None if the centroids that it names are not there."""
        name, parts, state = value.get("codebook"), value.get("parts"), value.get("state")
        if not isinstance(name, str) or type(parts) is not int or not 0 < parts < 2**16:
            raise CorruptIndexError(
                f"The setting 'first_stage' of the collection {self._connection.address} is damaged. Restore the "
                "collection from a snapshot."
            )
        known = None if self.known is None else self.known.centroids
        if known is None or known.name != name:
            known = load_codebook(self._connection, name, parts)
        return None if known is None else StageState(known, state == COMPLETE)

    def _vectors_to_train(self, tokens: int, size: int) -> Any:
        """Return a sample of token vectors: of what this object has written, if that is most of the collection."""
        if self._sample is not None and 2 * self._sample.seen >= tokens:
            return self._sample.vectors
        sample, wanted = None, min(tokens, _TOKENS_PER_CENTROID * size)
        while sample is None or sample.seen < min(wanted, sample.limit):
            found = self._connection.call(
                "query_points",
                query=models.SampleQuery(sample=models.Sample.RANDOM),
                query_filter=documents(_HAS_TOKENS),
                limit=_FILLED_TOGETHER,
                with_payload=False,
                with_vectors=[TOKENS],
            ).points
            for point in found:
                vectors = vectors_of(point)
                sample = sample or Sample(_MAX_SAMPLE_VALUES // vectors.shape[1])
                sample.add(vectors)
            if len(found) < _FILLED_TOGETHER:
                break
        return None if sample is None else sample.vectors


def _has_none() -> models.IsEmptyCondition:
    return models.IsEmptyCondition(is_empty=models.PayloadField(key=CODEBOOK))


def _value(state: StageState) -> dict[str, Any]:
    if state.centroids is None:
        raise ValueError("The setting is only written with centroids.")
    text = COMPLETE if state.is_complete else FILLING
    return {"codebook": state.centroids.name, "parts": parts_of(state.centroids), "state": text}
