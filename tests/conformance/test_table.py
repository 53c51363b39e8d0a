"""The table itself: what its entries promise holds, and the engines differ in what they declare."""

from __future__ import annotations

from dataclasses import fields

import pytest

from late_interaction.engines import Capabilities
from late_interaction.filters import OPERATORS
from tests.conformance.helpers import DIM, collection
from tests.conformance.table import ENGINES


def opened(new_folder):
    engines = {case.name: case.make(new_folder(), DIM) for case in ENGINES}
    for engine in engines.values():
        engine.close()
    return engines


def test_every_capability_is_declared_by_one_engine_and_missing_in_another(new_folder):
    declared = [engine.capabilities for engine in opened(new_folder).values()]
    for one in fields(Capabilities):
        values = {getattr(capabilities, one.name) for capabilities in declared}
        assert len(values) > 1, one.name
    assert frozenset(OPERATORS) in {capabilities.filter_operators for capabilities in declared}


def test_one_engine_compresses(new_folder):
    """Or the tests would say nothing about compressed vectors."""
    case = next(case for case in ENGINES if case.name == "local-4-bits")
    engine = case.make(new_folder(), DIM)
    engine.upsert(collection(60))
    engine.upsert(collection(60, seed=1))
    info = engine.info()
    engine.close()
    assert 0 <= info["exact_tokens"] < info["tokens"]
    assert info["bits"] == 4


@pytest.mark.parametrize("case", ENGINES, ids=lambda case: case.name)
def test_two_folders_are_two_engines(new_folder, case):
    one, other = case.make(new_folder(), DIM), case.make(new_folder(), 2 * DIM)
    one.upsert(collection(3))
    assert (one.dim, one.count()) == (DIM, 3)
    assert (other.dim, other.count()) == (2 * DIM, 0)
    one.close()
    other.close()
