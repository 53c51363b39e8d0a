"""A transfer between any two engines of the conformance suite: everything arrives, in order, and scores alike."""

from __future__ import annotations

import numpy as np
import pytest

from late_interaction.engines import LocalEngine, transfer
from tests.conformance.helpers import DIM, collection, maxsim, queries
from tests.conformance.table import ENGINES

_LOCAL = ENGINES[0]
_READABLE = [case for case in ENGINES if case.name != "weak"]  # which cannot return vectors
_PAIRS = [(_LOCAL, case) for case in ENGINES] + [(case, _LOCAL) for case in _READABLE if case is not _LOCAL]


@pytest.fixture(params=_PAIRS, ids=lambda pair: f"{pair[0].name}-to-{pair[1].name}")
def pair(request, new_folder):
    """A source with 40 documents, and an empty target."""
    of, to = (case.make(new_folder(), DIM) for case in request.param)
    of.upsert(collection(40))
    yield of, to
    of.close()
    to.close()


def test_everything_arrives(pair):
    of, to = pair
    report = transfer(of, to)
    assert (report.added, report.replaced, report.unchanged, report.vanished) == (40, 0, 0, 0)
    assert (report.only_in_target, report.missing, report.documents) == (0, 0, 40)
    assert list(to.scan()) == list(of.scan())  # in order
    _check_vectors(of, to)
    _check_comparison(report, to)
    again = transfer(of, to, verify=0)
    assert (again.added, again.replaced, again.unchanged) == (0, 0, 40)
    assert (again.queries, again.overlap, again.score_difference) == (0, None, None)
    assert list(to.scan()) == list(of.scan())


def _check_vectors(of, to):
    given = of.vectors([one.document.id for one in collection(40)])
    for query in queries():
        expected = {key: maxsim(query, vectors) for key, vectors in given.items()}
        assert to.score(query, list(given)) == pytest.approx(expected, abs=2e-2)
    if to.capabilities.vectors:
        for key, vectors in to.vectors(list(given)).items():
            np.testing.assert_allclose(vectors, given[key], atol=1e-3)


def _check_comparison(report, to):
    assert report.queries == sum(len(one.vectors) > 0 for one in collection(40))
    assert report.overlap >= (1 if to.capabilities.exact_search else 0.5)
    assert report.score_difference < 0.05
    assert f"{report.overlap:.1%}" in str(report)


def test_a_copy_by_another_way_is_the_oracle(source, new_folder):
    """A local target has the same columns on disk as one that was filled with the records themselves."""
    with (
        LocalEngine.open(new_folder(), dim=DIM, bits=None) as moved,
        LocalEngine.open(new_folder(), dim=DIM, bits=None) as filled,
    ):
        transfer(source, moved)
        filled.upsert(collection(40))
        ids = [document.id for document in filled.scan(fields=())]
        for key in ids:
            np.testing.assert_array_equal(moved.vectors([key])[key], filled.vectors([key])[key])
        assert moved.verify().problems == ()
