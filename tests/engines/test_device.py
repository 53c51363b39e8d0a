"""Scores of compressed documents on a device of torch: those of the processor, and those of numpy.

Torch's own `cpu` is a device like others, so all of it runs everywhere; where there is a GPU, on that one, too.
"""

from __future__ import annotations

import itertools
import json
import math
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from late_interaction.engines import LocalEngine
from late_interaction.engines.local.quantization.codebook import Codebook
from late_interaction.engines.local.quantization.rotation import rotation
from late_interaction.engines.local.search import device as device_module
from late_interaction.engines.local.search import plan as search
from late_interaction.engines.local.search.buffers import Buffers
from late_interaction.engines.local.search.cpu import CpuQuery
from late_interaction.engines.local.search.device import Device, DeviceQuery
from late_interaction.engines.local.search.selection import Selection
from late_interaction.errors import InvalidRequestError
from tests.engines.codec_oracle import decoded_by_definition, points_of, without
from tests.engines.helpers import record, small_thresholds, state_on_disk, unit_vectors

DEVICES = [
    "cpu:0",  # "cpu" alone means the processor and the compiled kernels
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")),
]
BITS = (1, 2, 4, 8)
DIMS = (5, 13, 64)
DOCUMENTS = 330
WHERES = [None, {"group": 1}, {"group": {"$ne": 1}}, {"group": 7}]


def made(number, dim):
    """A document of some tokens, a few of none and a few of many, around the topics that all have in common."""
    rng = np.random.default_rng(number)
    length = {0: 0, 1: 90}.get(number % 25, 1 + number % 12)
    topics = unit_vectors(99, 40, dim)
    vectors = topics[rng.integers(0, 40, length)] + 0.5 / np.sqrt(dim) * rng.normal(size=(length, dim))
    return record(f"d{number}", vectors=vectors.astype(np.float32), group=number % 4)


def queries(dim, tokens=(1, 7, 40)):
    return [unit_vectors(1000 + count, count, dim) for count in tokens]


def decoded(root, dim, bits):
    """By id, the centroids and the full vectors of compressed documents, (tokens, dim), rotated; by plain numpy."""
    with closing(sqlite3.connect(root / "catalog.sqlite")) as connection:
        setting = connection.execute("SELECT value FROM settings WHERE key = 'codebook'").fetchone()[0]
        names = dict(connection.execute("SELECT segment, name FROM segments"))
        rows = connection.execute("SELECT id, segment, position FROM documents").fetchall()
    folder = root / "codebooks" / json.loads(setting)["name"]
    rounded = points_of(np.load(folder / "centroids.npy"), 4, dim) * np.load(folder / "scales.npy")[:, None]
    direction = np.load(folder / "direction.npy")
    centroids = without(rounded, direction) + np.load(folder / "along.npy")[:, None] * direction
    columns = {
        number: {path.stem: np.load(path) for path in (root / "segments" / name).iterdir()}
        for number, name in names.items()
    }
    found = {}
    for name, number, position in rows:
        if "codes" in (held := columns[number]):
            start, end = held["offsets"][position : position + 2]
            own = {column: values[start:end] for column, values in held.items() if column != "offsets"}
            found[name] = centroids[own["codes"]], decoded_by_definition(own, centroids, direction, bits)
    return found


def near(expected, scores, tokens):
    """Equal but for the rounding of single precision, in sums over so many query tokens."""
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=2e-5 * tokens)


