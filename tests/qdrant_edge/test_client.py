"""EdgeClient: the engine's answers against plain NumPy, and what it keeps."""

import numpy as np
import pytest
from qdrant_client.http import models
from qdrant_client.http.exceptions import UnexpectedResponse

from tests.engines.helpers import true_score, unit_vectors
from tests.qdrant_edge import EdgeClient

DIM = 8
TOKENS = models.VectorParams(
    size=DIM,
    distance="Dot",
    datatype="float16",
    on_disk=True,
    hnsw_config=models.HnswConfigDiff(m=0),
    multivector_config=models.MultiVectorConfig(comparator="max_sim"),
)


def filled(client, documents=40):
    """Create a collection of multivectors; return them by id."""
    client.create_collection("docs", vectors_config={"tokens": TOKENS}, metadata={"a": 1, "b": 2})
    vectors = {number: unit_vectors(number, 1 + number % 5) for number in range(documents)}
    client.upsert(
        "docs",
        [models.PointStruct(id=id_, vector={"tokens": each}, payload={"n": id_}) for id_, each in vectors.items()],
    )
    return vectors


def test_scores_are_maxsim_of_the_stored_vectors(edge_folder):
    client = EdgeClient(edge_folder)
    vectors = filled(client)
    query = unit_vectors(99, 4)
    found = client.query_points("docs", query=query, using="tokens", limit=10).points
    expected = sorted(((true_score(query, each), id_) for id_, each in vectors.items()), reverse=True)[:10]
    assert [each.id for each in found] == [id_ for _, id_ in expected]
    np.testing.assert_allclose([each.score for each in found], [score for score, _ in expected], atol=1e-3)
    client.close()


def test_a_reopened_folder_has_its_collections(edge_folder):
    client = EdgeClient(edge_folder)
    filled(client)
    client.create_payload_index("docs", "n", "integer")
    client.update_collection("docs", metadata={"b": 3, "c": 4})
    before = client.get_collection("docs")
    client.close()
    client = EdgeClient(edge_folder)
    assert client.collection_exists("docs")
    assert not client.collection_exists("others")
    assert client.get_collection("docs").model_dump() == before.model_dump()
    assert before.config.metadata == {"a": 1, "b": 3, "c": 4}
    assert before.points_count == 40
    assert client.retrieve("docs", [7])[0].payload == {"n": 7}
    client.close()


def test_errors_are_those_of_a_server(edge_folder):
    client = EdgeClient(edge_folder)
    filled(client)
    wrong = models.PointStruct(id=1, vector={"tokens": [[1.0]]})
    for status, part, call in [
        (404, "Collection `others` doesn't exist!", lambda: client.get_collection("others")),
        (409, "Collection `docs` already exists!", lambda: client.create_collection("docs")),
        (400, "Vector dimension error: expected dim: 8, got 1", lambda: client.upsert("docs", [wrong])),
        (400, "value doc is not a valid point ID", lambda: client.delete("docs", ["doc"])),
        (404, "No point with id 999 found", lambda: client.set_payload("docs", {"a": 1}, points=[999])),
    ]:
        with pytest.raises(UnexpectedResponse) as caught:
            call()
        assert caught.value.status_code == status
        assert part in caught.value.structured()["status"]["error"]
    client.close()
