"""The background of the local engine: evenly spaced, the same in every process, bounded."""

from __future__ import annotations

import numpy as np
import pytest

from late_interaction.engines import LocalEngine
from tests.conformance.helpers import record, unit_vectors


@pytest.fixture(params=[None, 4])
def engine(request, tmp_path):
    with LocalEngine.open(tmp_path / "index", dim=16, bits=request.param) as engine:
        yield engine


def sizes(engine):
    return np.diff(engine.background().offsets).tolist()


def test_documents_are_evenly_spaced_over_segments_without_deleted_ones(engine):
    for start in (0, 50, 90):
        engine.upsert(record(f"d{number}", tokens=1 + number % 50) for number in range(start, start + 50))
    engine.delete(ids=[f"d{number}" for number in range(10)])
    stored = [1 + number % 50 for number in range(10, 140)]
    assert sizes(engine) == stored[::8]
    engine.compact()
    assert sizes(engine) == stored[::8]


def test_an_added_document_hardly_changes_it(engine):
    engine.upsert(record(f"d{number}", tokens=1 + number % 7) for number in range(300))
    before = sizes(engine)
    engine.upsert([record("new", tokens=9)])
    assert sizes(engine)[: len(before)] == before
    assert len(sizes(engine)) <= len(before) + 1


def test_documents_without_tokens_are_not_in_it(engine):
    engine.upsert(record(f"d{number}", tokens=3 if number % 50 == 7 else 0) for number in range(1000))
    assert sizes(engine) == [3] * 20


def test_it_is_bounded(engine):
    engine.upsert(record(f"d{number}", vectors=np.ones((3000, 16))) for number in range(40))
    assert sizes(engine) == [2048] * 20


def test_it_is_the_same_in_another_process_and_is_kept_until_the_next_commit(engine):
    engine.upsert(record(f"d{number}") for number in range(100))
    with LocalEngine.open(engine.path, read_only=True) as reader:
        assert np.array_equal(reader.background().vectors, engine.background().vectors)
        assert reader.background() is reader.background()
        kept = reader.background()
        engine.upsert([record("new", vectors=unit_vectors(3, 11))])
        assert reader.background() is not kept
