"""Posting lists of segments: written with them, added to those of older formats, checked, and found damaged."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import zlib
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from late_interaction.engines import LocalEngine
from late_interaction.engines.local import postings
from late_interaction.engines.local.catalog.schema import FORMAT_VERSION
from late_interaction.engines.local.storage.columns import npy_header
from late_interaction.engines.local.storage.segment import CompressedSegment
from late_interaction.errors import CorruptIndexError
from tests.engines.helpers import (
    CHILD_ENVIRONMENT,
    DIM,
    left_over,
    record,
    segment_files,
    small_thresholds,
    state_on_disk,
    unit_vectors,
)
from tests.engines.old_segments import as_before_format_5, as_before_format_7
from tests.engines.test_local_formats import FIXTURES, answers_of, same

QUERY = unit_vectors(12345, 4)
POSTINGS = {"posting_starts.npy", "postings.npy"}


@pytest.fixture(autouse=True)
def _small():
    with small_thresholds():
        yield


@pytest.fixture
def _small_blocks(monkeypatch):
    """Blocks of 7 documents."""
    monkeypatch.setattr(postings, "BLOCK_DOCUMENTS", 7)
    monkeypatch.setattr("late_interaction.engines.local.postings.building.BLOCK_DOCUMENTS", 7)


def records(first, last):
    return [record(f"d{n}", tokens=n % 5, n=n) for n in range(first, last)]


def folders(root):
    """The files of each segment that the catalog names, by number, read by sqlite and numpy alone."""
    tables = state_on_disk(root)[1]
    found = {}
    for number, name, *_ in tables["segments"]:
        files = [file for segment, file, *_ in tables["segment_files"] if segment == number]
        found[number] = {file: np.load(root / "segments" / name / file) for file in files}
    return found


def expected_lists(codes, offsets, first, last, centroids):
    """By centroid, the documents of a block that have a token of it, by plain sets."""
    tokens = [set(codes[offsets[d] : offsets[d + 1]].tolist()) for d in range(first, last)]
    return [[number for number, own in enumerate(tokens) if centroid in own] for centroid in range(centroids)]


def check(root, *, block=65_536):
    """Every compressed segment has the posting lists of its codes; returns how many there are."""
    compressed = [files for files in folders(root).values() if "codes.npy" in files]
    for files in compressed:
        starts, lists, offsets = files["posting_starts.npy"], files["postings.npy"], files["offsets.npy"]
        assert (starts.dtype, lists.dtype) == (np.uint32, np.uint16)
        documents, base = len(offsets) - 1, 0
        assert len(starts) == -(-documents // block)
        for number, own in enumerate(starts):
            found = [lists[base + start : base + end].tolist() for start, end in pairwise(own)]
            first = number * block
            last = min(first + block, documents)
            assert found == expected_lists(files["codes.npy"], offsets, first, last, len(own) - 1)
            base += int(own[-1])
        assert base == len(lists)
    return len(compressed)


def segments(engine):
    with engine._states.reading() as (_, snapshot):
        return [one for one in snapshot.segments.values() if isinstance(one, CompressedSegment)]


def scores(engine):
    return {match.id: match.score for match in engine.search(QUERY, 1000)}


def fill(root):
    with LocalEngine.open(root, dim=DIM, bits=4) as engine:
        for first in range(0, 60, 30):
            engine.upsert(records(first, first + 30))
        engine.delete(ids=["d3", "d31"])
        return scores(engine)


@pytest.mark.usefixtures("_small_blocks")
def test_compressing_merging_and_compacting_write_them(root):
    before = fill(root)
    assert check(root, block=7) == 2
    with LocalEngine.open(root) as engine:
        assert [len(one.postings.starts) for one in segments(engine)] == [5, 5]
        assert engine.verify().problems == ()
        engine.delete(ids=[f"d{n}" for n in range(40, 60)])  # a segment of which much is deleted is rewritten
        assert check(root, block=7) == 2
        engine.compact()
        assert check(root, block=7) == 1
        assert engine.verify().problems == ()
        found = scores(engine)
    assert found == pytest.approx({name: before[name] for name in found}, rel=1e-6)


def test_segments_without_tokens_or_in_a_large_codebook_have_none(root):
    postings_per_token = [postings.are_worthwhile(1000, tokens, 15_000) for tokens in (0, 1, 100_000, 10**6)]
    assert postings_per_token == [False, True, True, True]  # `small_thresholds` allows any size
    fill(root)
    with LocalEngine.open(root) as engine:
        engine.upsert([record("empty", tokens=0)])
        engine.delete(where={"n": {"$gte": 0}})
        engine.compact()
        assert engine.verify().problems == ()


def test_the_size_of_a_segment_decides(monkeypatch):
    monkeypatch.undo()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postings, "_MAX_START_BYTES_PER_TOKEN", 0.5)
        assert postings.are_worthwhile(1000, 8 * 15_001, 15_000)
        assert not postings.are_worthwhile(1000, 8 * 15_001 - 1, 15_000)
        assert not postings.are_worthwhile(65_537, 8 * 15_001, 15_000)  # two blocks
        assert not postings.are_worthwhile(0, 0, 1)


@pytest.mark.parametrize("write", ["compact", "upsert"])
def test_those_of_older_formats_get_them_beside_their_other_columns(root, write):
    with as_before_format_7():
        before = fill(root)
    files = {path: path.stat().st_ino for path in segment_files(root)}
    assert not any(path.name in POSTINGS for path in files)
    with LocalEngine.open(root, read_only=True) as reader, LocalEngine.open(root) as engine:
        assert [one.postings for one in segments(reader)] == [None, None]
        assert reader.verify().problems == ()
        assert scores(reader) == before
        if write == "upsert":
            engine.upsert([record("new", tokens=0)])
            assert len(segment_files(root)) == len(files) + 2 * len(POSTINGS) + 2
            assert {path: path.stat().st_ino for path in files} == files
            assert check(root) == 2
            engine.delete(ids=["new"])
        else:
            engine.compact()
            assert check(root) == 1
        assert engine.verify().problems == reader.verify().problems == ()
        assert scores(engine) == scores(reader) == before
    assert left_over(root) == []


def test_one_segment_is_not_rewritten_by_compact(root):
    with as_before_format_7():
        fill(root)
        with LocalEngine.open(root) as engine:
            engine.compact()
    before = folders(root)
    with LocalEngine.open(root) as engine:
        engine.compact()
        after = folders(root)
        assert after.keys() == before.keys()
        assert {name for files in after.values() for name in files if name not in next(iter(before.values()))} == (
            POSTINGS
        )
        generation = state_on_disk(root)[0]
        engine.compact()
        assert state_on_disk(root)[0] == generation


def test_those_before_format_5_get_them_when_they_are_converted(root):
    with as_before_format_5():
        fill(root)
    with LocalEngine.open(root) as engine:
        engine.upsert([record("new", tokens=0)])
        assert [one.postings for one in segments(engine)] == [None, None]
        assert not any(path.name in POSTINGS for path in segment_files(root))
        engine.compact()
        assert check(root) == 1
        assert engine.verify().problems == ()


CHILD = """
import os, signal, sys
from late_interaction.engines import LocalEngine
from late_interaction.engines.local.catalog.writer import Writer
from tests.engines.helpers import small_thresholds
Writer.add_postings = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
with small_thresholds(), LocalEngine.open(sys.argv[1]) as engine:
    engine.compact()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_files_of_a_crash_are_replaced(root):
    with as_before_format_7():
        before = fill(root)
        with LocalEngine.open(root) as engine:
            engine.compact()
    subprocess.run([sys.executable, "-c", CHILD, str(root)], env=CHILD_ENVIRONMENT, check=False)
    left = [path for path in segment_files(root) if path.name in POSTINGS]
    assert len(left) == 2
    left[0].write_bytes(b"damaged")
    with LocalEngine.open(root) as engine:
        assert [one.postings for one in segments(engine)] == [None]
        assert engine.verify().problems == ()
        engine.compact()
        assert check(root) == 1
        assert engine.verify().problems == ()
        assert scores(engine) == pytest.approx(before, rel=1e-6)


