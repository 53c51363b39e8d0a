"""Documents as points of Qdrant: their vectors and their payload."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from qdrant_client import models

from late_interaction.engines.first_stage import mean_vector
from late_interaction.engines.qdrant.filter_fields import FILTER, filter_fields
from late_interaction.engines.qdrant.schema import (
    CENTROIDS,
    CODEBOOK,
    DOCUMENT,
    KIND,
    MEAN,
    TOKEN_COUNT,
    TOKENS,
    WORDS,
    point_id,
)
from late_interaction.engines.remote.payload import payload_of
from late_interaction.engines.remote.words import word_vector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from late_interaction.engines.first_stage import Centroids, SparseVector
    from late_interaction.engines.records import Record

__all__ = [
    *("Orders", "Prepared", "centroid_vector", "document_point_id", "payload_for", "points_of", "size_of"),
    *("sparse_vector", "vectors_of", "words_of"),
]

_DECIMALS = 6  # of a value in a request: more than float16 holds, and half of the digits of float32
_VALUE_BYTES = 10  # of a value in a request, as JSON; half of that by gRPC


class Prepared(NamedTuple):
    """A record whose vectors were checked.

    Attributes:
        record: The record.
        vectors: Its token vectors, (tokens, dim) float32.
        order: Its place in the order of addition.
    """

    record: Record
    vectors: NDArray[np.float32]
    order: int

    @property
    def id(self) -> str:
        """The id of the document."""
        return self.record.document.id


class Orders:
    """Numbers that increase, also from one process to the next: microseconds since 1970, below 2**53."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._last = 0

    def __call__(self) -> int:
        """Return the next number."""
        with self._mutex:
            self._last = max(self._last + 1, time.time_ns() // 1000)
            return self._last


def document_point_id(document_id: str) -> str:
    """Return the id of the point of a document."""
    return point_id(DOCUMENT, document_id)


def size_of(prepared: Prepared) -> int:
    """Return about how many bytes a record takes in a request, rather too many than too few."""
    document = prepared.record.document
    text = len(document.text) + 2 * len(document.text_to_encode)  # the other half stands for the words
    image = document.image
    thumbnail = 0 if image is None or image.thumbnail is None else len(image.thumbnail) * 4 // 3
    metadata = len(json.dumps(document.metadata)) if document.metadata else 0
    return prepared.vectors.size * _VALUE_BYTES + 4 * text + thumbnail + 6 * metadata + 1024


def payload_for(record: Record, *, order: int, version: str, tokens: int, codebook: str | None) -> dict[str, Any]:
    """Return the payload of the point of a document.

    Args:
        record: The document; its vectors are not used.
        order: Its place in the order of addition.
        version: Of this write.
        tokens: The number of its token vectors.
        codebook: The name of the centroids of its sparse vector; None if it has none.
    """
    payload = payload_of(record, order=order, version=version)
    payload |= {KIND: DOCUMENT, FILTER: filter_fields(record.document.metadata), TOKEN_COUNT: tokens}
    if codebook is not None:
        payload[CODEBOOK] = codebook
    return payload


def points_of(
    batch: Sequence[Prepared], version: str, *, language: str | None, centroids: Centroids | None
) -> list[models.PointStruct]:
    """Return the points of some documents.

    Args:
        batch: The documents.
        version: Of this write.
        language: Of the words of lexical search.
        centroids: For the sparse vectors; None if there are none yet.
    """
    found = None if centroids is None else centroids.documents([one.vectors for one in batch])
    points = []
    for place, (record, vectors, order) in enumerate(batch):
        sparse = None if found is None or not len(vectors) else found[place]
        codebook = None if centroids is None or sparse is None else centroids.name
        payload = payload_for(record, order=order, version=version, tokens=len(vectors), codebook=codebook)
        named = _vectors_for(vectors, sparse) | words_of(record.document.text_to_encode, language)
        points.append(models.PointStruct(id=document_point_id(record.document.id), vector=named, payload=payload))
    return points


def _vectors_for(vectors: NDArray[np.float32], sparse: NDArray[np.uint32] | None) -> dict[str, Any]:
    if not len(vectors):
        return {}  # Qdrant takes no empty vectors
    named: dict[str, Any] = {TOKENS: _rounded(vectors), MEAN: _rounded(mean_vector(vectors))}
    if sparse is not None:
        named[CENTROIDS] = centroid_vector(sparse)
    return named


def _rounded(vectors: NDArray[np.float32]) -> list[Any]:
    rounded: list[Any] = np.round(vectors.astype(np.float64), _DECIMALS).tolist()
    return rounded


def words_of(text: str, language: str | None) -> dict[str, models.SparseVector]:
    """Return the sparse vector of the words of a text by its name; nothing if there are no words."""
    vector = word_vector(text, language)
    return {WORDS: sparse_vector(vector)} if len(vector.indices) else {}


def centroid_vector(ids: NDArray[np.uint32]) -> models.SparseVector:
    """Return the sparse vector that is 1 at these numbers of centroids."""
    return models.SparseVector(indices=ids.tolist(), values=[1.0] * len(ids))


def sparse_vector(vector: SparseVector) -> models.SparseVector:
    """Return a sparse vector as Qdrant's."""
    return models.SparseVector(indices=vector.indices.tolist(), values=vector.values.tolist())


def vectors_of(point: Any, dim: int = 0) -> NDArray[np.float32]:
    """Return the token vectors of a point that was read with them, (tokens, dim) float32."""
    named = point.vector if isinstance(point.vector, dict) else {}
    tokens = named.get(TOKENS)
    return np.empty((0, dim), np.float32) if not tokens else np.asarray(tokens, np.float32)
