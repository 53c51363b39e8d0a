"""Indexes that earlier releases wrote: read as they are, and brought up to date by the first write."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
import tarfile
import time
from contextlib import closing
from pathlib import Path

import pytest

from late_interaction.engines import LocalEngine
from late_interaction.engines.local.catalog.schema import FORMAT_VERSION
from late_interaction.engines.records import LEGACY_ROOT
from late_interaction.errors import InvalidDocumentError, InvalidRequestError
from tests.engines.fixtures.make_old_indexes import LONG_LIST, LONG_PATH, answers
from tests.engines.helpers import CHILD_ENVIRONMENT, DIM, left_over, record, small_thresholds, unit_vectors

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = ("format_1", "format_2_exact", "format_2_compressed", "format_3")
QUERY = unit_vectors(12345, 4)


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def old(name, tmp_path):
    """An index of an earlier release."""
    return unpacked(name, tmp_path)


@pytest.fixture
def expected(name):
    """What it answered then."""
    return json.loads((FIXTURES / f"{name}.json").read_text())


def unpacked(name, folder):
    with tarfile.open(FIXTURES / f"{name}.tar.gz") as archive:
        archive.extractall(folder)
    return folder / name


def answers_of(engine):
    return json.loads(json.dumps(answers(engine)))


def same(found, expected):
    """Equal answers; scores as kernels of one processor or another round them.

    Earlier releases gave up to 8 % less than MaxSim for compressed vectors of few dimensions.
    """
    late, late_then = dict(found["late"]), dict(expected["late"])
    assert late.keys() == late_then.keys()
    assert [score for _, score in found["late"]] == sorted(late.values(), reverse=True)
    for document_id, score in late.items():
        assert late_then[document_id] - 1e-4 <= score <= late_then[document_id] + 0.08 * abs(score) + 1e-4
    assert [one[0] for one in found["lexical"]] == [one[0] for one in expected["lexical"]]
    assert [one[1] for one in found["lexical"]] == pytest.approx([one[1] for one in expected["lexical"]], rel=1e-4)
    assert {**found, "late": 0, "lexical": 0} == {**expected, "late": 0, "lexical": 0}


def bytes_of(root):
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file() and path.name not in ("writer.lock", "catalog.sqlite-shm", "catalog.sqlite-wal")
    }


def on_disk(root, statement):
    with closing(sqlite3.connect(root / "catalog.sqlite")) as connection:
        return connection.execute(statement).fetchall()


def format_of(root):
    return json.loads(on_disk(root, "SELECT value FROM settings WHERE key = 'format_version'")[0][0])


def test_an_older_format_answers_as_before_and_is_not_changed(old, expected):
    before = bytes_of(old)
    with LocalEngine.open(old, read_only=True) as engine:
        same(answers_of(engine), expected)
        assert engine.verify().problems == ()
        assert engine.info()["format_version"] == int(old.name[7])
        assert engine.roots_of(["a.txt#1"]) == {"a.txt#1": None}
        assert list(engine.scan(root=LEGACY_ROOT)) == []
    assert bytes_of(old) == before


def test_a_writer_that_does_not_write_changes_nothing(old, expected):
    before = bytes_of(old)
    with LocalEngine.open(old) as engine:
        same(answers_of(engine), expected)
    assert bytes_of(old) == before


def _add(engine):
    engine.upsert([record("new", n=100)])


WRITES = {
    "add": _add,
    "delete": lambda engine: engine.delete(ids=["d7"]),
    "delete by filter": lambda engine: engine.delete(where={"list": LONG_LIST}),
    "compact": LocalEngine.compact,
    "set_root": lambda engine: engine.set_root(["d7"], 3),
}


@pytest.mark.parametrize(
    ("name", "write"),
    [
        *(("format_2_compressed", write) for write in WRITES),
        ("format_1", "add"),
        ("format_1", "compact"),
        ("format_2_exact", "compact"),
        ("format_3", "add"),
        ("format_3", "delete"),
    ],
)
def test_the_first_write_brings_it_up_to_date(old, expected, write):
    gone = {"delete": {"d7"}, "delete by filter": {"d4", "e4"}}.get(write, set())
    with small_thresholds(), LocalEngine.open(old) as engine:
        WRITES[write](engine)
        assert engine.info()["format_version"] == format_of(old) == FORMAT_VERSION
        if write == "add":
            engine.delete(ids=["new"])
        assert engine.verify().problems == ()
        found = answers_of(engine)
        assert found["documents"] == [row for row in expected["documents"] if row[0] not in gone]
        assert found["filters"] == [[one for one in ids if one not in gone] for ids in expected["filters"]]
        if not gone and write != "compact":  # compact() may compress, and deleting changes the statistics of words
            same(found, expected)
        legacy = {"a.txt#0", "a.txt#1", "a.txt#2", "a.txt#3", "b.pdf#page=2"}
        assert {document.id for document in engine.scan(root=LEGACY_ROOT)} == legacy
        assert engine.roots_of(["mine", "a.txt#x", "d3"]) == {"mine": None, "a.txt#x": None, "d3": None}
    assert left_over(old) == []
    assert on_disk(old, f"SELECT count(*) FROM fields WHERE path LIKE '{LONG_PATH}%'") == [(0,)]
    with LocalEngine.open(old, read_only=True) as again:
        assert again.verify().problems == ()
        assert answers_of(again) == found


def test_metadata_deeper_than_is_allowed_now_stays(tmp_path):
    with LocalEngine.open(unpacked("format_3", tmp_path)) as engine:
        engine.upsert([record("new")])
        (document,) = engine.get(["d4"])
        level = document.metadata["deep"]
        for _ in range(40):
            level = level["level"]
        assert level == {"level": 0}
        assert engine.count(where={"deep" + ".level" * 41: 0}) == 2
        with pytest.raises(InvalidDocumentError, match="16 levels"):
            record("deep", **document.metadata)


def test_the_first_format_stays_exact_and_has_no_bits(tmp_path):
    root = unpacked("format_1", tmp_path)
    with pytest.raises(InvalidRequestError, match="bits=None"):
        LocalEngine.open(root, bits=4)
    with small_thresholds(), LocalEngine.open(root, dim=DIM, bits=None) as engine:
        for batch in range(4):
            engine.upsert([record(f"{batch}-{n}", tokens=4, n=n) for n in range(5)])
        engine.compact()
        info = engine.info()
        assert (info["bits"], info["exact_tokens"], info["segments"]) == (None, info["tokens"], 1)
        assert engine.verify().problems == ()


@pytest.mark.parametrize("name", ["format_2_compressed", "format_3"])
def test_readers_in_progress_go_on(old, expected):
    """They see the old tables until they are done, and the new ones from then on."""
    with LocalEngine.open(old, read_only=True) as reader, LocalEngine.open(old) as writer:
        scan = reader.scan(where={"lang": "en"})
        first = next(scan)
        with reader.one_state():
            _add(writer)
            assert [first.id, *(document.id for document in scan)] == [
                row[0] for row in expected["documents"] if row[3].get("lang") == "en"
            ]
            same(answers_of(reader), expected)
        assert reader.count() == len(expected["documents"]) + 1
        assert reader.verify().problems == ()
        assert reader.count(where={"list": LONG_LIST}) == 2


CHILD = """
import sqlite3, sys, time
from late_interaction.engines import LocalEngine
from late_interaction.engines.local.catalog import migration
from tests.engines.helpers import record
before = migration._add_checksums
def slowly(*arguments):
    before(*arguments)
    print("inside", flush=True)
    time.sleep(60)
migration._add_checksums = slowly
with LocalEngine.open(sys.argv[1]) as engine:
    engine.upsert([record("new")])
"""


@pytest.mark.parametrize("name", ["format_2_exact", "format_3"])
def test_a_crash_in_the_middle_leaves_the_old_format(old, expected):
    command = [sys.executable, "-c", CHILD, str(old)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=CHILD_ENVIRONMENT) as child:
        assert child.stdout.readline() == "inside\n"
        time.sleep(0.05)
        child.kill()
    assert format_of(old) == int(old.name[7])
    with LocalEngine.open(old) as engine:
        same(answers_of(engine), expected)
        _add(engine)
        assert engine.verify().problems == ()
        assert engine.info()["format_version"] == FORMAT_VERSION


def test_a_new_index_has_the_newest_format(root):
    with LocalEngine.open(root, dim=DIM) as engine:
        assert engine.info()["format_version"] == FORMAT_VERSION
