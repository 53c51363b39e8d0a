"""Judging pools: what is asked, in which order, what is kept, and what an error leaves."""

from __future__ import annotations

import pytest

from late_interaction import Document
from late_interaction.errors import InvalidRequestError
from late_interaction.evaluation import Dataset, JudgedQuery, JudgmentError, SystemResult, judge_pools

DOCUMENTS = [Document(f"text {number}", id=f"d{number}") for number in range(40)]
QUERIES = [JudgedQuery("q1", "first", {"d0": 1, "d1": 0}), JudgedQuery("q2", "second")]
DATASET = Dataset("some", DOCUMENTS, QUERIES, ("a note",))
RESULTS = [
    SystemResult("a", {}, {"q1": [f"d{number}" for number in range(20)], "q2": ["d7", "d8"]}),
    SystemResult("b", {}, {"q1": [f"d{number}" for number in range(30, 10, -1)]}),
]
POOL_1 = {f"d{number}" for number in range(2, 10)} | {f"d{number}" for number in range(21, 31)}


class Judge:
    """Grades even numbers with 1, and notes what it is asked. It fails after so many calls."""

    def __init__(self, fails_after=None):
        self.asked = []
        self.fails_after = fails_after

    def __call__(self, query, document):
        if len(self.asked) == self.fails_after:
            raise RuntimeError("out of credit")
        self.asked.append((query, document.id))
        return int(document.id[1:]) % 2 == 0


def test_each_pair_once_and_judgments_kept():
    judge = Judge()
    judged = judge_pools(RESULTS, DATASET, judge)
    assert sorted(judge.asked) == sorted([("first", one) for one in POOL_1] + [("second", "d7"), ("second", "d8")])
    assert judged.queries[0].relevant == {"d0": 1, "d1": 0} | {one: int(one[1:]) % 2 == 0 for one in POOL_1}
    assert judged.queries[1].relevant == {"d7": 0, "d8": 1}
    assert (judged.name, judged.documents, judged.notes) == (DATASET.name, DATASET.documents, DATASET.notes)
    assert QUERIES[1].relevant == {}


def test_depth():
    judge = Judge()
    judge_pools(RESULTS, DATASET, judge, depth=1)
    assert sorted(judge.asked) == [("first", "d30"), ("second", "d7")]


def test_the_order_tells_nothing():
    """It is the same whatever the ranks and the order of the systems, and another one for each query and seed."""
    orders = []
    for results, seed in ((RESULTS, 0), (RESULTS[::-1], 0), (RESULTS, 1)):
        judge = Judge()
        judge_pools(results, DATASET, judge, seed=seed)
        orders.append([one for query, one in judge.asked if query == "first"])
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    ranked = sorted(POOL_1, key=lambda one: int(one[1:]))
    assert orders[0] not in (ranked, ranked[::-1])
    ids = [f"d{number}" for number in range(2, 12)]
    both = [SystemResult("a", {}, {"q1": ids, "q2": ids})]
    judge = Judge()
    judge_pools(both, DATASET, judge)
    assert [one for query, one in judge.asked if query == "first"] != [
        one for query, one in judge.asked if query == "second"
    ]


def test_what_was_judged_before_an_error_is_kept():
    failing = Judge(fails_after=12)
    with pytest.raises(
        JudgmentError, match=r"'first' .*'q1'.* document 'd[0-9]+': RuntimeError: out of credit"
    ) as caught:
        judge_pools(RESULTS, DATASET, failing)
    error = caught.value
    assert isinstance(error.__cause__, RuntimeError)
    assert (error.query.id, error.document.id in POOL_1) == ("q1", True)
    assert len(error.dataset.queries[0].relevant) == 14
    going_on = Judge()
    assert judge_pools(RESULTS, error.dataset, going_on) == judge_pools(RESULTS, DATASET, Judge())
    assert set(going_on.asked).isdisjoint(failing.asked)


@pytest.mark.parametrize("grade", ["yes", "1", None, float("nan"), -1, [1], float("inf")])
def test_grades_that_are_none(grade):
    with pytest.raises(JudgmentError, match="a grade must be True, False or a number of at least 0, got"):
        judge_pools(RESULTS, DATASET, lambda query, document: grade)


def test_grades_may_be_numbers():
    assert set(judge_pools(RESULTS, DATASET, lambda query, document: 2.5).queries[1].relevant.values()) == {2.5}


def test_documents_of_an_index():
    dataset = Dataset("some", None, QUERIES)
    with pytest.raises(InvalidRequestError, match="18 documents of the pools are not known, for example 'd2'"):
        judge_pools(RESULTS, dataset, Judge())
    known = {document.id: document for document in DOCUMENTS}
    expected = judge_pools(RESULTS, DATASET, Judge()).queries
    assert judge_pools(RESULTS, dataset, Judge(), documents=known).queries == expected


def test_refused():
    with pytest.raises(InvalidRequestError, match="depth"):
        judge_pools(RESULTS, DATASET, Judge(), depth=0)
    pages = Dataset("some", DOCUMENTS, [JudgedQuery("q1", Document("a page", id="x"))])
    with pytest.raises(InvalidRequestError, match="query 'q1' is not a text"):
        judge_pools(RESULTS, pages, Judge())
