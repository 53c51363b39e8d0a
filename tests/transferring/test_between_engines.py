"""A transfer between any two engines of the conformance suite: everything arrives, in order, and scores alike."""

from __future__ import annotations

import numpy as np
import pytest

from late_interaction.engines import LocalEngine, transfer
from tests.conformance.helpers import DIM, collection, maxsim, queries
from tests.conformance.table import ENGINES

_READABLE = [case for case in ENGINES if case.name != "weak"]  # which cannot return vectors


@pytest.fixture(params=ENGINES, ids=lambda case: case.name)
def to(request, new_folder):
    engine = request.param.make(new_folder(), DIM)
    yield engine
    engine.close()


@pytest.fixture(params=_READABLE, ids=lambda case: case.name)
def of(request, new_folder):
    engine = request.param.make(new_folder(), DIM)
    engine.upsert(collection(40))
    yield engine
    engine.close()


def test_everything_arrives_in_order(of, to):
    report = transfer(of, to)
    assert (report.added, report.replaced, report.unchanged, report.vanished) == (40, 0, 0, 0)
    assert (report.only_in_target, report.missing, report.documents) == (0, 0, 40)
    assert list(to.scan()) == list(of.scan())


def test_vectors_are_those_of_the_source(of, to):
    transfer(of, to)
    ids = [one.document.id for one in collection(40)]
    given = of.vectors(ids)
    for query in queries():
        scores = to.score(query, ids)
        assert scores == pytest.approx({key: maxsim(query, given[key]) for key in ids}, abs=2e-2)
    if to.capabilities.vectors:
        for key, vectors in to.vectors(ids).items():
            np.testing.assert_allclose(vectors, given[key], atol=1e-3)


def test_the_report_compares_the_top_ten(of, to):
    report = transfer(of, to)
    with_tokens = sum(len(one.vectors) > 0 for one in collection(40))
    assert report.queries == with_tokens
    assert report.overlap >= (1 if to.capabilities.exact_search else 0.5)
    assert report.score_difference < 0.05
    assert f"{report.overlap:.1%}" in str(report)


def test_again_writes_nothing(of, to):
    transfer(of, to)
    before = list(to.scan())
    report = transfer(of, to)
    assert (report.added, report.replaced, report.unchanged) == (0, 0, 40)
    assert list(to.scan()) == before


def test_a_copy_by_another_way_is_the_oracle(source, new_folder):
    """A local target has the same columns on disk as one that was filled with the records themselves."""
    with LocalEngine.open(new_folder(), dim=DIM, bits=None) as moved, LocalEngine.open(new_folder(), dim=DIM, bits=None) as filled:
        transfer(source, moved)
        filled.upsert(collection(40))
        ids = [document.id for document in filled.scan(fields=())]
        for key in ids:
            np.testing.assert_array_equal(moved.vectors([key])[key], filled.vectors([key])[key])
        assert moved.verify().problems == ()
