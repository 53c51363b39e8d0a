"""What a cascade accepts, keeps, reports and refuses."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest

from late_interaction import Cascade, Document, Index
from late_interaction.cascades import StagedHits, StageReport
from late_interaction.errors import InvalidFilterError, InvalidRequestError, InvalidVectorsError
from tests.fakes import PlainEncoder, WordEncoder


def by_length(query, documents):
    return [len(document.text) for document in documents]


def test_stages_are_reported(index):
    hits = Cascade(index, [("lexical", 50), ("late", 8), (by_length, 5)]).search("w1 w2 w3", k=3)
    assert isinstance(hits, StagedHits)
    assert [(report.stage, report.candidates, report.kept) for report in hits.stages] == [
        ("lexical", 120, len(index.search("w1 w2 w3", 50, mode="lexical"))),
        ("late", hits.stages[0].kept, 8),
        ("by_length", 8, 5),
    ]
    assert all(report.milliseconds > 0 for report in hits.stages)
    assert len(hits) == 3
    assert [hit.score for hit in hits] == sorted((len(hit.text) for hit in hits), reverse=True)


def test_one_stage_is_a_search(index):
    for mode in ("late", "lexical", "hybrid"):
        assert Cascade(index, [(mode, 7)]).search("w1 w2 w3") == index.search("w1 w2 w3", 7, mode=mode)


def test_k_is_bounded_by_the_last_stage(index):
    cascade = Cascade(index, [("late", 20), ("lexical", 5)])
    assert len(cascade.search("w1 w2")) == len(cascade.search("w1 w2", 5)) == 5
    assert cascade.search("w1 w2", 2) == cascade.search("w1 w2")[:2]
    with pytest.raises(InvalidRequestError, match=r"k must be at most 5.*got 6.*\('lexical', 6\)"):
        cascade.search("w1", 6)
    for k in (0, -1, "5", True, 1.5):
        with pytest.raises(InvalidRequestError, match="k must be"):
            cascade.search("w1", k)


def test_the_first_stage_filters(index):
    cascade = Cascade(index, [("late", 10), ("lexical", 10)])
    hits = cascade.search("w1 w2", where={"even": True})
    assert len(hits) == 10
    assert all(hit.metadata["even"] for hit in hits)
    assert hits.stages[0].candidates == 60
    assert len(cascade.search("w1 w2", where={"n": {"$lt": 3}})) == 3
    assert cascade.search("w1 w2", where={"n": -1}) == []
    with pytest.raises(InvalidFilterError):
        cascade.search("w1", where={"n": {"$near": 3}})


def test_candidates_and_relevance(index):
    cascade = Cascade(index, [("late", 10), ("late", 10)])
    hits = cascade.search("w1 w2", candidates=["d3", "d7", "unknown"])
    assert {hit.id for hit in hits} == {"d3", "d7"}
    threshold = cascade.search("w1 w2")[4].relevance
    kept = cascade.search("w1 w2", min_relevance=threshold)
    assert kept == [hit for hit in cascade.search("w1 w2") if hit.relevance >= threshold]
    with pytest.raises(InvalidRequestError, match="min_relevance"):
        cascade.search("w1", min_relevance=2)


def test_blank_queries_find_nothing(index):
    cascade = Cascade(index, [("late", 20), (by_length, 5)])
    for query in ("", " \n", "\u200b", np.empty((0, 16))):
        hits = cascade.search(query)
        assert hits == []
        assert hits.stages == (StageReport("late", 0, 0, 0.0), StageReport("by_length", 0, 0, 0.0))


def test_many_queries_are_encoded_together(index):
    cascade = Cascade(index, [("lexical", 50), ("late", 8)])
    asked = ["w1 w2", " ", "w5", "w1 w2"]
    before = index.encoder.queries_encoded
    found = cascade.search_many(asked, 3)
    assert index.encoder.queries_encoded == before + 2
    assert found == [cascade.search(query, 3) for query in asked]
    assert cascade.search_many([]) == []
    for wrong in ("w1", Document("w1"), 3):
        with pytest.raises(InvalidRequestError, match="search_many takes a list"):
            cascade.search_many(wrong)


def test_functions_are_called_by_the_thread_that_searches(index):
    threads = []

    def score(query, documents):
        threads.append(threading.get_ident())
        return [0] * len(documents)

    Cascade(index, [("late", 9), (score, 5)]).search_many(["w1", "w2", "w3"])
    assert threads == [threading.get_ident()] * 3


def test_vectors_and_images_go_through_late_stages_only(index):
    vectors = index.encoder.encode_queries(["w1 w2"])[0]
    assert Cascade(index, [("late", 9), ("late", 4)]).search(vectors) == index.search(vectors, 4)
    for stages in ([("lexical", 9)], [("late", 9), ("hybrid", 4)], [("late", 9), (by_length, 4)]):
        with pytest.raises(InvalidRequestError, match="needs a text, and the query is token vectors"):
            Cascade(index, stages).search(vectors)
    with pytest.raises(InvalidVectorsError):
        Cascade(index, [("late", 9)]).search(np.ones((2, 3)))
    with pytest.raises(InvalidRequestError, match="A query must be a string"):
        Cascade(index, [("late", 9)]).search(3)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (lambda documents: [1.0] * (len(documents) - 1), "one number for each of 9 documents"),
        (lambda documents: [[1.0]] * len(documents), "one number for each of 9 documents"),
        (lambda documents: [float("nan")] * len(documents), "finite numbers, got nan"),
        (lambda documents: np.full(len(documents), np.inf), "finite numbers, got inf"),
        (lambda documents: ["high"] * len(documents), "one number for each document"),
        (lambda documents: None, "one number for each document"),
    ],
)
def test_scores_of_functions_are_checked(index, scores, message):
    cascade = Cascade(index, [("late", 9), (lambda query, documents: scores(documents), 5)])
    with pytest.raises(InvalidRequestError, match=f"<lambda>.*{message}"):
        cascade.search("w1")


def test_functions_may_return_arrays_of_torch(index):
    import torch

    def score(query, documents):
        assert query == "w1"
        return torch.arange(len(documents), dtype=torch.bfloat16)

    late = Cascade(index, [("late", 9)]).search("w1")
    hits = Cascade(index, [("late", 9), (score, 5)]).search("w1")
    assert [hit.id for hit in hits] == [hit.id for hit in reversed(late)][:5]
    assert [hit.score for hit in hits] == [8, 7, 6, 5, 4]
    assert [hit.relevance for hit in hits] == [1, 1, 1, 1, 1]  # cut to the range of relevance


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], "needs at least one stage"),
        ("late:20", "list of pairs"),
        (None, "list of pairs"),
        (["late"], r"stages\[0\] must be a pair"),
        ([("late", 20, 3)], r"stages\[0\] must be a pair"),
        ([("lat", 20)], "got 'lat'. Did you mean 'late'"),
        ([("late", 0)], r"The number of stages\[0\] must be a positive integer, got 0"),
        ([("late", None)], "must be a positive integer, got None"),
        ([("late", 20), ("lexical", 21)], r"stages\[1\] must keep at most the 20 .* got 21"),
        ([(by_length, 20)], "stages\\[0\\] cannot be a 'by_length' stage"),
        ([("late", 20), (None, 10)], r"stages\[1\] must be .* got NoneType"),
        ([("late", 20), (WordEncoder(), 10)], "got WordEncoder"),
    ],
)
def test_wrong_stages_are_refused(index, stages, message):
    with pytest.raises(InvalidRequestError, match=message):
        Cascade(index, stages)


def test_it_searches_an_index(index):
    with pytest.raises(InvalidRequestError, match="searches an Index, not str"):
        Cascade("index", [("late", 20)])
    with pytest.raises(InvalidRequestError, match="searches an Index, not Cascade"):
        Cascade(Cascade(index, [("late", 20)]), [("late", 20)])


def test_pickled_as_its_index_and_stages(tmp_path):
    with Index.open(tmp_path / "index", encoder=PlainEncoder()) as index:
        index.add(["w1 w2", "w3"])
        cascade = Cascade(index, [("lexical", 9), ("late", 5), (by_length, 3)])
        with pickle.loads(pickle.dumps(cascade)).index as copied:
            assert Cascade(copied, [("late", 3)]).search("w1")
        copy = pickle.loads(pickle.dumps(cascade))
        assert copy.search("w1 w3") == cascade.search("w1 w3")
        copy.index.close()