def test_a_copy_has_them(root, tmp_path):
    fill(root)
    with LocalEngine.open(root) as engine:
        engine.copy(tmp_path / "copy")
        sizes = sum(path.stat().st_size for path in root.rglob("*.npy"))
        assert engine.info()["vector_bytes"] == sizes
    assert check(tmp_path / "copy") == 2


def test_an_index_of_format_6(tmp_path):
    """Written by that release: searched as it was, and given posting lists by `compact`."""
    with tarfile.open(FIXTURES / "format_6.tar.gz") as archive:
        archive.extractall(tmp_path)
    expected = json.loads((FIXTURES / "format_6.json").read_text())
    root = tmp_path / "format_6"
    with LocalEngine.open(root, read_only=True) as engine:
        same(answers_of(engine), expected)
        assert engine.info()["format_version"] == 6
        assert engine.verify().problems == ()
    with LocalEngine.open(root) as engine:
        engine.delete(ids=["no such id"])
        assert engine.info()["format_version"] == FORMAT_VERSION
        same(answers_of(engine), expected)
        engine.compact()
        assert check(root) == 1
        assert engine.verify().problems == ()
        found = answers_of(engine)
        assert {**found, "late": 0, "lexical": 0} == {**expected, "late": 0, "lexical": 0}


# Damage


