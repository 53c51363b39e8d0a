"""A collection of every kind of vector, and results in a form that can be compared."""

import pytest
from qdrant_client.http import models

from tests.qdrant_edge.random_calls import DIM


def prepare(client):
    client.create_collection(
        "docs",
        vectors_config={
            "tokens": models.VectorParams(
                size=DIM, distance="Dot", multivector_config=models.MultiVectorConfig(comparator="max_sim")
            ),
            "mean": models.VectorParams(size=DIM, distance="Dot"),
        },
        sparse_vectors_config={
            "ids": models.SparseVectorParams(),
            "words": models.SparseVectorParams(modifier=models.Modifier.IDF),
        },
    )


def comparable(value):
    """Return a result without what may differ: versions, rounding, absent against empty payloads, types of ids."""
    match value:
        case models.ScoredPoint():
            return (
                "point",
                str(value.id),
                comparable(value.score),
                comparable(value.payload or {}),
                comparable(value.vector),
            )
        case models.Record():
            return ("point", str(value.id), comparable(value.payload or {}), comparable(value.vector))
        case models.QueryResponse():
            return comparable(value.points)
        case models.CountResult():
            return value.count
        case models.FacetResponse():
            return sorted((each.value, each.count) for each in value.hits)
        case models.SparseVector():
            return comparable(dict(zip(value.indices, value.values, strict=True)))
        case dict():
            return {key: comparable(each) for key, each in value.items()}
        case list() | tuple():
            return [comparable(each) for each in value]
        case float():
            return pytest.approx(value, abs=1e-4)
    return value
