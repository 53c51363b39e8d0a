"""Candidate generation inside the real Qdrant engine: its life cycle, and what searches find through it."""

from __future__ import annotations

import numpy as np
import pytest

from late_interaction.engines import QdrantEngine, first_stage
from late_interaction.engines.first_stage import size_for
from late_interaction.engines.qdrant import schema, searching
from late_interaction.engines.qdrant import writing as writing_module
from late_interaction.engines.qdrant.settings import FIRST_STAGE
from late_interaction.errors import CorruptIndexError
from tests.conformance.helpers import Truth, ids_of, record, unit_vectors
from tests.engines.qdrant_engines import quick
from tests.qdrant_edge import EdgeClient
from tests.qdrant_edge.conftest import edge_folder  # noqa: F401  # a fixture

MIN_TOKENS = 600
CANDIDATES = 40


@pytest.fixture(autouse=True)
def _trained_early(monkeypatch):
    monkeypatch.setattr(first_stage, "MIN_TRAINING_TOKENS", MIN_TOKENS)
    monkeypatch.setattr(writing_module, "_BATCH_DOCUMENTS", 16)


@pytest.fixture
def client(edge_folder):  # noqa: F811
    client = EdgeClient(edge_folder)
    yield client
    client.close()


@pytest.fixture
def engine(client):
    return QdrantEngine(client=client, dim=16, candidates=CANDIDATES)


TOPICS = unit_vectors(99, 60)


def topical(number, tokens=12):
    """A document whose tokens are near few of many topics, as words are."""
    rng = np.random.default_rng(number)
    vectors = TOPICS[rng.integers(0, len(TOPICS), tokens)] + 0.1 * rng.normal(size=(tokens, 16))
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return record(f"d{number}", vectors=vectors.astype(np.float32), n=number, even=number % 2 == 0)


RECORDS = [topical(number) for number in range(200)]


def sparse_of(client):
    """The centroids of each document, as stored, and the name of the codebook that they refer to."""
    points, _ = client.scroll(
        "documents", scroll_filter=schema.documents(), limit=1000, with_vectors=["centroids"], with_payload=True
    )
    return {
        point.payload["id"]: (point.payload.get("codebook"), sorted(point.vector["centroids"].indices))
        for point in points
        if "centroids" in (point.vector or {})
    }


def check_sparse(engine, client, records):
    """Every document has the sparse vector of its stored vectors."""
    state = engine._stage.refresh()
    found = sparse_of(client)
    assert found.keys() == {one.document.id for one in records if len(one.vectors)}
    stored = engine.vectors(list(found))
    for key, (codebook, ids) in found.items():
        assert codebook == state.centroids.name
        scores = stored[key] @ state.centroids.values.T
        assert len(ids) <= len(scores)
        near = scores[:, ids].max(axis=1) >= scores.max(axis=1) - 0.25
        assert near.mean() >= 0.75  # a centroid is found among the nearest cells, so a few tokens have one farther away


def test_means_alone_until_there_are_enough_tokens(engine, client):
    engine.upsert(RECORDS[:20])
    assert engine.centroids() is None
    assert engine.info()["first_stage"] == "means"
    assert sparse_of(client) == {}
    assert len(engine.search(RECORDS[3].vectors, 5)) == 5


def test_everything_is_scored_until_there_are_enough_tokens(client, monkeypatch):
    monkeypatch.setattr(searching, "_MIN_CANDIDATES", 10)
    engine = QdrantEngine(client=client, dim=16)
    engine.upsert(RECORDS[:49])
    assert engine.info()["first_stage"] == "none"
    truth = Truth(engine, RECORDS[:49])
    truth.error = 1e-3
    for number in range(20):
        query = topical(3000 + number, tokens=6).vectors
        truth.check_best(query, engine.search(query, 2), 2, ids=[one.document.id for one in RECORDS[:49]])


def test_it_is_trained_in_the_middle_of_a_long_write_and_completed(engine, client):
    engine.upsert(RECORDS)
    info = engine.info()
    assert info["first_stage"] == "means and centroids"
    assert MIN_TOKENS**0.5 * 10 <= info["centroids"] <= size_for(2400)
    assert info["tokens"] == 2400
    assert len(sparse_of(client)) == len(RECORDS)
    engine.compact()
    check_sparse(engine, client, RECORDS)


def test_small_writes_count_together(engine, client):
    for number in range(0, 60, 5):
        engine.upsert(RECORDS[number : number + 5])
    assert engine.info()["first_stage"] == "means and centroids"
    check_sparse(engine, client, RECORDS[:60])


def test_another_process_trains_from_what_is_stored(client):
    first = QdrantEngine(client=client, dim=16)
    first._stage.grow = first._stage.refresh  # as an engine that never gets so far
    first.upsert(RECORDS[:100])
    assert sparse_of(client) == {}
    other = QdrantEngine(client=client)
    other.upsert(RECORDS[100:101])
    check_sparse(other, client, RECORDS[:101])


