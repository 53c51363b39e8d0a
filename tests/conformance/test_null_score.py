"""The null score of every engine, compared with its definition over the documents that the engine samples."""

from __future__ import annotations

import pytest

from tests.conformance.helpers import collection, queries
from tests.relevance import null_of


@pytest.mark.parametrize("count", [0, 1, 15, 40, 100])
def test_it_is_that_of_the_sample(engine, count):
    engine.upsert(collection(count))
    for query in queries():
        expected = null_of(engine, query)
        assert engine.null_score(query) == (None if expected is None else pytest.approx(expected, abs=1e-4))
    if count == 100 and engine.capabilities.vectors:
        assert engine.background() is engine.background()
