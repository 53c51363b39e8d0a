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
from late_interaction.engines.local.search import device_query as search
from late_interaction.engines.local.search import plan
from late_interaction.engines.local.search.buffers import Buffers
from late_interaction.engines.local.search.cpu import CpuQuery
from late_interaction.engines.local.search.device import Device
from late_interaction.engines.local.search.device_query import DeviceQuery
from late_interaction.engines.local.search.selection import Selection
from late_interaction.engines.local.storage.segment import CompressedSegment
from late_interaction.errors import InvalidRequestError
from tests.engines.codec_oracle import decoded_by_definition, points_of, without
from tests.engines.helpers import record, small_thresholds, state_on_disk, unit_vectors

DEVICES = [
    "cpu:0",  # "cpu" alone means the processor and the compiled kernels
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")),
]
BITS = (1, 2, 3, 4, 8)
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
            snapshot=snapshot,
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
        near(expected, asked.processor.maxsim(asked.documents), len(query))
        # The stage before looks at one token for each of the query, which it rounds to integers.
        rounding = 1e-4 * len(query)
        refined = asked.processor.refined(asked.documents)
        assert (refined <= scores + rounding).all()
        assert np.abs(refined - scores)[lengths < 2].max() <= rounding
        for found in (scores, refined):
            assert (found[lengths == 0] == 0).all()
        assert (lengths == 0).sum() > 5


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("dim", DIMS)
def test_approximate_scores_are_those_of_centroids(compared, dim, bits, name):
    for query in queries(dim):
        asked = compared(dim, bits, query, name)
        expected = [maxsim(asked.rotated, asked.decoded[found][0]) for found in asked.ids]
        approximate = asked.processor.approximate(asked.documents)
        assert approximate.dtype == np.float32
        np.testing.assert_allclose(approximate, expected, rtol=1e-4, atol=1e-4 * len(query))
        estimates = asked.device.from_centroids().cpu().numpy()
        assert estimates.dtype == np.float32
        searched = np.isin(asked.documents, asked.selection.documents)
        near(np.array(expected)[searched], estimates[asked.selection.documents], len(query))
        assert np.isneginf(np.delete(estimates, asked.selection.documents)).all()
        # Of a few documents, the tokens are gathered.
        few = Selection(asked.snapshot, {number: at[::7] for number, at in asked.snapshot.live_positions.items()})
        assert 10 < len(few.documents) < 0.25 * len(estimates)
        gathered = DeviceQuery(query, few, *asked.snapshot.coding[::-1], Device(name)).from_centroids().cpu().numpy()
        near(estimates[few.documents], gathered[few.documents], len(query))
        assert np.isneginf(np.delete(gathered, few.documents)).all()


