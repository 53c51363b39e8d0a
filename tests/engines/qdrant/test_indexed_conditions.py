"""Every condition of the engine itself is about a field with a payload index, which strict mode of a server needs."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from late_interaction import Document
from late_interaction.engines import QdrantEngine, Record, first_stage
from late_interaction.engines.qdrant import schema
from tests.conformance.helpers import record, unit_vectors
from tests.qdrant_edge import EdgeClient
from tests.qdrant_edge.conftest import edge_folder  # noqa: F401  # a fixture


def keys_in(value):
    """The keys of all conditions in the arguments of a call."""
    if isinstance(value, BaseModel):
        if type(value).__name__ == "FieldCondition":
            yield value.key
        if type(value).__name__ in ("IsEmptyCondition", "IsNullCondition"):
            yield next(iter(value.__dict__.values())).key
        value = value.__dict__
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for one in value:
            yield from keys_in(one)


class Recording:
    """A client that notes the keys of conditions."""

    def __init__(self, client):
        self._client, self.keys = client, set()

    def __getattr__(self, name):
        method = getattr(self._client, name)

        def noted(*arguments, **options):
            self.keys.update(keys_in([arguments, options]))
            return method(*arguments, **options)

        return noted


@pytest.fixture
def client(edge_folder):  # noqa: F811
    client = EdgeClient(edge_folder)
    yield Recording(client)
    client.close()


def test_all_keys_have_an_index(client, monkeypatch):
    monkeypatch.setattr(first_stage, "MIN_TRAINING_TOKENS", 200)
    engine = QdrantEngine(client=client, dim=16, candidates=10)
    for start in range(0, 200, 20):
        engine.upsert([record(f"d{number}", vectors=unit_vectors(number, 12)) for number in range(start, start + 20)])
    engine.compact()
    engine.upsert_keeping([Record(Document("new", id="new"), unit_vectors(1, 2))], list, replacing={"a": {"$in": [1]}})
    engine.update_metadata(["d1"], {"a": 1})
    engine.search(unit_vectors(1, 2), 3, where={"a": 1})
    engine.search_lexical("text", 3)
    assert len(list(engine.scan())) == 201
    engine.verify()
    engine.info()
    engine.set_root(["d1"], 1)
    list(engine.scan(root=1))
    engine.delete(where={"a": {"$exists": True}})
    engine.clear()
    assert schema.VERSION in client.keys
    assert client.keys <= schema.payload_indexes().keys()
