"""Which documents the plan scores in each stage, for documents whose scores of every stage are given."""

from __future__ import annotations

import numpy as np
import pytest

from late_interaction.engines.local.search import plan

EVERYTHING = 5000


class Coarse:
    """Coarse scores of documents, which are taken, the best first."""

    def __init__(self, documents, scores):
        self.documents, self.scores = documents, scores

    def best(self, most):
        chosen = np.sort(np.argsort(-self.scores, kind="stable")[:most])
        taken = self.documents[chosen], self.scores[chosen]
        self.documents, self.scores = np.delete(self.documents, chosen), np.delete(self.scores, chosen)
        return taken

    def others(self, least, most):
        kept = self.scores >= least
        self.documents, self.scores = self.documents[kept], self.scores[kept]
        return self.best(most)[0]


class Layers:
    """Documents whose scores of every stage are given, coarse ones first, and a record of which were asked for."""

    def __init__(self, *scores):
        self.scores = [np.asarray(one, np.float32) for one in scores]
        self.asked = [[], [], []]
        self.documents = np.arange(len(self.scores[0]))
        self.count = len(self.documents)
        self.is_scanned = False

    def scan(self):
        self.is_scanned = True
        return Coarse(self.documents, self.scores[0])

    def approximate(self, documents):
        return self.look(0, documents)

    def refined(self, documents):
        return self.look(1, documents)

    def maxsim(self, documents):
        return self.look(2, documents)

    def look(self, way, documents):
        assert (np.diff(documents) > 0).all()  # files are read in order
        self.asked[way].append(documents.copy())
        return self.scores[way + 1][documents]

    def search(self, k):
        found, scores = plan.best_documents(self, self, k)
        assert np.array_equal(scores, self.scores[-1][found])
        worse = self.documents
        for asked in map(np.concatenate, self.asked):
            assert len(asked) == len(set(asked.tolist()))  # nothing twice
            assert np.isin(asked, worse).all()
            worse = asked
        assert np.array_equal(np.sort(found), np.sort(worse))
        return found[np.lexsort((found, -scores))][:k]


def layered(n, seed, errors=(0.5, 0.2, 0.05)):
    """Coarse scores are less than true ones by about so much in each way."""
    rng = np.random.default_rng(seed)
    scores = [rng.normal(size=n) * 2]
    for error in errors[::-1]:
        scores.insert(0, scores[0] - error - error / 2 * rng.normal(size=n))
    return Layers(*scores)


@pytest.mark.parametrize("k", [1, 10, 33, 250])
@pytest.mark.parametrize("most", [1, 50, 4096])
def test_a_search_looks_at_no_more_than_it_may(k, most, monkeypatch):
    monkeypatch.setattr(plan, "_MAX_RESCORED_DOCUMENTS", most)
    documents = layered(EVERYTHING, k, errors=(3, 0.6, 0.2))
    documents.search(k)
    assert documents.is_scanned
    for way, first in enumerate(plan._FIRST_DOCUMENTS):
        at_first, estimates = documents.asked[way][0], documents.scores[way]
        assert len(at_first) == max(first, (4, 2, 1)[way] * k)
        known = documents.asked[way - 1][0] if way else documents.documents
        assert estimates[at_first].min() == np.sort(estimates[known])[-len(at_first)]  # the best of those before
    assert len(documents.asked[0][1]) <= most


@pytest.mark.parametrize("k", [1, 10, 33, 250])
def test_a_search_leaves_out_none_of_the_best(k):
    for seed in range(20):
        documents = layered(EVERYTHING, seed)
        found = documents.search(k)
        assert np.array_equal(documents.scores[-1][found], -np.sort(-documents.scores[-1])[:k])


def test_few_documents_are_not_scanned():
    documents = layered(2000, 0)
    assert documents.scores[-1].argmax() in documents.search(1)
    assert not documents.is_scanned


def test_a_search_that_trusts_no_estimate_looks_at_all(monkeypatch):
    monkeypatch.setattr(plan, "_MARGIN_DEVIATIONS", (1e6,) * 3)
    documents = layered(3000, 0)
    documents.scores[-1][documents.scores[0].argmin()] = 100  # what looked worst is best
    found = documents.search(40)
    assert len(np.concatenate(documents.asked[2])) == 3000
    assert documents.scores[-1][found].max() == 100


@pytest.mark.parametrize("k", [1, 10, 40])
@pytest.mark.parametrize("value", [0, -2, 7])
def test_of_equal_documents_the_oldest_are_found(k, value):
    assert np.array_equal(Layers(*np.full((4, 3000), value)).search(k), np.arange(k))
