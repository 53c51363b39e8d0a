"""Check a collection as far as a client can."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qdrant_client import models

from late_interaction.engines.qdrant.points import document_point_id, vectors_of
from late_interaction.engines.qdrant.schema import TOKEN_COUNT, documents
from late_interaction.engines.remote.payload import CONTENT, content_digest, document_of, field_keys
from late_interaction.errors import CorruptIndexError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from late_interaction.engines.qdrant.first_stage import FirstStage
    from late_interaction.engines.qdrant.reading import Reading

__all__ = ["problems_of"]

_SAMPLED_DOCUMENTS = 256


def problems_of(engine: Reading, stage: FirstStage) -> Iterator[str]:
    """Yield one sentence for each problem: in the settings, the centroids, counts, and a random sample of documents."""
    try:
        engine.encoder_record, engine.roots  # noqa: B018  # read
        state = stage.refresh()
    except CorruptIndexError as error:
        yield str(error)
        return
    if state.centroids is not None and state.centroids.dim != engine.dim:
        yield f"The centroids have dimension {state.centroids.dim}, and the token vectors {engine.dim}. Add them again."
    if state.is_complete and (missing := stage.missing()):
        yield f"{missing} documents have no sparse vector of centroids, so searches may miss them. Run compact()."
    for point in sampled(engine):
        yield from _problems_of_point(point, engine.dim)


def sampled(engine: Reading) -> list[models.Record]:
    """Return random documents with their token vectors."""
    keys = [*field_keys(), CONTENT, TOKEN_COUNT]
    found = engine._connection.call(
        "query_points",
        query=models.SampleQuery(sample=models.Sample.RANDOM),
        query_filter=documents(),
        limit=_SAMPLED_DOCUMENTS,
        with_payload=["id"],
        with_vectors=False,
    ).points
    ids = [str((point.payload or {}).get("id")) for point in found]
    return list(engine._with_vectors(ids, keys))


def _problems_of_point(point: models.Record, dim: int) -> Iterator[str]:
    payload = point.payload or {}
    try:
        document = document_of(payload)
    except CorruptIndexError as error:
        yield str(error)
        return
    vectors = vectors_of(point, dim)
    name = f"The document {document.id!r:.200}"
    if point.id != document_point_id(document.id):
        yield f"{name} is stored under the id of another one. Delete it and add it again."
    if payload.get(CONTENT) != content_digest(document):
        yield f"{name} has another content than its vectors were made of. Add it again."
    if len(vectors) != payload.get(TOKEN_COUNT):
        yield f"{name} has {len(vectors)} token vectors, not {payload.get(TOKEN_COUNT)!r} as written. Add it again."
    if vectors.ndim != 2 or vectors.shape[1] != dim or not np.isfinite(vectors).all():
        yield f"{name} has token vectors that are damaged. Add it again."