def maxsim(rotated_query, vectors):
    return (rotated_query @ vectors.T).max(axis=1).sum() if len(vectors) else 0.0


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Many small steps on few cores are slow when several wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def indexes(make_directory):
    """By dimension and bits, where an index is: several compressed segments, an exact one, deleted documents."""
    directories = {}

    def make(dim, bits):
        if (dim, bits) not in directories:
            root = make_directory("device") / "index"
            documents = [made(number, dim) for number in range(DOCUMENTS)]
            with small_thresholds(1000, 450), LocalEngine.open(root, dim=dim, bits=bits) as engine:
                for start in range(0, DOCUMENTS, 30):
                    engine.upsert(documents[start : start + 30])
                engine.delete(ids=[f"d{number}" for number in range(3, DOCUMENTS, 11)])
                info = engine.info()
                assert info["segments"] >= 4
                assert 0 < info["exact_tokens"] < 450
                assert info["deleted_documents"] > 20
            directories[dim, bits] = root
        return directories[dim, bits]

    return make


@pytest.fixture
def compared(indexes):
    """Makes, of an index and a query, the same question to the processor, to a device and to numpy."""
    engines = []

    def make(dim, bits, query, name):
        root = indexes(dim, bits)
        engine = LocalEngine.open(root, read_only=True)
        engines.append(engine)
        with engine._states.reading() as (reader, snapshot):
            ids = {reader.place_of(document.id): document.id for document in reader.scan()}
        selection = Selection(snapshot, snapshot.live_positions)
        assert len(selection.parts) >= 3
        documents = np.union1d(selection.documents, selection.empty)
        places = zip(*(column.tolist() for column in selection.places(documents)), strict=True)
        codec, codebook = snapshot.coding
        return SimpleNamespace(
            selection=selection,
            documents=documents,
            ids=[ids[place] for place in places],
            processor=CpuQuery(query, selection, codebook, codec, Buffers()),
            device=DeviceQuery(query, selection, codebook, codec, Device(name)),
            rotated=query.astype(np.float64) @ rotation(dim).T,
            decoded=decoded(root, dim, bits),
        )

    yield make
    for engine in engines:
        engine.close()


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("dim", DIMS)
def test_scores_are_those_of_the_processor(compared, dim, bits, name):
    for query in queries(dim):
        asked = compared(dim, bits, query, name)
        expected = [maxsim(asked.rotated, asked.decoded[found][1]) for found in asked.ids]
        lengths = np.array([len(asked.decoded[found][1]) for found in asked.ids])
        scores = asked.device.maxsim(asked.documents)
        assert scores.dtype == np.float32
        near(expected, scores, len(query))
        assert np.array_equal(asked.device.exact(asked.documents), scores)
        assert np.array_equal(asked.device.refined(asked.documents), scores)
        near(expected, asked.processor.maxsim(asked.documents), len(query))
        # Other stages of the processor look at some tokens, and round the query to integers.
        rounding = 1e-4 * len(query)
        exact, refined = asked.processor.exact(asked.documents), asked.processor.refined(asked.documents)
        assert (refined <= exact + rounding).all()
        assert (exact <= scores + rounding).all()
        assert np.abs(refined - scores)[lengths < 2].max() <= rounding
        for found in (scores, exact, refined):
            assert (found[lengths == 0] == 0).all()
        assert (lengths == 0).sum() > 5


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("dim", DIMS)
def test_approximate_scores_are_those_of_centroids(compared, dim, bits, name):
    for query in queries(dim):
        asked = compared(dim, bits, query, name)
        expected = [maxsim(asked.rotated, asked.decoded[found][0]) for found in asked.ids]
        for scored in (asked.device, asked.processor):
            approximate = scored.approximate(asked.documents)
            assert approximate.dtype == np.float32
            np.testing.assert_allclose(approximate, expected, rtol=1e-4, atol=1e-4 * len(query))
        # A device has nothing coarser. It gives the best first, each once.
        scan, by_score = asked.device.scan(), np.sort(asked.device.approximate(asked.selection.documents))[::-1]
        documents, scores = scan.best(40)
        near(by_score[:40], np.sort(scores)[::-1], len(query))
        others = scan.others(float(by_score[99]), 1000)
        assert len(others) == (by_score >= by_score[99]).sum() - 40
        assert len(np.union1d(documents, others)) == 40 + len(others)


