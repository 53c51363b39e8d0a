"""Merging segments: fewer files, the same answers, and readers who notice nothing."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from late_interaction.engines import LocalEngine
from late_interaction.engines.local import compaction
from late_interaction.engines.local.storage import columns
from late_interaction.engines.local.storage.columns import ColumnFolder
from late_interaction.engines.local.storage.segment_writer import SegmentWriter
from tests.engines.helpers import documents_of, record, segment_files, state_on_disk, stored, true_score, unit_vectors

QUERY = unit_vectors(12345, 4)


def ids(found):
    return [item.id for item in found]


def hits(engine, found):
    """Matches, to compare with others of the same documents: a score may differ in its last bit with the block."""
    scores = [pytest.approx(match.score, abs=1e-5) for match in found]
    return list(zip(documents_of(engine, found), scores, strict=True))


def answers(engine):
    """A good part of what can be asked, to be the same before and after."""
    names = [document.id for document in engine.scan()]
    return {
        "scan": list(engine.scan()),
        "search": hits(engine, engine.search(QUERY, 1000)),
        "search some": hits(engine, engine.search(QUERY, 7, where={"n": {"$gte": 10}})),
        "candidates": hits(engine, engine.search(QUERY, 3, candidates=names[::3])),
        "words": hits(engine, engine.search_lexical("text", 1000)),
        "get": engine.get(names[::-1]),
        "vectors": {name: rows.tolist() for name, rows in engine.vectors(names).items()},
        "count": engine.count(where={"n": {"$lt": 12}}),
    }


def test_many_small_additions_keep_few_segments(engine, root):
    for number in range(60):
        engine.upsert([record(f"d{number}", tokens=number % 4, n=number)])
        assert engine.info()["segments"] <= compaction._MERGED_SEGMENTS
        assert len(list((root / "segments").iterdir())) == engine.info()["segments"]
    assert ids(engine.scan()) == [f"d{number}" for number in range(60)]
    assert bool(engine.verify())
    scores = {match.id: match.score for match in engine.search(QUERY, 100)}
    expected = {f"d{n}": true_score(QUERY, record(f"d{n}", tokens=n % 4).vectors) for n in range(60)}
    assert scores == pytest.approx(expected, abs=1e-3)


def test_replacing_one_document_for_ever_does_not_grow_the_index(engine, root):
    for version in range(50):
        engine.upsert([record("only", seed=version, version=version)])
    info = engine.info()
    assert info["segments"] <= compaction._MERGED_SEGMENTS
    assert info["tokens"] <= 3 * compaction._MERGED_SEGMENTS
    assert np.array_equal(engine.vectors(["only"])["only"], stored(unit_vectors(49, 3)))


@pytest.fixture
def scattered(engine):
    """Documents over several segments, with deleted and replaced ones between."""
    for batch in range(6):
        engine.upsert([record(f"d{n}", tokens=n % 5, n=n) for n in range(batch * 5, batch * 5 + 5)])
    engine.upsert([record(f"d{n}", tokens=3, seed=n + 500, n=n) for n in (3, 12, 13, 14, 29)])
    engine.delete(ids=["d0", "d7", "d29"])
    engine.delete(where={"n": {"$in": [20, 21, 22, 23, 24]}})  # a whole segment
    return engine


def test_compact_changes_no_answer(scattered, root):
    before = answers(scattered)
    bytes_before = sum(path.stat().st_size for path in segment_files(root))
    scattered.compact()
    assert answers(scattered) == before
    info = scattered.info()
    assert (info["segments"], info["deleted_documents"]) == (1, 0)
    assert info["tokens"] == sum(len(rows) for rows in before["vectors"].values())
    assert len(list((root / "segments").iterdir())) == 1
    assert sum(path.stat().st_size for path in segment_files(root)) < bytes_before
    assert scattered.verify().problems == ()
    scattered.close()
    with LocalEngine.open(root) as engine:
        assert answers(engine) == before


def test_tombstones_are_gone(scattered, root):
    assert len(state_on_disk(root)[1]["tombstones"]) == 3  # of segments mostly alive; the others are rewritten at once
    scattered.compact()
    assert state_on_disk(root)[1]["tombstones"] == []


@pytest.mark.parametrize("of_twelve", [3, 4])
def test_a_segment_of_which_much_is_dead_is_rewritten_at_once(engine, root, of_twelve):
    engine.upsert([record(f"d{n}", tokens=2) for n in range(12)])
    engine.delete(ids=[f"d{n}" for n in range(of_twelve)])
    rewritten = of_twelve > 3
    assert engine.info()["deleted_documents"] == (0 if rewritten else of_twelve)
    assert engine.info()["tokens"] == 2 * (12 - of_twelve if rewritten else 12)
    assert len(list((root / "segments").iterdir())) == 1
    assert engine.verify().problems == ()


def test_compacting_twice_does_nothing(scattered, root):
    scattered.compact()
    before = state_on_disk(root)
    scattered.compact()
    assert state_on_disk(root) == before


def test_compacting_an_index_emptied(scattered):
    scattered.clear()
    scattered.compact()
    assert scattered.info()["deleted_documents"] == 0
    assert scattered.search(QUERY) == []
    assert bool(scattered.verify())
    scattered.upsert([record("a")])
    scattered.compact()
    assert ids(scattered.search(QUERY)) == ["a"]


def test_one_segment_with_one_deleted_document_is_rewritten(engine):
    engine.upsert([record("a"), record("b")])
    engine.delete(ids=["a"])
    engine.compact()
    assert engine.info()["deleted_documents"] == 0
    assert engine.info()["tokens"] == 3
    assert ids(engine.search(QUERY)) == ["b"]


def test_merging_small_segments_leaves_great_ones_alone(engine, root, monkeypatch):
    monkeypatch.setattr(compaction, "_SMALLEST_TIER_TOKENS", 5)
    engine.upsert([record("great", tokens=6)])
    kept = set(segment_files(root))
    for number in range(40):
        engine.upsert([record(f"d{number}", tokens=1)])
    assert kept <= set(segment_files(root))
    assert bool(engine.verify())
    assert engine.count() == 41


def test_two_compactions_at_once_make_one_segment(scattered, root, monkeypatch):
    """The second finds nothing left to merge once it has its turn: it must not make an empty segment."""
    finish = SegmentWriter.finish_segment
    inside, go_on = threading.Event(), threading.Event()

    def finish_late(files):
        inside.set()
        assert go_on.wait(20)
        return finish(files)

    monkeypatch.setattr(SegmentWriter, "finish_segment", finish_late)
    threads = [threading.Thread(target=scattered.compact) for _ in range(2)]
    before = state_on_disk(root)[0]
    threads[0].start()
    assert inside.wait(20)
    threads[1].start()
    time.sleep(0.05)
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert scattered.info()["segments"] == 1
    assert state_on_disk(root)[0] == before + 1


@pytest.mark.parametrize("hook", ["__init__", "_mapped"])
def test_a_merge_between_reading_the_catalog_and_mapping_the_files(scattered, root, monkeypatch, hook):
    """A reader has read the catalog, and perhaps seen the files; then the writer merges and removes them."""
    original = getattr(ColumnFolder, hook)
    merged = []

    def merge_first(*arguments):
        if not merged:
            merged.append(True)
            scattered.compact()
        return original(*arguments)

    with LocalEngine.open(root, read_only=True) as reader:
        scattered.upsert([record("new", n=77)])  # something to map
        expected = [document.id for document in scattered.scan()]
        with monkeypatch.context() as patch:
            patch.setattr(ColumnFolder, hook, merge_first)
            found = reader.search(QUERY, 100)
    assert merged
    assert sorted(ids(found)) == sorted(expected)


def test_a_merge_while_another_verifies(scattered, root, monkeypatch):
    checksum = columns.checksum_of
    merged = []

    def merge_first(stream):
        if not merged:
            merged.append(True)
            with monkeypatch.context() as patch:
                patch.setattr(columns, "checksum_of", checksum)
                scattered.compact()
        return checksum(stream)

    with LocalEngine.open(root, read_only=True) as reader:
        monkeypatch.setattr(columns, "checksum_of", merge_first)
        assert reader.verify().problems == ()
    assert merged


def test_answers_of_a_scan_begun_before_a_merge(scattered):
    expected = list(scattered.scan())
    scan = scattered.scan()
    first = next(scan)
    scattered.compact()
    assert [first, *scan] == expected


@pytest.mark.parametrize("separate", [True, False], ids=["own engine", "shared engine"])
def test_readers_see_whole_commits_while_a_writer_writes(engine, root, separate):
    """Every commit replaces all documents by the next version, so a mixed answer is a torn read."""
    names = [f"d{number}" for number in range(5)]

    def version_of(number):
        return [record(name, tokens=3, seed=number * 10 + at, version=number) for at, name in enumerate(names)]

    engine.upsert(version_of(0))
    engine.search(QUERY)  # torch is imported now, not while the clock runs
    stop = threading.Event()
    errors, seen = [], []

    def read():
        reader = LocalEngine.open(root, read_only=True) if separate else engine
        try:
            last = 0
            while not stop.is_set():
                with reader.one_state():
                    found = reader.search(QUERY, 10)
                    versions = {document.metadata["version"] for document in documents_of(reader, found)}
                assert (len(found), len(versions)) == (5, 1), f"{len(found)} hits of versions {versions}"
                version = versions.pop()
                assert version >= last
                last = version
                for match in found:
                    vectors = unit_vectors(version * 10 + names.index(match.id), 3)
                    assert match.score == pytest.approx(true_score(QUERY, vectors), abs=1e-3)
                assert {document.metadata["version"] for document in reader.get(names)} in ({v} for v in range(10_000))
                assert len(reader.vectors(names)) == 5
                assert len({document.metadata["version"] for document in reader.scan()}) == 1
                assert reader.count(where={"version": {"$gte": version}}) == 5
                assert len(reader.search_lexical("text", 10)) == 5
                seen.append(version)
        except BaseException as error:  # noqa: BLE001  # reported below
            errors.append(error)
        finally:
            if separate:
                reader.close()

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 1.5
    version = 0
    while time.monotonic() < end and not errors:
        version += 1
        engine.upsert(version_of(version))
        if version % 7 == 0:
            engine.compact()
    stop.set()
    for thread in threads:
        thread.join(timeout=30)
    if errors:
        raise errors[0]
    assert version > 10
    assert len(set(seen)) > 3
    assert bool(engine.verify())