def rewrite(root, name, change):
    """Change a column and record the size and the checksum of the new file, as a stranger would."""
    path = next(path for path in segment_files(root) if path.name == name)
    column = change(np.load(path).copy())
    content = npy_header(column.shape, column.dtype) + column.tobytes()
    path.write_bytes(content)
    with closing(sqlite3.connect(root / "catalog.sqlite")) as connection, connection:
        (number,) = connection.execute("SELECT segment FROM segments WHERE name = ?", (path.parent.name,)).fetchone()
        statement = "UPDATE segment_files SET size = ?, checksum = ? WHERE name = ? AND segment = ?"
        connection.execute(statement, (len(content), zlib.crc32(content), name, number))


def with_value(*at, value):
    def change(column):
        column[at] = value
        return column

    return change


@pytest.mark.parametrize(
    "change",
    [
        with_value(0, 0, value=1),
        with_value(0, 3, value=2**32 - 1),
        with_value(0, -1, value=0),
        with_value(0, -1, value=2**31),
        lambda starts: starts[:, ::-1].copy(),
        np.zeros_like,
    ],
)
def test_starts_that_do_not_partition_the_lists(root, change):
    fill(root)
    rewrite(root, "posting_starts.npy", change)
    with LocalEngine.open(root, read_only=True) as engine:
        with pytest.raises(CorruptIndexError, match=r"posting_starts\.npy does not partition"):
            [one.postings for one in segments(engine)]
        assert "posting_starts" in str(engine.verify().problems)


def test_lists_that_are_not_those_of_the_codes(root):
    fill(root)
    rewrite(root, "postings.npy", with_value(0, value=65_535))
    with LocalEngine.open(root, read_only=True) as engine:
        (problem,) = engine.verify().problems
        assert "are not those of its codes, from block 0 on" in problem


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("posting_starts.npy", lambda starts: np.repeat(starts, 1000, axis=1)),  # more than the codebook has
        ("posting_starts.npy", lambda starts: starts[:, :1].copy()),
        ("posting_starts.npy", lambda starts: np.repeat(starts, 2, axis=0)),
        ("postings.npy", lambda lists: np.tile(lists, 100)),  # more than there are tokens
        ("postings.npy", lambda lists: lists.astype(np.uint8)[:-1]),
        ("postings.npy", lambda lists: lists.astype(np.int16)),
    ],
)
def test_columns_of_other_sizes_and_types(root, name, change):
    fill(root)
    rewrite(root, name, change)
    with pytest.raises(CorruptIndexError), LocalEngine.open(root, read_only=True):
        pass


@pytest.mark.parametrize("name", sorted(POSTINGS))
def test_flipped_bits_and_truncated_files(root, name, tmp_path):
    fill(root)
    size = next(path for path in segment_files(root) if path.name == name).stat().st_size
    rng = np.random.default_rng(0)
    for number, at in enumerate([0, 60, 127, 128, size - 1, *rng.integers(0, size, 10).tolist()]):
        copy = Path(shutil.copytree(root, tmp_path / str(number)))
        path = next(path for path in segment_files(copy) if path.name == name)
        content = bytearray(path.read_bytes())
        content[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(content if number % 5 else content[:at])
        problems = ""
        try:
            with LocalEngine.open(copy, read_only=True) as engine:
                problems = str(engine.verify().problems)
        except CorruptIndexError as error:
            problems = str(error)
        assert name in problems
