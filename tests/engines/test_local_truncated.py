"""The local engine counts the documents whose texts were truncated: deletions, replacements and merges keep it true."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from late_interaction.engines import LocalEngine
from late_interaction.engines.local.catalog.schema import FORMAT_VERSION
from tests.engines.fixtures.make_old_indexes import answers
from tests.engines.helpers import DIM, record, small_thresholds

FIXTURES = Path(__file__).parent / "fixtures"


def truncated(name, **metadata):
    return replace(record(name, **metadata), truncated=True)


def counted(engine):
    return engine.info()["truncated_documents"]


@pytest.fixture
def engine(root):
    with small_thresholds(), LocalEngine.open(root, dim=DIM) as engine:
        engine.upsert([truncated(f"t{n}", n=n) if n % 3 == 0 else record(f"t{n}", n=n) for n in range(30)])
        yield engine


def test_deleting_and_replacing(engine):
    assert counted(engine) == 10
    engine.delete(ids=["t0", "t1"])
    engine.delete(where={"n": {"$in": [3, 4]}})
    assert counted(engine) == 8
    engine.upsert([record("t6"), truncated("t7"), truncated("t9")])
    assert counted(engine) == 8
    engine.upsert([truncated("new")], replacing={"n": {"$gte": 27}})
    assert counted(engine) == 8
    engine.update_documents([replace(record("t12").document, metadata={"n": 0})], None)
    assert counted(engine) == 8
    assert engine.clear() > 0
    assert counted(engine) == 0


def test_merging_copying_and_reading_records(engine, tmp_path):
    engine.delete(ids=["t0"])
    engine.compact()
    assert counted(engine) == 9
    assert engine.verify().problems == ()
    assert {name: one.truncated for name, one in engine.records(["t3", "t4"]).items()} == {"t3": True, "t4": False}
    engine.copy(tmp_path / "copy")
    with LocalEngine.open(tmp_path / "copy", read_only=True) as copied:
        assert counted(copied) == 9


def test_an_error_leaves_the_count(engine):
    def broken():
        yield truncated("one")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        engine.upsert(broken())
    assert counted(engine) == 10


def test_an_index_of_format_5(tmp_path):
    with tarfile.open(FIXTURES / "format_5.tar.gz") as archive:
        archive.extractall(tmp_path)
    expected = json.loads((FIXTURES / "format_5.json").read_text())
    root = tmp_path / "format_5"
    with LocalEngine.open(root, read_only=True) as engine:
        assert json.loads(json.dumps(answers(engine)))["documents"] == expected["documents"]
        assert engine.info()["format_version"] == 5
        assert counted(engine) is None
        assert engine.records(["d3"])["d3"].truncated is False
        assert engine.verify().problems == ()
    with small_thresholds(), LocalEngine.open(root) as engine:
        engine.upsert([truncated("new")])
        assert engine.info()["format_version"] == FORMAT_VERSION
        assert counted(engine) == 1
        engine.delete(ids=["new"])
        assert counted(engine) == 0
        found = json.loads(json.dumps(answers(engine)))
        assert {name: found[name] for name in ("documents", "filters", "encoder")} == {
            name: expected[name] for name in ("documents", "filters", "encoder")
        }
        assert [one[0] for one in found["lexical"]] == [one[0] for one in expected["lexical"]]
        assert engine.verify().problems == ()