@pytest.mark.parametrize("name", DEVICES)
def test_documents_in_any_number(compared, name, monkeypatch):
    """None, those without tokens alone, one after the other, and in blocks that cut them apart."""
    (query,) = queries(13, [7])
    asked = compared(13, 2, query, name)
    lengths = np.array([len(asked.decoded[found][1]) for found in asked.ids])
    for scored in (asked.device, asked.processor):
        for score in (scored.maxsim, scored.exact, scored.refined, scored.approximate):
            expected = score(asked.documents)
            assert score(asked.documents[:0]).shape == (0,)
            assert (score(asked.selection.empty) == 0).all()
            assert len(asked.selection.empty) == (lengths == 0).sum() > 5
            for at in range(0, len(asked.documents), 9):
                assert score(asked.documents[at : at + 1]) == pytest.approx(expected[at : at + 1], abs=1e-5)
    approximate, exact = asked.device.approximate(asked.documents), asked.device.exact(asked.documents)
    for tokens in (8, 64, 100, 1000):  # the longest documents have 90
        monkeypatch.setattr(device_module, "_BLOCK_TOKENS", tokens)
        assert asked.device.exact(asked.documents) == pytest.approx(exact, abs=1e-5)
        assert asked.device.approximate(asked.documents) == pytest.approx(approximate, abs=1e-5)


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("dim", DIMS)
def test_search_finds_the_same(indexes, dim, bits, name, monkeypatch):
    """The k best, whatever is asked for; nothing is left out here, since all that is left out is by chance."""
    monkeypatch.setattr(search, "_MARGIN_DEVIATIONS", (math.inf,) * 3)
    monkeypatch.setattr(search, "_FIRST_DOCUMENTS", (40, 20, 10))
    root = indexes(dim, bits)
    candidates = [f"d{number}" for number in range(0, DOCUMENTS, 3)]
    asked = [{"where": where} for where in WHERES] + [{"candidates": candidates}, {"candidates": candidates[:9]}]
    with (
        LocalEngine.open(root, read_only=True) as processor,
        LocalEngine.open(root, read_only=True, device=name) as on_device,
    ):
        vectors = processor.vectors([document.id for document in processor.scan()])
        for query in queries(dim):
            truth = {found: maxsim(query.astype(np.float64), own.astype(np.float64)) for found, own in vectors.items()}
            for arguments, k in itertools.product(asked, (1, 10, 500)):
                found = [engine.search(query, k, **arguments) for engine in (processor, on_device)]
                allowed = {match.id for match in processor.search(query, 500, **arguments)}
                best = np.sort([truth[one] for one in allowed])[::-1][:k]
                for matches in found:
                    near(best, [match.score for match in matches], len(query))
                    near([truth[match.id] for match in matches], [match.score for match in matches], len(query))
                assert k < 500 or {match.id for match in found[1]} == allowed


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("first", [(256, 64, 32), (60, 30, 15), (4, 2, 1)])
def test_what_is_left_out_is_not_among_the_best(indexes, bits, first, name, monkeypatch):
    """On a device, where a document whose centroids are looked at again has its exact score."""
    monkeypatch.setattr(search, "_FIRST_DOCUMENTS", first)
    root = indexes(64, bits)
    with LocalEngine.open(root, read_only=True, device=name) as engine:
        vectors = engine.vectors([document.id for document in engine.scan()])
        for query in queries(64, range(1, 20)):
            truth = {found: maxsim(query.astype(np.float64), own.astype(np.float64)) for found, own in vectors.items()}
            scores = [match.score for match in engine.search(query, 10)]
            near(sorted(truth.values(), reverse=True)[:10], scores, len(query))


