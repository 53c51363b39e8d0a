"""Candidates of mean vectors and centroids over LanceDB: training, missing centroids, filters, exactness."""

from __future__ import annotations

import numpy as np
import pytest

from late_interaction.documents import Document
from late_interaction.engines import LanceDBEngine, Record
from late_interaction.engines.first_stage import Centroids
from late_interaction.engines.lancedb import codebooks, searching
from late_interaction.errors import InvalidVectorsError
from tests.conformance.helpers import maxsim
from tests.engines.helpers import unit_vectors
from tests.engines.lancedb_engines import DIM, centers, clustered, document_ids, engine, trained_early

__all__ = ["engine"]

COUNT = 300
DEPTH = 40


def records(count=COUNT, first=0):
    return [
        Record(Document(f"text {n}", id=f"d{n}", metadata={"even": n % 2 == 0, "n": n}), clustered(n))
        for n in range(first, first + count)
    ]


@pytest.fixture
def trained(tmp_path):
    """Documents with centroids, of which few are candidates."""
    with trained_early(1000), LanceDBEngine(tmp_path / "index", dim=DIM, candidates=DEPTH) as made:
        made.upsert(records())
        yield made


def best(query, k, passes=lambda n: True):
    scores = {f"d{n}": maxsim(query, clustered(n)) for n in range(COUNT) if passes(n)}
    return sorted(scores, key=scores.get, reverse=True)[:k]


