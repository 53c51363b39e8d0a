"""The background of an engine: token vectors of its documents, and nothing else."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from late_interaction.errors import UnsupportedError
from tests.conformance.helpers import collection, needs, record, unit_vectors


def documents_of(background):
    return [background.vectors[start:end] for start, end in pairwise(background.offsets)]


def test_an_empty_engine_has_an_empty_background(engine):
    needs(engine, "vectors")
    background = engine.background()
    assert background.vectors.shape == (0, engine.dim)
    assert background.offsets.tolist() == [0]
    assert background.null_score(unit_vectors(0, 3)) is engine.null_score(unit_vectors(0, 3)) is None


def test_an_engine_without_vectors_has_none(engine):
    if engine.capabilities.vectors:
        pytest.skip("has vectors")
    with pytest.raises(UnsupportedError, match="token vectors"):
        engine.background()


@pytest.mark.parametrize("count", [1, 5, 30, 200])
def test_it_is_made_of_stored_documents_with_tokens(engine, count):
    needs(engine, "vectors")
    records = collection(count)
    engine.upsert([record("gone", tokens=7), *records])
    engine.delete(ids=["gone"])
    background = engine.background()
    stored = {vectors.tobytes() for vectors in engine.vectors([one.document.id for one in records]).values()}
    sampled = documents_of(background)
    assert all(len(vectors) for vectors in sampled)
    assert (
        len({vectors.tobytes() for vectors in sampled})
        == len(sampled)
        >= min(16, sum(len(one.vectors) > 0 for one in records))
    )
    assert len(sampled) <= 32
    for vectors in sampled:
        assert any(
            np.allclose(vectors, np.frombuffer(one, np.float32).reshape(-1, engine.dim), atol=1e-5)
            for one in stored
            if len(one) == vectors.nbytes
        )


def test_it_follows_what_is_stored(engine):
    needs(engine, "vectors")
    for number in range(3):
        engine.upsert([record(f"d{number}")])
        assert len(engine.background().offsets) == number + 2
    engine.delete(ids=["d1"])
    assert len(engine.background().offsets) == 3
    engine.clear()
    assert len(engine.background().vectors) == 0
