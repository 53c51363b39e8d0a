"""Recall of quantized vectors with rescoring, and of the first stage, on the real engine; filters inside both."""

from __future__ import annotations

import numpy as np
import pytest
from qdrant_client import models

from late_interaction import Document
from late_interaction.engines import QdrantEngine, Record, first_stage
from late_interaction.engines.first_stage import training
from tests.engines.helpers import stored as rounded
from tests.qdrant_edge import EdgeClient

DIM, DOCUMENTS, QUERIES, K = 32, 400, 20, 10
QUANTIZATIONS = {
    "none": None,
    "scalar": models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type="int8", always_ram=True)),
    "binary": models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True)),
    "product": models.ProductQuantization(product=models.ProductQuantizationConfig(compression="x8")),
    "turbo": models.TurboQuantization(turbo=models.TurboQuantQuantizationConfig(bits="bits4")),
}


@pytest.fixture(scope="module")
def collection():
    """Documents of clustered token vectors, and queries near the tokens of some of them."""
    draw = np.random.default_rng(3)
    topics = draw.normal(size=(40, DIM))

    def tokens(topic, count):
        vectors = topics[topic] + 0.7 * draw.normal(size=(count, DIM))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    documents = [tokens(draw.choice(40, 12), 12) for _ in range(DOCUMENTS)]
    queries = []
    for _ in range(QUERIES):
        near = documents[draw.integers(DOCUMENTS)][:5] + 0.1 * draw.normal(size=(5, DIM)).astype(np.float32)
        queries.append((near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32))
    return documents, queries


def recall(engine, collection, where=None, passes=lambda number: True):
    """Return the share of the best by NumPy that are found; scores are exact."""
    documents, queries = collection
    found = []
    for query in queries:
        scores = np.array([(rounded(one) @ query.T.astype(np.float64)).max(axis=0).sum() for one in documents])
        scores[[not passes(number) for number in range(len(documents))]] = -np.inf
        best = {f"d{number}" for number in np.argsort(-scores)[:K]}
        matches = engine.search(query, K, where=where)
        assert len(matches) == K
        for match in matches:
            assert match.score == pytest.approx(scores[int(match.id[1:])], abs=2e-3)
        found.append(len(best & {match.id for match in matches}) / K)
    return np.mean(found)


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=[] if one == "turbo" else [pytest.mark.slow]) for one in QUANTIZATIONS]
)
def test_recall(edge_folder, collection, name, monkeypatch):
    monkeypatch.setattr(first_stage, "MIN_TRAINING_TOKENS", 1000)
    monkeypatch.setattr(training, "_CENTROIDS_PER_ROOT_TOKEN", 3)
    client = EdgeClient(edge_folder)
    engine = QdrantEngine(client=client, dim=DIM, candidates=150, quantization=QUANTIZATIONS[name])
    engine.upsert(
        Record(Document(f"text {number}", id=f"d{number}", metadata={"third": number % 3}), vectors)
        for number, vectors in enumerate(collection[0])
    )
    client.optimize("documents")
    info = engine.info()
    assert (info["quantized"], info["first_stage"]) == (name != "none", "means and centroids")
    assert recall(engine, collection) >= (0.7 if name == "binary" else 0.95)  # a bit for each of 32 dimensions
    filtered = recall(engine, collection, {"third": 1}, lambda number: number % 3 == 1)
    assert filtered >= (0.7 if name == "binary" else 0.98)
    client.close()
