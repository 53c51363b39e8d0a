"""`search`, `score` and `search_lexical` against MaxSim in plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from late_interaction.errors import InvalidDocumentError, InvalidRequestError, InvalidVectorsError
from tests.conformance.helpers import (
    DIM,
    Truth,
    at_most,
    collection,
    ids_of,
    needs,
    queries,
    record,
    unit_vectors,
)

COUNT = 130


@pytest.fixture
def filled(engine):
    """An engine of documents that were added in several calls, some replaced, some deleted; and the truth."""
    records = collection(COUNT)
    engine.upsert(records[:60])
    engine.upsert(records[60:120])
    engine.upsert(records[120:])
    engine.upsert(records[5:9])
    gone = {f"d{number}" for number in range(0, COUNT, 13)}
    engine.delete(ids=gone)
    return engine, Truth(engine, [one for one in records if one.document.id not in gone])


class TestSearch:
    def test_every_score_is_true_and_k_are_k(self, filled):
        engine, truth = filled
        for query in queries():
            for k in (1, 7, at_most(engine, 50)):
                found = engine.search(query, k)
                truth.check(query, found)
                assert len(found) == k

    def test_the_best_k(self, filled):
        engine, truth = filled
        needs(engine, "exact_search")
        for query in queries():
            for k in (1, 10, 50, COUNT):
                truth.check_best(query, engine.search(query, k), min(k, len(truth.vectors)))

    def test_a_document_is_found_by_its_own_vectors(self, filled):
        """Also where search is approximate, and among the first few."""
        engine, truth = filled
        long = [key for key, vectors in truth.vectors.items() if len(vectors) > 1][:40]
        found = [key in ids_of(engine.search(truth.vectors[key], 10)) for key in long]
        assert np.mean(found) > 0.95

    def test_k_above_the_size_of_the_collection(self, engine):
        records = collection(9)
        engine.upsert(records)
        truth = Truth(engine, records)
        for query in queries():
            truth.check_best(query, engine.search(query, at_most(engine, 1000)), 9)

    def test_an_empty_collection(self, engine):
        assert engine.search(unit_vectors(1, 3)) == []
        assert engine.search(unit_vectors(1, 3), candidates=["a"]) == []
        assert engine.score(unit_vectors(1, 3), ["a"]) == {}

    def test_k_is_ten(self, filled):
        engine, _ = filled
        assert len(engine.search(unit_vectors(1, 3))) == 10

    def test_a_query_without_tokens_scores_zero(self, filled):
        engine, _ = filled
        found = engine.search(np.zeros((0, DIM), np.float32), 5)
        assert [match.score for match in found] == [0.0] * 5
        assert set(engine.score(np.zeros((0, DIM), np.float32), ["d1", "d2"]).values()) == {0.0}

    def test_vectors_of_a_list(self, filled):
        engine, _ = filled
        query = unit_vectors(1, 3)
        assert ids_of(engine.search(query.tolist(), 5)) == ids_of(engine.search(query, 5))

    def test_the_query_is_not_changed(self, filled):
        engine, _ = filled
        query = unit_vectors(1, 3)
        query.flags.writeable = False
        before = query.copy()
        engine.search(query, 5)
        engine.score(query, ["d1"])
        assert (query == before).all()

    def test_only_documents_that_pass(self, filled):
        engine, truth = filled
        passing = [key for key in truth.vectors if int(key[1:]) % 2 == 0]
        for query in queries():
            found = engine.search(query, at_most(engine, COUNT), where={"even": True})
            truth.check(query, found)
            assert set(ids_of(found)) <= set(passing)
            assert len(found) == at_most(engine, len(passing))

    def test_few_that_pass_are_all_found(self, filled):
        engine, truth = filled
        for query in queries():
            found = engine.search(query, 10, where={"n": {"$in": [1, 2, 3, 999]}})
            truth.check_best(query, found, 10, ids=["d1", "d2", "d3"])
        assert engine.search(unit_vectors(1, 2), 10, where={"n": -1}) == []


class TestCandidates:
    def test_every_known_candidate_is_scored(self, filled):
        engine, truth = filled
        chosen = [f"d{number}" for number in range(0, COUNT, 7)][: at_most(engine, 15)]
        for query in queries():
            for k in (1, 3, at_most(engine, 20)):
                truth.check_best(query, engine.search(query, k, candidates=chosen), k, ids=chosen)

    def test_unknown_ones_are_left_out_and_repeated_ones_count_once(self, filled):
        engine, truth = filled
        found = engine.search(unit_vectors(2, 3), 10, candidates=["no", "d1", "d1", "d0", "d2"])
        truth.check_best(unit_vectors(2, 3), found, 10, ids=["d1", "d2"])  # d0 was deleted
        assert engine.search(unit_vectors(2, 3), 10, candidates=["no"]) == []
        assert engine.search(unit_vectors(2, 3), 10, candidates=[]) == []
        assert len(engine.search(unit_vectors(2, 3), 10, candidates=iter(["d1", "d2"]))) == 2

    def test_together_with_a_filter(self, filled):
        engine, truth = filled
        query = unit_vectors(3, 4)
        found = engine.search(query, 10, candidates=["d1", "d2", "d3", "d4"], where={"even": True})
        truth.check_best(query, found, 10, ids=["d2", "d4"])

    def test_more_than_the_engine_takes_are_refused_not_cut(self, filled):
        engine, _ = filled
        limit = engine.capabilities.max_candidates
        if limit is None:
            pytest.skip(f"{type(engine).__name__} declares no max_candidates")
        with pytest.raises(InvalidRequestError, match=str(limit)):
            engine.search(unit_vectors(1, 2), 1, candidates=[f"d{number}" for number in range(limit + 1)])
        with pytest.raises(InvalidRequestError, match=str(limit)):
            engine.search(unit_vectors(1, 2), limit + 1)


class TestScore:
    def test_every_document_by_its_id(self, filled):
        engine, truth = filled
        ids = [f"d{number}" for number in range(COUNT)]
        for query in queries():
            scores = engine.score(query, ids)
            assert scores == pytest.approx(truth.scores(query), abs=truth.tolerance(query))

    def test_any_iterable_and_unknown_ids(self, filled):
        engine, _ = filled
        query = unit_vectors(4, 2)
        assert sorted(engine.score(query, iter(["d1", "no", "d2", "d1"]))) == ["d1", "d2"]
        assert engine.score(query, []) == {}
        assert engine.score(query, ["no"]) == {}

    def test_it_agrees_with_search(self, filled):
        engine, truth = filled
        for query in queries():
            found = engine.search(query, 10)
            scores = engine.score(query, ids_of(found))
            assert {match.id: match.score for match in found} == pytest.approx(scores, abs=truth.tolerance(query))


class TestErrors:
    @pytest.mark.parametrize("k", [0, -1, True, 2**31, 1.5, "3", None], ids=repr)
    def test_k(self, filled, k):
        engine, _ = filled
        with pytest.raises(InvalidRequestError, match="k must be"):
            engine.search(unit_vectors(1, 2), k)

    @pytest.mark.parametrize(
        "query",
        [
            np.ones((2, DIM - 1), np.float32),
            np.ones(DIM, np.float32),
            np.full((1, DIM), np.nan),
            np.full((1, DIM), np.inf),
            [["a"] * DIM],
            None,
        ],
        ids=["dimension", "one axis", "NaN", "infinity", "strings", "None"],
    )
    def test_query_vectors(self, filled, query):
        engine, _ = filled
        with pytest.raises(InvalidVectorsError):
            engine.search(query, 3)
        with pytest.raises(InvalidVectorsError):
            engine.score(query, ["d1"])

    def test_ids(self, filled):
        engine, _ = filled
        query = unit_vectors(1, 2)
        for call in (
            lambda ids: engine.search(query, 3, candidates=ids),
            lambda ids: engine.score(query, ids),
            lambda ids: engine.get(ids),
        ):
            with pytest.raises(InvalidRequestError, match="list of strings"):
                call("d1")
            for bad in (1, None, "", b"d1"):
                with pytest.raises(InvalidDocumentError):
                    call([bad])


class TestLexical:
    @pytest.fixture
    def words(self, engine):
        needs(engine, "lexical")
        engine.upsert(
            [
                record("river", text="the nile is a long river", kind="water"),
                record("sea", text="the red sea and the dead sea", kind="water"),
                record("town", text="paris on the river seine", kind="place"),
                record("mute", text="!!!", kind="place"),
            ]
        )
        return engine

    def test_documents_with_the_words_best_first(self, words):
        found = words.search_lexical("long river", 10)
        assert ids_of(found) == ["river", "town"]
        assert found[0].score > found[1].score > 0
        assert words.search_lexical("long river", 1) == found[:1]
        assert words.search_lexical("glacier", 10) == []
        assert words.search_lexical("", 10) == []
        assert words.search_lexical("?!", 10) == []

    def test_with_a_filter_and_candidates(self, words):
        assert ids_of(words.search_lexical("river", 10, where={"kind": "place"})) == ["town"]
        assert ids_of(words.search_lexical("river", 10, candidates=["river", "sea", "no"])) == ["river"]
        assert words.search_lexical("river", 10, candidates=[]) == []

    def test_what_was_replaced_or_deleted_is_not_found(self, words):
        words.upsert([record("river", text="a stone")])
        words.delete(ids=["town"])
        assert words.search_lexical("river", 10) == []
        assert ids_of(words.search_lexical("stone", 10)) == ["river"]

    def test_matches_can_be_fetched(self, words):
        found = words.search_lexical("river", 10)
        assert {key: document.text for key, document in words.fetch(found).items()} == {
            "river": "the nile is a long river",
            "town": "paris on the river seine",
        }

    @pytest.mark.parametrize("k", [0, -1, True], ids=repr)
    def test_k(self, words, k):
        with pytest.raises(InvalidRequestError, match="k must be"):
            words.search_lexical("river", k)