@pytest.mark.parametrize("name", DEVICES)
def test_what_changes_is_seen(root, name):
    """New segments, a larger codebook, deletions and merges: nothing on the device outlives what it was copied from."""
    with small_thresholds(100, 40), LocalEngine.open(root, dim=8, bits=4, device=name) as engine:
        centroids = set()
        for start in range(0, 200, 20):
            engine.upsert([made(number, 8) for number in range(start, start + 20)])
            engine.delete(ids=[f"d{start + 1}"])
            (query,) = queries(8, [5])
            kept = engine.vectors([document.id for document in engine.scan()])
            truth = {found: maxsim(query, own) for found, own in kept.items()}
            matches = engine.search(query, 10)
            assert [match.score for match in matches] == pytest.approx(sorted(truth.values())[-1:-11:-1], abs=1e-3)
            centroids.add(engine.info()["centroids"])
        assert len(centroids) > 3
        assert len(engine._device._columns) > 1
        engine.compact()
        again = engine.search(query, 10)
        assert [match.id for match in again] == [match.id for match in matches]
        assert len(engine._device._columns) == 1


@pytest.mark.parametrize("name", DEVICES)
def test_threads_that_search_different_states(name):
    """Each gets the centroids of its own state: codes beyond those of another would be followed blindly."""
    device, few = Device(name), Codebook.rounded(unit_vectors(1, 30))
    codebooks = [few, few.extended(Codebook.rounded(unit_vectors(2, 20)))]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(2) as pool:
            ask = [pool.submit(lambda own: {len(device.centroids(own)) for _ in range(5000)}, own) for own in codebooks]
            assert [asked.result() for asked in ask] == [{30}, {50}]
    finally:
        sys.setswitchinterval(before)


@pytest.mark.parametrize("name", DEVICES)
def test_an_index_that_has_nothing_to_score_there(root, name):
    with LocalEngine.open(root, dim=8, bits=None, device=name) as engine:
        (query,) = queries(8, [3])
        assert engine.search(query, 5) == []
        engine.upsert([made(number, 8) for number in range(30)])
        assert len(engine.search(query, 5)) == 5
        assert len(engine.search(query[:0], 5)) == 5


@pytest.mark.parametrize("name", DEVICES)
def test_queries_without_tokens_and_only_documents_without_tokens(root, name):
    with small_thresholds(50, 10), LocalEngine.open(root, dim=8, bits=1, device=name) as engine:
        engine.upsert([made(number, 8) for number in range(60)])
        assert engine.info()["exact_tokens"] == 0
        (query,) = queries(8, [3])
        assert [match.score for match in engine.search(query[:0], 100)] == [0] * 60
        engine.delete(ids=[f"d{number}" for number in range(60) if number % 25])
        engine.compact()
        assert [(match.id, match.score) for match in engine.search(query, 5)] == [("d0", 0), ("d25", 0), ("d50", 0)]


def test_cpu_is_the_processor(root):
    with LocalEngine.open(root, dim=8, device="cpu") as engine:
        assert engine._device is None


NOWHERE = [
    "nonsense",
    "",
    "cuda:-1",
    "cuda:99",
    "hpu",
    "meta",
    1.5,
    pytest.param("cuda", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")),
]


@pytest.mark.parametrize("name", NOWHERE)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_device_that_cannot_be_used(root, name, read_only):
    """One clear error before anything happens: no lock stays held, no file changes, no directory is made."""
    with pytest.raises(InvalidRequestError, match="device="):
        LocalEngine.open(root, dim=8, device=name)
    assert not root.exists()
    with small_thresholds(50, 10), LocalEngine.open(root, dim=8) as engine:
        engine.upsert([made(number, 8) for number in range(30)])
    before = state_on_disk(root)
    with pytest.raises(InvalidRequestError, match="device=") as error:
        LocalEngine.open(root, device=name, read_only=read_only)
    assert len(str(error.value).splitlines()) == 1
    assert state_on_disk(root) == before
    with LocalEngine.open(root) as engine:  # the lock is free
        assert engine.delete(ids=["d2"]) == 1
