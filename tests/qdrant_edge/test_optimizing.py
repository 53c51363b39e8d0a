"""Quantization is used once segments are optimized, which local mode never does."""

import pytest
from qdrant_client.http import models

from tests.engines.helpers import true_score, unit_vectors
from tests.qdrant_edge import EdgeClient

DIM = 32
UNQUANTIZED = models.SearchParams(quantization=models.QuantizationSearchParams(ignore=True))
QUANTIZED = models.SearchParams(quantization=models.QuantizationSearchParams(rescore=False))
RESCORED = models.SearchParams(quantization=models.QuantizationSearchParams(rescore=True, oversampling=4.0))


@pytest.fixture
def client(edge_folder):
    client = EdgeClient(edge_folder)
    yield client
    client.close()


def filled(client, **settings):
    """Create a collection of which each segment is worth optimizing; return its vectors."""
    tokens = models.VectorParams(
        size=DIM,
        distance="Dot",
        hnsw_config=models.HnswConfigDiff(m=0),
        multivector_config=models.MultiVectorConfig(comparator="max_sim"),
    )
    client.create_collection(
        "docs",
        vectors_config={"tokens": tokens, "mean": models.VectorParams(size=DIM, distance="Dot")},
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1),
        **settings,
    )
    vectors = [unit_vectors(number, 8, DIM) for number in range(200)]
    points = [
        models.PointStruct(id=id_, vector={"tokens": each, "mean": each.mean(axis=0)})
        for id_, each in enumerate(vectors)
    ]
    client.upsert("docs", points)
    return vectors


def scores(client, params=None, k=10):
    found = client.query_points("docs", query=unit_vectors(999, 4, DIM), using="tokens", limit=k, search_params=params)
    return {each.id: each.score for each in found.points}


def expected_scores(vectors, k=10):
    query = unit_vectors(999, 4, DIM)
    best = sorted(((true_score(query, each), id_) for id_, each in enumerate(vectors)), reverse=True)[:k]
    return {id_: score for score, id_ in best}


@pytest.mark.parametrize("later", [False, True], ids=["when created", "by an update"])
def test_quantized_scores_are_used_after_optimizing(client, later):
    config = models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8))
    vectors = filled(client, **({} if later else {"quantization_config": config}))
    if later:
        client.update_collection("docs", quantization_config=config)
    exact = scores(client, UNQUANTIZED)
    assert exact == pytest.approx(expected_scores(vectors), abs=1e-3)
    assert client.optimize("docs")
    assert scores(client, UNQUANTIZED) == exact
    quantized = scores(client, QUANTIZED)
    assert quantized != exact
    assert len(quantized.keys() & exact.keys()) >= 8
    assert scores(client, RESCORED) == pytest.approx(exact, abs=1e-5)


def test_an_hnsw_graph_is_built_for_dense_vectors_alone(client):
    filled(client)
    assert client.get_collection("docs").indexed_vectors_count < 400
    client.optimize("docs")
    approximate, exact = (
        client.query_points("docs", [1.0] * DIM, "mean", limit=5, search_params=models.SearchParams(exact=each)).points
        for each in (False, True)
    )
    assert [each.id for each in approximate] == [each.id for each in exact]
    assert client.get_collection("docs").indexed_vectors_count >= 200


def test_many_writes_are_optimized_by_themselves(client, monkeypatch):
    monkeypatch.setattr("tests.qdrant_edge.collection._MIN_POINTS_TO_OPTIMIZE", 50)
    filled(client, quantization_config=models.BinaryQuantization(binary=models.BinaryQuantizationConfig()))
    assert scores(client, QUANTIZED) != scores(client, UNQUANTIZED)