def expected(engine, query, k, passes=lambda n: True, known=lambda n: True, depth=DEPTH):
    """The k best among the candidates of both first stages, by their definitions in numpy."""
    numbers = [n for n in range(COUNT) if passes(n)]
    centroids = engine.centroids()
    sums = np.array([clustered(n).sum(axis=0) for n in numbers])
    by_mean = sums / np.linalg.norm(sums, axis=1, keepdims=True) @ query.sum(axis=0)
    weights = np.zeros(len(centroids))
    sparse = Centroids(centroids).query(query)
    weights[sparse.indices] = sparse.values
    nearest = [set(np.argmin(((clustered(n)[:, None] - centroids) ** 2).sum(axis=2), axis=1).tolist()) for n in numbers]
    by_centroids = np.array(
        [sum(weights[one] for one in ids) if known(n) else 0 for n, ids in zip(numbers, nearest, strict=True)]
    )
    everywhere = all(map(known, numbers))
    chosen = set(np.argsort(-by_mean)[: depth // 4 if everywhere else depth].tolist())
    chosen |= {one for one in np.argsort(-by_centroids)[: depth - depth // 4].tolist() if by_centroids[one] > 0}
    scores = {f"d{numbers[one]}": maxsim(query, clustered(numbers[one])) for one in chosen}
    return sorted(scores, key=scores.get, reverse=True)[:k]


def agreement(engine, passes=lambda n: True, known=lambda n: True, **options):
    """The share of hits that are those of `expected`.

    Sums of weights may be equal, and assignment may take a centroid that is nearly as close as the nearest.
    """
    found = []
    for seed in range(12):
        query = clustered(1000 + seed, 4)
        wanted = expected(engine, query, 10, passes, known)
        found.append(len(set(wanted) & {match.id for match in engine.search(query, 10, **options)}) / len(wanted))
    return np.mean(found)


def recall(engine):
    """Of queries that are parts of documents."""
    found = []
    for n in range(0, COUNT, 15):
        query = clustered(n)[:4] + 0.05 * unit_vectors(n, 4)
        found.append(best(query, 1)[0] == engine.search(query, 1)[0].id)
    return np.mean(found)


def test_the_candidates_are_those_of_both_first_stages(trained):
    assert trained.info()["centroids"] > 0
    assert trained._states.last().postings.is_complete
    assert agreement(trained) > 0.9
    assert recall(trained) > 0.9


def test_scores_are_exact(trained):
    query = clustered(5000, 4)
    for match in trained.search(query, 10):
        assert match.score == pytest.approx(maxsim(query, clustered(int(match.id[1:]))), abs=5e-3)


@pytest.mark.parametrize(
    ("where", "passes"),
    [
        ({"even": True}, lambda n: n % 2 == 0),
        ({"n": {"$gte": 100}}, lambda n: n >= 100),
        ({"$not": {"n": {"$lt": 100}}}, lambda n: n >= 100),
        ({"$or": [{"even": True}, {"n": {"$gt": 200}}]}, lambda n: n % 2 == 0 or n > 200),
    ],
)
def test_filters_are_applied_before_the_first_stages(trained, where, passes):
    """So as many pass as are candidates, also of filters that SQL cannot say."""
    assert agreement(trained, passes, where=where) > 0.9
    found = trained.search(clustered(7000, 4), DEPTH, where=where)
    assert len(found) == DEPTH
    assert all(passes(int(match.id[1:])) for match in found)


def test_what_few_pass_is_exact(trained):
    """And so are candidates of the caller."""
    query = clustered(8000, 3)
    wanted = best(query, 10, lambda n: n >= COUNT - DEPTH)
    assert [match.id for match in trained.search(query, 10, where={"n": {"$gte": COUNT - DEPTH}})] == wanted
    wanted = best(query, 10, lambda n: n % 3)
    assert [
        match.id for match in trained.search(query, 10, candidates=[f"d{n}" for n in range(COUNT) if n % 3])
    ] == wanted


def test_k_is_never_cut(trained):
    assert len(trained.search(clustered(1, 3), COUNT + 10)) == COUNT
    assert len(trained.search(clustered(1, 3), 3 * DEPTH)) == 3 * DEPTH


def test_documents_without_tokens_score_zero(trained):
    """They come before documents that are the opposite of the query."""
    empty = Record(Document("", id="empty"), np.zeros((0, DIM), np.float32))
    trained.upsert([empty])
    query = -centers()[:1]
    opposite = [Record(Document("", id=f"o{n}"), -query) for n in range(COUNT)]
    trained.clear()
    trained.upsert([empty, *opposite])
    assert [match.id for match in trained.search(query, 1)] == ["empty"]
    assert len(trained.search(query, 5)) == 5


class TestTraining:
    def test_not_before_there_are_enough_tokens(self, tmp_path):
        with trained_early(1000), LanceDBEngine(tmp_path / "index", dim=DIM, candidates=DEPTH) as engine:
            engine.upsert(records(100))
            assert engine.centroids() is None
            assert (engine.info()["first_stage"], engine.info()["centroids"]) == ("none", 0)
            assert len(engine.search(clustered(1), 10)) == 10
            engine.upsert(records(100, first=100))
            assert engine.centroids().shape[1] == DIM
            assert engine._states.last().postings.is_complete

    def test_everything_is_scored_before(self, tmp_path, monkeypatch):
        monkeypatch.setattr(searching, "_MIN_CANDIDATES", 10)
        with LanceDBEngine(tmp_path / "index", dim=DIM) as engine:
            engine.upsert(records())
            for n in range(20):
                query = clustered(n)[:4]
                assert [match.id for match in engine.search(query, 2)] == best(query, 2)

    def test_documents_added_later_have_centroids_at_once(self, trained):
        trained.upsert(records(5, first=COUNT))
        assert trained._states.last().postings.is_complete
        query = clustered(COUNT + 3)
        assert trained.search(query, 1)[0].id == f"d{COUNT + 3}"

    def test_an_interrupted_search_for_missing_centroids_goes_on(self, tmp_path, monkeypatch):
        monkeypatch.setattr(codebooks, "_ASSIGNED_TOGETHER", 50)
        original, calls = codebooks.Codebooks._assign, []

        def interrupted(self, *arguments):
            calls.append(arguments)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return original(self, *arguments)

        monkeypatch.setattr(codebooks.Codebooks, "_assign", interrupted)
        with trained_early(1000), LanceDBEngine(tmp_path / "index", dim=DIM, candidates=DEPTH) as engine:
            with pytest.raises(KeyboardInterrupt):
                engine.upsert(records())
            assert document_ids(engine) == [f"d{n}" for n in range(COUNT)]
            postings = engine._states.last().postings
            assert postings.is_used
            assert not postings.is_complete
            assert agreement(engine, known=lambda n: n < 100) > 0.9  # the others are found by their means alone
            engine.compact()
            assert engine._states.last().postings.is_complete
            assert len(calls) == 7  # two before, the interrupted one, four after
            assert agreement(engine) > 0.9
            assert engine.verify().problems == ()

    def test_the_codebook_grows(self, tmp_path, monkeypatch):
        with trained_early(200), LanceDBEngine(tmp_path / "index", dim=DIM, candidates=DEPTH) as engine:
            engine.upsert(records(40))
            first = engine.centroids()
            engine.upsert(records(260, first=40))
            engine.compact()
            grown = engine.centroids()
            assert len(grown) >= 2 * len(first)
            assert (grown[: len(first)] == first).all()
            assert engine._states.last().postings.is_complete
            assert agreement(engine) > 0.9
            assert engine.verify().problems == ()

    def test_it_is_read_by_others(self, trained, tmp_path):
        with LanceDBEngine(tmp_path / "index", candidates=DEPTH) as other:
            assert (other.centroids() == trained.centroids()).all()
            query = clustered(9000, 4)
            assert other.search(query, 10) == trained.search(query, 10)


class TestAdopting:
    def test_centroids_of_another_engine(self, trained, tmp_path):
        with LanceDBEngine(tmp_path / "other", dim=DIM, candidates=DEPTH) as other:
            other.adopt_centroids(trained.centroids())
            other.upsert(records())
            assert (other.centroids() == trained.centroids()).all()
            assert agreement(other) > 0.9

    def test_also_of_documents_that_are_there(self, trained, tmp_path):
        with LanceDBEngine(tmp_path / "other", dim=DIM, candidates=DEPTH) as other:
            other.upsert(records())
            other.adopt_centroids(trained.centroids())
            assert other._states.last().postings.is_complete
            assert agreement(other) > 0.9

    def test_own_ones_stay(self, trained):
        before = trained.centroids()
        trained.adopt_centroids(centers())
        assert (trained.centroids() == before).all()

    def test_of_another_dimension(self, engine):
        with pytest.raises(InvalidVectorsError, match=str(DIM)):
            engine.adopt_centroids(np.ones((3, DIM + 1)))
        assert engine.centroids() is None
