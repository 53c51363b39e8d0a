"""A collection that others delete and create again, or whose centroids they extend, while an engine has it open."""

from __future__ import annotations

import pytest

from late_interaction.engines import QdrantEngine, first_stage
from late_interaction.engines.qdrant import first_stage as qdrant_first_stage
from late_interaction.errors import IndexNotFoundError, IndexReplacedError
from tests.conformance.helpers import record, unit_vectors
from tests.qdrant_edge import EdgeClient
from tests.qdrant_edge.conftest import edge_folder  # noqa: F401  # a fixture


@pytest.fixture
def client(edge_folder):  # noqa: F811
    client = EdgeClient(edge_folder)
    yield client
    client.close()


def records(numbers, tokens=12):
    return [record(f"d{number}", vectors=unit_vectors(number, tokens)) for number in numbers]


@pytest.fixture
def replaced(client, monkeypatch):
    """An engine with centroids whose collection was replaced by one of another engine."""
    monkeypatch.setattr(first_stage, "MIN_TRAINING_TOKENS", 600)
    engine = QdrantEngine(client=client, dim=16)
    engine.upsert(records(range(100)))
    assert engine.centroids() is not None
    client.delete_collection("documents")
    other = QdrantEngine(client=client, dim=16)
    other.upsert(records(range(100, 200)))
    return engine, other


class TestReplaced:
    def test_nothing_is_written_with_the_centroids_of_another_collection(self, replaced):
        engine, other = replaced
        before = other.centroids()
        with pytest.raises(IndexReplacedError, match="Open it again"):
            engine.upsert(records(range(200, 300)))
        with pytest.raises(IndexReplacedError):
            engine.upsert_keeping(records(range(200, 300)), list)
        with pytest.raises(IndexReplacedError):
            engine.compact()
        assert other.count() == 100
        other._stage.refresh()
        assert (other.centroids() == before).all()

    def test_a_search_notices_it_within_a_minute(self, replaced, monkeypatch):
        engine, _ = replaced
        start = qdrant_first_stage.time.monotonic()
        monkeypatch.setattr(qdrant_first_stage.time, "monotonic", lambda: start + 61)
        with pytest.raises(IndexReplacedError):
            engine.search(unit_vectors(1, 4), 3)

    def test_a_small_collection_too(self, client):
        engine = QdrantEngine(client=client, dim=16)
        engine.upsert(records(range(3)))
        client.delete_collection("documents")
        with pytest.raises(IndexNotFoundError):
            engine.upsert(records(range(3)))
        QdrantEngine(client=client, dim=8).upsert([record("a", vectors=unit_vectors(1, 2, dim=8))])
        for call in (lambda: engine.upsert(records(range(3))), lambda: engine.encoder_record, engine.info):
            with pytest.raises(IndexReplacedError):
                call()


def test_of_two_writers_that_extend_the_same_centroids_one_wins(client, monkeypatch):
    monkeypatch.setattr(first_stage, "MIN_TRAINING_TOKENS", 600)
    one = QdrantEngine(client=client, dim=16)
    one.upsert(records(range(60)))
    other = QdrantEngine(client=client)
    install = other._stage._install_extended

    def after_the_other(*arguments):
        one.upsert(records(range(60, 400)))
        install(*arguments)

    other._stage.current  # noqa: B018  # read
    monkeypatch.setattr(other._stage, "_install_extended", after_the_other)
    before = len(one.centroids())
    other._size.added(0, 0)
    monkeypatch.setattr(type(other._size), "tokens", 6000)
    other._stage.grow()
    one._stage.refresh()
    assert len(one.centroids()) >= 2 * before
    assert (other.centroids() == one.centroids()).all()
    assert one.verify().problems == ()