def test_searches_use_both_stages_and_find_the_best(client):
    engine = QdrantEngine(client=client, dim=16, candidates=80)
    engine.upsert(RECORDS)
    truth = Truth(engine, RECORDS)
    truth.error = 1e-3
    hits = wanted = 0
    for number in range(0, 200, 5):
        query = topical(1000 + number, tokens=6).vectors
        found = engine.search(query, 10)
        truth.check(query, found)
        assert len(found) == 10
        best = sorted(truth.scores(query).items(), key=lambda pair: -pair[1])[:10]
        hits += len({key for key, _ in best} & set(ids_of(found)))
        wanted += 10
    assert hits / wanted > 0.9
    for is_filtered, limit in ((False, 10), (True, 40)):
        request = engine._prefetch(RECORDS[0].vectors, 40, schema.documents(), is_filtered=is_filtered)
        assert [(one.using, one.limit) for one in request] == [("mean", limit), ("centroids", 30)]


def test_a_selective_filter_is_searched_exactly(engine):
    engine.upsert(RECORDS)
    truth = Truth(engine, RECORDS)
    truth.error = 1e-3
    for number in range(5):
        query = topical(2000 + number, tokens=6).vectors
        for where, ids in (
            ({"n": {"$in": [1, 3, 5]}}, ["d1", "d3", "d5"]),
            ({"n": {"$lt": 4}}, [f"d{n}" for n in range(4)]),
        ):
            truth.check_best(query, engine.search(query, 10, where=where), 10, ids=ids)
        found = engine.search(query, 90, where={"even": True})
        assert len(found) == 90
        assert all(int(one[1:]) % 2 == 0 for one in ids_of(found))


def test_an_interrupted_fill_goes_on_with_the_next_write(engine, client, monkeypatch):
    engine.upsert(RECORDS[:45])
    quick(engine)
    calls = iter(range(100))
    batch_update = client.batch_update_points

    def failing(*arguments, **options):
        if next(calls) < 9:
            raise ConnectionError("gone")
        return batch_update(*arguments, **options)

    monkeypatch.setattr(client, "batch_update_points", failing)
    engine.upsert(RECORDS[45:120])
    other = QdrantEngine(client=client, candidates=CANDIDATES)
    assert not other._stage.current.is_complete
    assert len(other.search(RECORDS[3].vectors, 5)) == 5
    while not other._stage.current.is_complete:
        other.upsert(RECORDS[120:121])
    other.compact()
    check_sparse(other, client, RECORDS[:121])


def test_it_is_extended_as_the_collection_grows(engine, client):
    engine.upsert(RECORDS[:60])
    before = engine.centroids()
    engine.upsert([topical(number) for number in range(60, 500)])
    after = engine.centroids()
    assert len(after) >= 2 * len(before)
    assert (after[: len(before)] == before).all()
    assert engine.info()["first_stage"] == "means and centroids"
    assert len({codebook for codebook, _ in sparse_of(client).values()}) > 1
    engine.compact()
    check_sparse(engine, client, [topical(number) for number in range(500)])
    parts, _ = client.scroll("documents", limit=1000, with_payload=["kind"])
    assert sum(one.payload["kind"] == "codebook" for one in parts) == 1


def test_adopted_centroids(engine, client):
    centroids = unit_vectors(5, 50).astype(np.float16).astype(np.float32)
    engine.adopt_centroids(centroids)
    assert (engine.centroids() == centroids).all()
    engine.adopt_centroids(unit_vectors(6, 10))
    assert (engine.centroids() == centroids).all()
    engine.upsert(RECORDS[:10])
    check_sparse(engine, client, RECORDS[:10])
    assert QdrantEngine(client=client).info()["first_stage"] == "none"  # so few documents are all scored
    assert QdrantEngine(client=client, candidates=CANDIDATES).info()["first_stage"] == "means and centroids"


def test_documents_replaced_while_it_is_filled_keep_their_own_vectors(engine, client, monkeypatch):
    engine.upsert(RECORDS[:40])
    other = QdrantEngine(client=client, candidates=CANDIDATES)
    write = other._stage._write_sparse

    def replaced_first(page, centroids):
        engine.upsert([record("d3", vectors=unit_vectors(7, 4))])
        write(page, centroids)

    monkeypatch.setattr(other._stage, "_write_sparse", replaced_first)
    other.upsert(RECORDS[40:60])
    other.compact()
    monkeypatch.undo()
    engine.compact()
    check_sparse(engine, client, RECORDS[:60])


def test_damaged_centroids_are_reported(engine, client):
    engine.upsert(RECORDS[:80])
    assert engine.verify().problems == ()
    name = engine._stage.current.centroids.name
    point = schema.point_id(schema.CODEBOOK_PART, f"{name}/0")
    client.set_payload("documents", {"data": "AAAA"}, [point])
    other = QdrantEngine(client=client, candidates=10)
    assert any("centroids" in problem for problem in other.verify().problems)
    with pytest.raises(CorruptIndexError, match="centroids"):
        other.search(RECORDS[0].vectors, 3)
    client.delete("documents", [point])
    with pytest.raises(CorruptIndexError, match="centroids"):
        other.search(RECORDS[0].vectors, 3)


def test_local_mode_has_none_unless_candidates_are_chosen():
    with QdrantEngine(location=":memory:", dim=16) as exact:
        exact.upsert(RECORDS[:80])
        assert exact.centroids() is None
        assert exact.capabilities.exact_search
    with QdrantEngine(location=":memory:", dim=16, candidates=20) as engine:
        engine.upsert(RECORDS[:80])
        assert engine.info()["first_stage"] == "means and centroids"
        assert len(engine.search(RECORDS[5].vectors, 5)) == 5
        assert engine.search(RECORDS[5].vectors, 1)[0].id == "d5"
        assert FIRST_STAGE not in (engine.encoder_record or {})
