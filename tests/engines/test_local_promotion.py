"""Compression: what was exact is coded once enough has gathered; nothing else changes, whatever happens meanwhile."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest

from late_interaction.engines import LocalEngine
from late_interaction.engines.local import compaction
from late_interaction.engines.local.quantization import training
from late_interaction.engines.local.storage.segment_writer import SegmentWriter
from late_interaction.errors import InvalidRequestError
from tests.engines.helpers import (
    DIM,
    codebook_on_disk,
    column_files,
    left_over,
    record,
    records_on_disk,
    small_thresholds,
    spare_names,
    state_on_disk,
    stored,
    unit_vectors,
)

QUERY = unit_vectors(12345, 4)
FIRST, BUFFER = 40, 16


@pytest.fixture(autouse=True)
def small():
    with small_thresholds(FIRST, BUFFER):
        yield


@pytest.fixture
def engine(root):
    with LocalEngine.open(root, dim=DIM, bits=8) as engine:
        yield engine


def ids(found):
    return [item.id for item in found]


def fill(engine, count, *, tokens=4, name="d", **options):
    engine.upsert([record(f"{name}{n}", tokens=tokens, n=n, **options) for n in range(count)])


def maxsim(query, vectors):
    return float((query @ vectors.T).max(axis=1).sum()) if len(vectors) else 0.0


def check_sound(engine, root):
    """Everything agrees with everything else: files, places, vectors and scores."""
    assert engine.verify().problems == ()
    assert left_over(root) == []
    names = [document.id for document in engine.scan()]
    assert sorted(records_on_disk(root)) == sorted(names)
    vectors = engine.vectors(names)
    scores = {match.id: match.score for match in engine.search(QUERY, 10_000)}
    assert scores == pytest.approx({name: maxsim(QUERY, rows) for name, rows in vectors.items()}, abs=1e-4)


def kinds(root):
    """How many documents are exact and how many are coded."""
    flat = ["vectors" in columns for columns in records_on_disk(root).values()]
    return sum(flat), len(flat) - sum(flat)


# When


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_compressed_once_enough_has_gathered(root, bits):
    with LocalEngine.open(root, dim=DIM, bits=bits) as engine:
        fill(engine, 9)
        engine.upsert([record("nearly", tokens=FIRST - 9 * 4 - 1)])
        assert kinds(root) == (10, 0)
        assert (engine.info()["centroids"], engine.info()["exact_tokens"]) == (0, FIRST - 1)
        assert np.array_equal(engine.vectors(["d3"])["d3"], stored(record("d3", tokens=4).vectors))
        engine.upsert([record("last", tokens=1)])
        assert kinds(root) == (0, 11)
        info = engine.info()
        assert (info["exact_tokens"], info["tokens"], info["bits"]) == (0, FIRST, bits)
        assert 0 < info["centroids"] == codebook_on_disk(root)["centroids"]
        check_sound(engine, root)
        engine.upsert([record("buffered", tokens=BUFFER - 1)])
        assert kinds(root) == (1, 11)
        assert np.array_equal(
            engine.vectors(["buffered"])["buffered"], stored(record("buffered", tokens=BUFFER - 1).vectors)
        )
        check_sound(engine, root)
        engine.upsert([record("enough", tokens=1)])
        assert kinds(root) == (0, 13)
        check_sound(engine, root)
    with LocalEngine.open(root) as again:
        assert again.count() == 13
        check_sound(again, root)


def test_only_the_living_count(engine, root):
    for number in range(40):
        engine.upsert([record(f"d{number % 3}", tokens=8, seed=number)])
    assert kinds(root) == (3, 0)
    engine.upsert([record("large", tokens=FIRST)])
    assert kinds(root) == (0, 4)
    check_sound(engine, root)


def test_one_large_addition_is_compressed_at_once(engine, root):
    fill(engine, 200, tokens=10)
    assert kinds(root) == (0, 200)
    check_sound(engine, root)
    vectors = engine.vectors(["d7", "d199"])
    for name, rows in vectors.items():
        np.testing.assert_allclose(rows, record(name, tokens=10).vectors, atol=0.02)


@pytest.mark.parametrize(("bits", "error"), [(1, 0.5), (2, 0.3), (4, 0.1), (8, 0.01)])
def test_vectors_are_about_what_they_were(root, bits, error):
    with LocalEngine.open(root, dim=DIM, bits=bits) as engine:
        fill(engine, 100, tokens=5)
        vectors = engine.vectors([f"d{n}" for n in range(100)])
    errors = [np.linalg.norm(rows - record(name, tokens=5).vectors, axis=1) for name, rows in vectors.items()]
    assert np.concatenate(errors).mean() < error


def test_documents_without_vectors(engine, root):
    engine.upsert([record(f"empty{n}", tokens=0) for n in range(5)])
    fill(engine, 10)
    engine.upsert([record("emptied", tokens=0), record("d3", tokens=0)])
    engine.compact()
    assert kinds(root) == (0, 16)
    check_sound(engine, root)
    assert engine.vectors(["empty3", "d3"])["empty3"].shape == (0, DIM)
    assert {match.id: match.score for match in engine.search(QUERY, 100)}["emptied"] == 0


def test_compacting_documents_without_vectors_beside_a_codebook(engine, root):
    """The codebook deserves to be a little larger, and there is nothing to train it with."""
    near = np.eye(DIM)[np.arange(FIRST) % DIM] + np.random.default_rng(0).normal(scale=0.01, size=(FIRST, DIM))
    engine.upsert([record("first", vectors=near)])
    engine.upsert([record("more", vectors=near[:BUFFER])])
    assert engine.info()["exact_tokens"] == 0
    engine.upsert([record("empty", tokens=0)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine.compact()
    assert kinds(root) == (0, 3)
    check_sound(engine, root)


@pytest.mark.parametrize("bits", [5, 16, -4, "4", 4.0, True, False, [4], b"4"])
def test_bits_there_are_not(root, bits):
    with pytest.raises(InvalidRequestError, match="bits"):
        LocalEngine.open(root, dim=DIM, bits=bits)
    assert not (root / "catalog.sqlite").exists()
    with LocalEngine.open(root, dim=DIM) as engine:
        fill(engine, 20)
        assert engine.bits == 4


def test_exact_indexes_stay_exact(root):
    with LocalEngine.open(root, dim=DIM, bits=None) as engine:
        for batch in range(20):
            fill(engine, 10, name=f"{batch}-")
        engine.compact()
        assert kinds(root) == (200, 0)
        assert not (root / "codebooks").exists()
        assert (engine.info()["bits"], engine.info()["centroids"]) == (None, 0)
        check_sound(engine, root)
        assert np.array_equal(engine.vectors(["7-3"])["7-3"], stored(record("7-3", tokens=4).vectors))
    for bits in (1, 4):
        with pytest.raises(InvalidRequestError, match="bits=None"):
            LocalEngine.open(root, bits=bits)


# Compaction of what is coded


@pytest.fixture
def grown(engine, root):
    """Coded segments, exact ones beside them, and deleted documents in both."""
    for batch in range(8):
        fill(engine, 6, name=f"{batch}-")
    engine.upsert([record(f"{batch}-1", seed=batch, tokens=5) for batch in range(3)])
    engine.delete(ids=["0-0", "7-5"])
    coded = {key for key, columns in records_on_disk(root).items() if "codes" in columns}
    assert 30 < len(coded) < engine.count()
    return engine


def test_compact_leaves_one_coded_segment(grown, root):
    before, documents = records_on_disk(root), list(grown.scan())
    grown.compact()
    info = grown.info()
    assert (info["segments"], info["deleted_documents"], info["exact_tokens"]) == (1, 0, 0)
    assert state_on_disk(root)[1]["tombstones"] == []
    assert list(grown.scan()) == documents
    check_sound(grown, root)
    after = records_on_disk(root)
    for name, columns in before.items():
        if "codes" in columns:
            assert after[name] == columns, "what was coded is copied, byte for byte"
    again = state_on_disk(root)
    grown.compact()
    assert state_on_disk(root) == again


def test_merging_keeps_every_byte(engine, root, monkeypatch):
    """Sixteen coded segments become one by themselves."""
    codebooks = set()
    vectors = {}
    for batch in range(60):
        fill(engine, 4, name=f"{batch}-", tokens=5)
        vectors |= {name: engine.vectors([name])[name] for name in (f"{batch}-0", f"{batch}-3")}
        codebooks.add(codebook_on_disk(root)["name"] if codebook_on_disk(root) else None)
        assert engine.info()["segments"] <= 2 * compaction._MERGED_SEGMENTS
    assert len(codebooks) > 3
    assert kinds(root) == (0, 240)
    for name, rows in engine.vectors(list(vectors)).items():
        np.testing.assert_allclose(rows, record(name, tokens=5).vectors, atol=0.03)
    before = records_on_disk(root)
    exact = engine.vectors(list(before))
    with small_thresholds(FIRST, BUFFER, fanout=2):
        engine.delete(ids=["0-0"])  # and tidies up
    assert engine.info()["segments"] == 1
    after = records_on_disk(root)
    assert after == {name: columns for name, columns in before.items() if name != "0-0"}
    for name, rows in engine.vectors(list(after)).items():
        assert np.array_equal(rows, exact[name])
    check_sound(engine, root)


def test_segments_of_which_much_is_dead_are_rewritten_and_stay_coded(engine, root):
    fill(engine, 40)
    before = records_on_disk(root)
    engine.delete(where={"n": {"$lt": 11}})
    assert (engine.info()["deleted_documents"], engine.info()["tokens"]) == (0, 29 * 4)
    assert records_on_disk(root) == {name: columns for name, columns in before.items() if int(name[1:]) >= 11}
    check_sound(engine, root)


def test_emptied_and_filled_again(engine, root):
    fill(engine, 40)
    engine.clear()
    assert engine.info()["segments"] == 0
    check_sound(engine, root)
    engine.compact()
    fill(engine, 3, name="e")
    assert kinds(root) == (3, 0)
    fill(engine, 10, name="f")
    assert kinds(root) == (0, 13)
    engine.compact()
    check_sound(engine, root)


# The codebook


def centroids_on_disk(root):
    folder = root / "codebooks" / codebook_on_disk(root)["name"]
    return np.load(folder / "centroids.npy"), np.load(folder / "scales.npy")


def test_the_codebook_grows_with_the_collection(engine, root):
    fill(engine, 20)
    first, records = codebook_on_disk(root), records_on_disk(root)
    centroids, scales = centroids_on_disk(root)
    vectors = engine.vectors(list(records))
    for batch in range(4):
        fill(engine, 20, name=f"{batch}-")
    last = codebook_on_disk(root)
    assert last["centroids"] > 2 * first["centroids"]
    assert last["name"] != first["name"]
    assert [path.name for path in (root / "codebooks").iterdir()] == [last["name"]]
    more_centroids, more_scales = centroids_on_disk(root)
    assert np.array_equal(more_centroids[: len(centroids)], centroids)
    assert np.array_equal(more_scales[: len(scales)], scales)
    assert {name: records_on_disk(root)[name] for name in records} == records
    for name, rows in engine.vectors(list(records)).items():
        assert np.array_equal(rows, vectors[name])
    check_sound(engine, root)
    engine.close()
    with LocalEngine.open(root) as again:
        for name, rows in again.vectors(list(records)).items():
            assert np.array_equal(rows, vectors[name])


def region(seed, axes, count):
    """Token vectors near some axes of the space, (count, DIM)."""
    rng = np.random.default_rng(seed)
    vectors = np.eye(DIM)[rng.choice(axes, count)] + rng.normal(scale=0.1, size=(count, DIM))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("drifts", [False, True])
def test_the_codebook_is_extended_for_text_of_another_kind(engine, root, monkeypatch, drifts):
    monkeypatch.setattr(
        training, "_CENTROIDS_PER_ROOT_TOKEN", 1
    )  # few: they do not fit what they were not trained with
    engine.upsert([record("old", vectors=region(1, [0, 1, 2], 300))])
    first = codebook_on_disk(root)
    new = region(2, [5, 6, 7] if drifts else [0, 1, 2], 60)
    engine.upsert([record("new", vectors=new)])
    last = codebook_on_disk(root)
    assert (last["centroids"] > first["centroids"]) is drifts
    if not drifts:
        assert last == first
    check_sound(engine, root)
    np.testing.assert_allclose(engine.vectors(["new"])["new"], new, atol=0.03)


# What others do meanwhile


class Blocked:
    """Lets a rewrite go on to the point where its files are about to be finished, and holds it there."""

    def __init__(self, monkeypatch):
        self.inside, self.go_on = threading.Event(), threading.Event()
        self.threads, self.errors = [], []
        self._finish = SegmentWriter.finish_segment
        monkeypatch.setattr(SegmentWriter, "finish_segment", lambda files: self._held(files))

    def _held(self, files):
        if threading.current_thread() in self.threads and not self.inside.is_set():
            self.inside.set()
            assert self.go_on.wait(30)
        return self._finish(files)

    def start(self, work):
        def run():
            try:
                work()
            except BaseException as error:  # noqa: BLE001  # reported below
                self.errors.append(error)

        thread = threading.Thread(target=run)
        self.threads.append(thread)
        thread.start()
        assert self.inside.wait(30)

    def release(self):
        self.go_on.set()
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive()
        if self.errors:
            raise self.errors[0]


def promotion(engine):
    """A rewrite that compresses: the exact documents are there already, and a deletion sets it off."""
    with small_thresholds(10**9, 10**9):
        fill(engine, 15, name="flat")
    return lambda: engine.delete(ids=["nothing"])


def merge_of_coded(engine):
    fill(engine, 15, name="coded", tokens=3)
    fill(engine, 15, name="flat")
    return engine.compact


def merge_of_exact(engine):
    with small_thresholds(10**9, 10**9):
        fill(engine, 7, name="coded")
        fill(engine, 15, name="flat")

    def compact():
        with small_thresholds(10**9, 10**9):
            engine.compact()

    return compact


@pytest.mark.parametrize("rewrite", [promotion, merge_of_coded, merge_of_exact])
def test_writes_during_a_rewrite_are_neither_lost_nor_undone(engine, root, monkeypatch, rewrite):
    fill(engine, 9)
    work = rewrite(engine)
    expected = {document.id: document.text for document in engine.scan()}
    blocked = Blocked(monkeypatch)
    blocked.start(work)
    reader = LocalEngine.open(root, read_only=True)

    def check(*engines):
        for one in engines:
            assert {document.id: document.text for document in one.scan()} == expected
            assert sorted(ids(one.search(QUERY, 1000))) == sorted(expected)

    try:
        check(engine, reader)
        assert engine.delete(ids=["d1", "flat2"]) == 2
        assert engine.delete(where={"n": {"$in": [5, 6]}}) >= 4
        gone = {name for name in expected if name in ("d1", "flat2") or (name[-1] in "56" and name[-2] != "1")}
        expected = {name: text for name, text in expected.items() if name not in gone}
        check(engine, reader)
        engine.upsert([record(name, text="text replaced", tokens=2) for name in ("d3", "flat4", "flat2")])
        expected |= dict.fromkeys(("d3", "flat4", "flat2"), "text replaced")
        engine.upsert([record("new", text="text new", tokens=3)])
        engine.upsert([record("passing"), record("d4", text="text passing")])
        engine.delete(ids=["passing", "d4"])
        engine.upsert([record("d4", text="text again", tokens=1)])
        expected |= {"new": "text new", "d4": "text again"}
        check(engine, reader)
    finally:
        blocked.release()
    check(engine, reader)
    check_sound(engine, root)
    vectors = engine.vectors(["d3", "flat4", "flat2", "new", "d4"])
    for name, tokens in {"d3": 2, "flat4": 2, "flat2": 2, "new": 3, "d4": 1}.items():
        np.testing.assert_allclose(vectors[name], record(name, tokens=tokens).vectors, atol=0.02)
    engine.compact()
    check(engine, reader)
    check_sound(engine, root)
    reader.close()
    engine.close()
    with LocalEngine.open(root) as again:
        check(again)
        check_sound(again, root)


def test_everything_deleted_during_a_rewrite(engine, root, monkeypatch):
    work = promotion(engine)
    blocked = Blocked(monkeypatch)
    blocked.start(work)
    assert engine.clear() == 15
    blocked.release()
    assert engine.search(QUERY) == []
    check_sound(engine, root)
    engine.compact()
    assert engine.info()["segments"] == 0
    fill(engine, 20)
    check_sound(engine, root)


def test_additions_that_wait_for_a_rewrite_are_compressed_after_it(engine, root, monkeypatch):
    """A writer that finds another thread at it leaves its own exact segments to that thread."""
    work = promotion(engine)
    blocked = Blocked(monkeypatch)
    blocked.start(work)
    for batch in range(5):
        fill(engine, 10, name=f"{batch}-")
    assert kinds(root)[0] == 65
    blocked.release()
    assert kinds(root) == (0, 65)
    check_sound(engine, root)


def test_closing_during_a_rewrite(engine, root, monkeypatch):
    work = promotion(engine)
    blocked = Blocked(monkeypatch)
    blocked.start(work)
    engine.close()
    with LocalEngine.open(root) as again:  # the lock is free, and what was being written is garbage
        fill(again, 3)
        blocked.release()
        assert again.count() == 18
        check_sound(again, root)


@pytest.mark.parametrize("separate", [True, False], ids=["own engine", "shared engine"])
def test_one_state_outlives_a_rewrite(grown, root, separate):
    """The files stay until the state is over."""
    reader = LocalEngine.open(root, read_only=True) if separate else grown
    names = ["0-2", "1-1", "3-4", "7-1"]
    with reader.one_state():
        found, vectors, documents = reader.search(QUERY, 100), reader.vectors(names), list(reader.scan())
        thread = threading.Thread(
            target=lambda: (fill(grown, 30, name="new"), grown.delete(ids=names), grown.compact())
        )
        thread.start()
        thread.join(30)
        assert left_over(root) != []
        assert reader.search(QUERY, 100) == found
        assert list(reader.scan()) == documents
        again = reader.vectors(names)
        assert all(np.array_equal(again[name], rows) for name, rows in vectors.items())
    assert reader.vectors(names) == {}
    grown.delete(ids=["nothing"])
    assert left_over(root) == []
    if separate:
        reader.close()


def test_garbage_of_both_kinds_is_removed_by_the_next_writer(grown, root):
    grown.close()
    before = set(column_files(root))
    for kind, name in zip(("segments", "codebooks"), spare_names(root), strict=False):
        orphan = root / kind / name
        orphan.mkdir()
        (orphan / "scales.npy").write_bytes(b"torn")
    with LocalEngine.open(root, read_only=True) as reader:
        assert reader.verify().problems == ()
    assert len(left_over(root)) == 2
    with LocalEngine.open(root) as again:
        check_sound(again, root)
    assert set(column_files(root)) == before
