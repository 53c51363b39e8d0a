"""Calls with a known difficulty, by their results in the client's own local mode."""

import numpy as np
import pytest
from qdrant_client.http import models

from tests.qdrant_edge import shared_server
from tests.qdrant_edge.comparing import comparable, prepare
from tests.qdrant_edge.random_calls import DIM


def dense(number):
    return np.random.default_rng(number).normal(size=DIM).tolist()


WORDS = ["the quick brown fox", "a lazy dog", "Quick foxes", "dogs and a fox", "nothing"]


def filled(client):
    """Create a collection of every kind of vector, with payload indexes."""
    prepare(client)
    for name, schema in {
        "n": models.IntegerIndexParams(type="integer", lookup=True, range=True),
        "ratio": models.PayloadSchemaType.FLOAT,
        "color": models.KeywordIndexParams(type="keyword", is_tenant=True),
        "words": models.TextIndexParams(type="text", tokenizer=models.TokenizerType.WORD, lowercase=True),
    }.items():
        client.create_payload_index("docs", name, schema)
    points = [
        models.PointStruct(
            id=number,
            vector={
                "tokens": [dense(number), dense(number + 2)],
                "mean": dense(number),
                "words": models.SparseVector(
                    indices=list(range(number % 6 + 1)), values=[1 + number / 9] * (number % 6 + 1)
                ),
            },
            payload={"n": number * 7 % 20, "ratio": number / 4, "color": "rgb"[number % 3], "words": WORDS[number % 5]},
        )
        for number in range(20)
    ]
    client.upsert("docs", models.Batch(**batch_of(points)))


def batch_of(points):
    names = points[0].vector
    return {
        "ids": [each.id for each in points],
        "vectors": {name: [each.vector[name] for each in points] for name in names},
        "payloads": [each.payload for each in points],
    }


def of_field(key, **condition):
    return models.Filter(must=[models.FieldCondition(key=key, **condition)])


MEAN = models.Prefetch(query=dense(3), using="mean", limit=9)
RARE = models.Prefetch(query=models.SparseVector(indices=[3, 5], values=[1.0, 2.0]), using="words", limit=9)
CALLS = {
    "ascending": ("scroll", {"order_by": "n", "limit": 7}),
    "descending": ("scroll", {"order_by": models.OrderBy(key="n", direction="desc", start_from=11), "limit": 5}),
    "by a float": ("scroll", {"order_by": models.OrderBy(key="ratio", start_from=1.5), "limit": 5}),
    "idf": ("query_points", {"query": RARE.query, "using": "words", "limit": 3, "with_payload": False}),
    "an id": ("query_points", {"query": 4, "using": "tokens", "limit": 5}),
    "an offset": ("query_points", {"query": dense(5), "using": "mean", "limit": 5, "offset": 3}),
    "fusion": ("query_points", {"query": models.FusionQuery(fusion="rrf"), "prefetch": [MEAN], "limit": 5}),
    "two stages": (
        "query_points",
        {
            "query": [dense(1), dense(8)],
            "using": "tokens",
            "limit": 20,
            "prefetch": [models.Prefetch(prefetch=[MEAN, RARE], query=dense(8), using="mean", limit=6)],
        },
    ),
    "words": ("scroll", {"scroll_filter": of_field("words", match=models.MatchText(text="QUICK")), "limit": 20}),
    "facets": ("facet", {"key": "color"}),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_has_the_result_of_local_mode(client, local, name):
    for each in (client, local):
        filled(each)
    method, arguments = CALLS[name]
    found, expected = (getattr(each, method)("docs", **arguments) for each in (client, local))
    assert comparable(found) == comparable(expected)


def test_updated_vectors_and_configurations(client, local):
    for each in (client, local):
        filled(each)
        each.update_vectors("docs", [models.PointVectors(id=3, vector={"mean": dense(9)})])
        each.delete_vectors("docs", ["tokens"], [4])
        each.update_collection("docs", metadata={"a": 1, "b": [1, {"c": None}]})
        each.update_collection("docs", metadata={"b": 2})
    found, expected = (each.retrieve("docs", [3, 4], with_vectors=True) for each in (client, local))
    assert comparable(found) == comparable(expected)
    found, expected = (each.get_collection("docs").config for each in (client, local))
    assert found.metadata == expected.metadata
    assert found.params.vectors == expected.params.vectors
    assert found.params.sparse_vectors == expected.params.sparse_vectors
    assert set(client.get_collection("docs").payload_schema) == {"n", "ratio", "color", "words"}
    client.delete_payload_index("docs", "ratio")
    assert "ratio" not in client.get_collection("docs").payload_schema
    assert client.delete_collection("docs")
    assert not client.collection_exists("docs")


def test_one_server_is_shared_by_a_process():
    assert shared_server() is shared_server()
    client = shared_server().client()
    prepare(client)
    assert client.count("docs").count == 0
    client.delete_collection("docs")