@pytest.mark.parametrize("name", DEVICES)
def test_documents_in_any_number(compared, name, monkeypatch):
    """None, those without tokens alone, one after the other, and in blocks that cut them apart."""
    (query,) = queries(13, [7])
    asked = compared(13, 2, query, name)
    lengths = np.array([len(asked.decoded[found][1]) for found in asked.ids])
    processor = asked.processor
    for score in (asked.device.maxsim, processor.maxsim, processor.refined, processor.approximate):
        expected = score(asked.documents)
        assert score(asked.documents[:0]).shape == (0,)
        assert (score(asked.selection.empty) == 0).all()
        assert len(asked.selection.empty) == (lengths == 0).sum() > 5
        for at in range(0, len(asked.documents), 9):
            assert score(asked.documents[at : at + 1]) == pytest.approx(expected[at : at + 1], abs=1e-5)
    estimates, exact = asked.device.from_centroids().cpu().numpy(), asked.device.maxsim(asked.documents)
    for scores in (8, 64, 700, 7000):  # the longest documents have 90 tokens
        monkeypatch.setattr(search, "_BLOCK_SCORES", scores)
        assert asked.device.maxsim(asked.documents) == pytest.approx(exact, abs=1e-5)
        assert asked.device.from_centroids().cpu().numpy() == pytest.approx(estimates, abs=1e-5)


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("dim", DIMS)
def test_search_finds_the_same(indexes, dim, bits, name, monkeypatch):
    """The k best, whatever is asked for; nothing is left out here, since all that is left out is by chance."""
    monkeypatch.setattr(plan, "_MARGIN_DEVIATIONS", (math.inf,) * 3)
    monkeypatch.setattr(plan, "_FIRST_DOCUMENTS", (40, 20, 10))
    monkeypatch.setattr(search, "_MARGIN_DEVIATIONS", 1e6)
    monkeypatch.setattr(search, "_FIRST_DOCUMENTS", 40)
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
@pytest.mark.parametrize("first", [256, 60, 30])
def test_what_is_left_out_is_not_among_the_best(indexes, bits, first, name, monkeypatch):
    monkeypatch.setattr(search, "_FIRST_DOCUMENTS", first)
    monkeypatch.setattr(search, "_FIRST_DOCUMENTS_PER_HIT", 1)
    root = indexes(64, bits)
    with LocalEngine.open(root, read_only=True, device=name) as engine:
        vectors = engine.vectors([document.id for document in engine.scan()])
        for query in queries(64, range(1, 20)):
            truth = {found: maxsim(query.astype(np.float64), own.astype(np.float64)) for found, own in vectors.items()}
            scores = [match.score for match in engine.search(query, 10)]
            near(sorted(truth.values(), reverse=True)[:10], scores, len(query))


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("most", [1, 20])
def test_no_more_documents_are_scored_than_the_limit(compared, name, most, monkeypatch):
    """Of the documents that may be among the best, those with the highest scores from centroids."""
    monkeypatch.setattr(search, "_MARGIN_DEVIATIONS", 1e6)
    monkeypatch.setattr(search, "_FIRST_DOCUMENTS", 40)
    monkeypatch.setattr(search, "_MAX_RESCORED_DOCUMENTS", most)
    monkeypatch.setattr(search, "_MAX_RESCORED_DOCUMENTS_PER_HIT", 1)
    scored = []
    exact = DeviceQuery._exact
    monkeypatch.setattr(DeviceQuery, "_exact", lambda self, *given: scored.append(given[0]) or exact(self, *given))
    (query,) = queries(64, [7])
    asked = compared(64, 4, query, name)
    asked.device.best(3)
    assert [len(some) for some in scored] == [40, max(most, 3), 6]
    estimates = asked.device.from_centroids().cpu().numpy()
    highest = np.sort(estimates)[::-1]
    for some, place in ((scored[0], 39), (scored[1], 39 + max(most, 3))):
        assert estimates[some].min() == highest[place]


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("precision", ["high", "medium"])
def test_scores_do_not_depend_on_the_precision_of_products(compared, name, precision):
    """On a GPU, "high" is TF32, with ten bits of a fraction: a setting of the process that other users may want."""
    (query,) = queries(64, [40])
    asked = compared(64, 4, query, name)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        documents, scores = asked.device.best(10)
    finally:
        torch.set_float32_matmul_precision(before)
    ids = dict(zip(asked.documents.tolist(), asked.ids, strict=True))
    near([maxsim(asked.rotated, asked.decoded[ids[one]][1]) for one in documents.tolist()], scores, len(query))


@pytest.mark.parametrize("name", DEVICES)
def test_threads_that_search_first_at_the_same_time(indexes, name):
    """What is copied to the device is copied once, and every search has the right hits."""
    root = indexes(13, 4)
    asked = queries(13, range(1, 17))
    with LocalEngine.open(root, read_only=True) as processor:
        expected = [[(match.id, match.score) for match in processor.search(query, 5)] for query in asked]
    with LocalEngine.open(root, read_only=True, device=name) as engine:
        copied = []
        copy = engine._device.tensor
        engine._device.tensor = lambda array: copied.append(array.shape) or copy(array)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda query: engine.search(query, 5), asked))
        with engine._states.reading() as (_, snapshot):
            residuals = [
                segment.token_columns["residuals"].shape
                for segment in snapshot.segments.values()
                if isinstance(segment, CompressedSegment)
            ]
    assert all(copied.count(shape) == residuals.count(shape) for shape in residuals)
    for matches, truth in zip(found, expected, strict=True):
        assert [match.id for match in matches] == [one for one, _ in truth]
        assert [match.score for match in matches] == pytest.approx([score for _, score in truth], abs=1e-4)


def test_too_little_memory_is_a_clear_error():
    message = r"cpu:0.* too little free memory to search 1,234 tokens"
    with pytest.raises(InvalidRequestError, match=message), Device("cpu:0").memory_errors(1234):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


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
