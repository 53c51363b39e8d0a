"""Indexes of older formats: what the first release wrote is read, searched and written as it was."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from late_interaction.engines import LocalEngine
from late_interaction.errors import InvalidRequestError
from tests.engines.helpers import (
    DIM,
    left_over,
    record,
    segment_files,
    small_thresholds,
    stored,
    true_score,
    unit_vectors,
)

QUERY = unit_vectors(12345, 4)
FIRST_RELEASE = {"catalog.sqlite", "offsets.npy", "segments", "vectors.npy", "writer.lock"}


def settings_of(root):
    with closing(sqlite3.connect(root / "catalog.sqlite")) as connection:
        return {key: json.loads(value) for key, value in connection.execute("SELECT * FROM settings")}


@pytest.fixture
def old(root):
    """An index as the first release left it: exact vectors, and no word of bits or codebooks."""
    with LocalEngine.open(root, dim=DIM, bits=None) as engine:
        engine.upsert([record(f"d{n}", tokens=n % 5, n=n) for n in range(12)])
        engine.upsert([record(f"e{n}", tokens=3, n=n) for n in range(8)])
        engine.delete(ids=["d3", "e4"])
        answers = engine.search(QUERY, 100), list(engine.scan()), engine.search_lexical("text", 100)
    with closing(sqlite3.connect(root / "catalog.sqlite")) as connection:
        connection.execute("UPDATE settings SET value = '1' WHERE key = 'format_version'")
        connection.execute("DELETE FROM settings WHERE key = 'bits'")
        connection.commit()
    assert set(settings_of(root)) == {"format_version", "dim", "generation"}
    return root, answers


def expected_scores(names):
    return {name: pytest.approx(true_score(QUERY, record(name, tokens=t).vectors), abs=1e-3) for name, t in names}


@pytest.mark.parametrize("options", [{}, {"read_only": True}, {"dim": DIM}, {"bits": None}, {"bits": "default"}])
def test_the_first_format_opens_and_answers_as_before(old, options):
    root, answers = old
    before = {path: path.read_bytes() for path in segment_files(root)}
    with LocalEngine.open(root, **options) as engine:
        assert (engine.search(QUERY, 100), list(engine.scan()), engine.search_lexical("text", 100)) == answers
        assert engine.verify().problems == ()
        assert engine.bits is None
        info = engine.info()
        assert (info["bits"], info["centroids"]) == (None, 0)
        assert info["exact_tokens"] == info["tokens"]
        assert len(engine.search(QUERY, 5, where={"n": {"$gte": 3}})) == 5
    assert {path: path.read_bytes() for path in segment_files(root)} == before


def test_the_format_that_info_gives_is_that_of_the_index(old, tmp_path):
    with LocalEngine.open(old[0]) as engine:
        assert engine.info()["format_version"] == 1
    with LocalEngine.open(tmp_path / "new", dim=DIM) as engine:
        assert engine.info()["format_version"] == 2


@pytest.mark.parametrize("bits", [1, 4])
def test_the_first_format_has_no_bits(old, bits):
    with pytest.raises(InvalidRequestError, match="bits=None"):
        LocalEngine.open(old[0], bits=bits)
    LocalEngine.open(old[0]).close()


def test_the_first_format_stays_what_it_is_when_it_grows(old):
    """The first release can still read it: exact vectors, the same files, the same settings."""
    root, _ = old
    with small_thresholds(), LocalEngine.open(root) as engine:
        for batch in range(20):
            engine.upsert([record(f"{batch}-{n}", tokens=4, n=n) for n in range(5)])
        engine.delete(where={"n": 2})
        engine.compact()
        info = engine.info()
        assert (info["exact_tokens"], info["segments"]) == (info["tokens"], 1)
        assert engine.count() == 18 + 100 - 2 - 20
        assert engine.verify().problems == ()
        assert np.array_equal(engine.vectors(["7-3"])["7-3"], stored(record("7-3", tokens=4).vectors))
        names = [(f"{batch}-{n}", 4) for batch in range(20) for n in (0, 1, 3, 4)]
        names += [(f"d{n}", n % 5) for n in range(12) if n not in (2, 3)]
        names += [(f"e{n}", 3) for n in range(8) if n not in (2, 4)]
        assert {match.id: match.score for match in engine.search(QUERY, 1000)} == expected_scores(names)
    assert left_over(root) == []
    settings = settings_of(root)
    assert settings["format_version"] == 1
    assert set(settings) <= {"format_version", "dim", "generation", "bits"}
    names = {path.name for path in root.rglob("*")} - {path.name for path in (root / "segments").iterdir()}
    assert names == FIRST_RELEASE
    with LocalEngine.open(root, read_only=True) as again:
        assert again.verify().problems == ()
        assert again.count() == 96
