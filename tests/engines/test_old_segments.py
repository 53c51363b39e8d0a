"""Compressed segments of formats before 5: searched as before, beside new ones, and converted when they are merged."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from late_interaction.engines import LocalEngine
from late_interaction.engines.local.storage.segment_writer import SegmentWriter
from late_interaction.errors import StorageError
from tests.engines.codec_oracle import points_of
from tests.engines.helpers import (
    codebook_on_disk,
    left_over,
    record,
    records_on_disk,
    segment_files,
    small_thresholds,
    state_on_disk,
)
from tests.engines.old_segments import as_before_format_5
from tests.engines.vectors_with_a_direction import DIM, collection, queries

FIXTURES = Path(__file__).parent / "fixtures"
FIRST, BUFFER = 400, 200  # tokens from which vectors are compressed, with and without a codebook
NEW = collection(seed=1, documents=30)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Many small steps on few cores are slow when several wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def records(vectors):
    return [record(name, vectors=own, n=int(name.split("-")[1])) for name, own in vectors.items()]


def fill(engine, vectors, batch=25):
    """Add documents in batches, each of which is compressed at once."""
    documents = records(vectors)
    for start in range(0, len(documents), batch):
        engine.upsert(documents[start : start + batch])


@pytest.fixture
def old(root):
    """Makes an index as before format 5, closed, with deleted documents; returns the vectors of the others."""

    def make(lengths="unit", *, bits=2, dim=DIM):
        vectors = collection(lengths, dim=dim)
        with (
            as_before_format_5(),
            small_thresholds(FIRST, BUFFER),
            LocalEngine.open(root, dim=dim, bits=bits) as engine,
        ):
            fill(engine, vectors)
            names = list(vectors)[::20]
            assert engine.delete(ids=names) == 5
            assert engine.info()["exact_tokens"] == 0
        assert formats(root) == {"old"}
        assert "direction.npy" not in files_of_the_codebook(root)
        return {name: own for name, own in vectors.items() if name not in names}

    return make


def opened(root, **options):
    return LocalEngine.open(root, **options)


def formats(root):
    """Which kinds of compressed documents there are."""
    return {"new" if "along" in held else "old" for held in records_on_disk(root).values() if "codes" in held}


def files_of_the_codebook(root):
    return {name for name, *_ in codebook_on_disk(root)["files"]}


def maxsim(query, own):
    return float((query.astype(np.float64) @ own.T.astype(np.float64)).max(axis=1).sum()) if len(own) else 0.0


def best(query, vectors, k=10):
    return sorted(vectors, key=lambda name: -maxsim(query, vectors[name]))[:k]


def recall(engine, vectors):
    """Recall@10 of a search against exact MaxSim."""
    found = [
        len({match.id for match in engine.search(query, 10)} & set(best(query, vectors))) for query in queries(vectors)
    ]
    return np.mean(found) / 10


def check_scores(engine, root):
    """Scores are MaxSim of the stored vectors, here and on a device of torch."""
    stored = engine.vectors([document.id for document in engine.scan()])
    for query in queries(stored, 3):
        expected = {name: maxsim(query, own) for name, own in stored.items()}
        assert {match.id: match.score for match in engine.search(query, 1000)} == pytest.approx(
            expected, rel=1e-5, abs=1e-6
        )
        with LocalEngine.open(root, read_only=True, device="cpu:0") as device:
            found = {match.id: match.score for match in device.search(query, 1000)}
            assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)


def decoded_before_format_5(root, bits, dim=DIM):
    """Centroid plus scale times point, in rotated coordinates, by id; by plain NumPy."""
    folder = root / "codebooks" / codebook_on_disk(root)["name"]
    packed, scales = np.load(folder / "centroids.npy"), np.load(folder / "scales.npy").astype(np.float64)
    centroids = points_of(packed, 4, dim) * scales[:, None]
    found = {}
    for name, held in records_on_disk(root).items():
        codes, scales = np.frombuffer(held["codes"], np.uint16), np.frombuffer(held["scales"], np.float16)
        residuals = np.frombuffer(held["residuals"], np.uint8).reshape(len(codes), -1)
        found[name] = centroids[codes] + points_of(residuals, bits, dim) * scales.astype(np.float64)[:, None]
    return found


def lengths_of(vectors):
    return np.concatenate([np.linalg.norm(own, axis=1) for own in vectors.values()])


# As they are


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_old_segments_are_read_as_before(old, root, bits):
    """The rotation is orthogonal, so lengths and products of decoded vectors tell whether they are the same."""
    old(bits=bits)
    expected = decoded_before_format_5(root, bits)
    before = state_on_disk(root)
    with opened(root, read_only=True) as engine:
        stored = engine.vectors(list(expected))
        for name, own in expected.items():
            np.testing.assert_allclose(stored[name] @ stored[name].T, own @ own.T, atol=1e-5)
        check_scores(engine, root)
        assert engine.verify()
    with opened(root) as engine:
        check_scores(engine, root)
    assert state_on_disk(root) == before


@pytest.mark.parametrize("device", [None, "cpu:0"])
@pytest.mark.parametrize("bits", [1, 4])
def test_old_and_new_segments_together(old, root, bits, device):
    """One codebook for both; it gets the direction with the first new segment, and keeps it."""
    vectors = old(bits=bits)
    before, codebook = records_on_disk(root), codebook_on_disk(root)
    query = next(queries(vectors))
    with small_thresholds(FIRST, BUFFER), opened(root, device=device) as engine:
        scores = {match.id: match.score for match in engine.search(query, 1000)}
        engine.upsert(records(NEW))
        assert formats(root) == {"old", "new"}
        directed = codebook_on_disk(root)
        assert files_of_the_codebook(root) == {"along.npy", "centroids.npy", "scales.npy", "direction.npy"}
        assert directed["centroids"] >= codebook["centroids"]
        check_scores(engine, root)
        again = {match.id: match.score for match in engine.search(query, 1000)}
        assert {name: again[name] for name in scores} == pytest.approx(scores, rel=1e-6)
        after = records_on_disk(root)
        assert {name: after[name] for name in before} == before
        direction = np.load(root / "codebooks" / directed["name"] / "direction.npy")
        engine.upsert(records(collection(seed=2, documents=150)))
        assert codebook_on_disk(root)["centroids"] > directed["centroids"]
        extended = root / "codebooks" / codebook_on_disk(root)["name"]
        assert np.array_equal(np.load(extended / "direction.npy"), direction)
        check_scores(engine, root)
        assert engine.verify()
    assert left_over(root) == []


# Converted


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_compact_converts(old, root, bits):
    """Recall rises: the length of unit vectors is known, and with it most of their error along the direction."""
    vectors = old(bits=bits)
    with opened(root) as engine:
        documents, before = list(engine.scan()), recall(engine, vectors)
        codes = {name: held["codes"] for name, held in records_on_disk(root).items()}
        engine.compact()
        info = engine.info()
        assert (info["segments"], info["deleted_documents"], info["exact_tokens"]) == (1, 0, 0)
        assert formats(root) == {"new"}
        assert {name: held["codes"] for name, held in records_on_disk(root).items()} == codes
        assert list(engine.scan()) == documents
        assert engine.verify().problems == ()
        check_scores(engine, root)
        direction = np.load(root / "codebooks" / codebook_on_disk(root)["name"] / "direction.npy")
        assert np.linalg.norm(direction) == pytest.approx(1)
        after = recall(engine, vectors)
        assert after > before + {1: 0.15, 2: 0.15, 4: 0.05}[bits]
        assert np.abs(lengths_of(engine.vectors(list(vectors))) - 1).max() < 0.05
        state = state_on_disk(root)
        engine.compact()
        assert state_on_disk(root) == state, "there is nothing left to convert"
    assert left_over(root) == []
    with opened(root, read_only=True) as again:
        assert again.verify().problems == ()
        assert recall(again, vectors) == pytest.approx(after, abs=0.01)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_vectors_of_other_lengths_keep_them(old, root, bits):
    """The byte for the component in the direction is coarser than the grid of 4 and 8 bits, where it is that large."""
    vectors = old("any", bits=bits)
    exact = np.concatenate(list(vectors.values()))
    with opened(root) as engine:
        before, found_before = np.concatenate(list(engine.vectors(list(vectors)).values())), recall(engine, vectors)
        engine.compact()
        assert formats(root) == {"new"}
        after = np.concatenate(list(engine.vectors(list(vectors)).values()))
        assert recall(engine, vectors) > found_before - (0.06 if bits == 8 else 0.02)
        check_scores(engine, root)
    lengths = np.linalg.norm(after, axis=1) / np.linalg.norm(before, axis=1)
    assert np.abs(lengths - 1).mean() < 0.02
    errors = [np.linalg.norm(decoded - exact, axis=1).mean() for decoded in (before, after)]
    assert errors[1] < 1.02 * errors[0] + 0.015


@pytest.mark.parametrize("cause", ["small segments", "deleted documents"])
def test_what_is_merged_by_itself_is_converted(old, root, cause):
    """The codebook gets its direction once, and what does not need to be rewritten stays."""
    vectors = old()
    with small_thresholds(FIRST, BUFFER, fanout=4 if cause == "small segments" else 16), opened(root) as engine:
        if cause == "small segments":
            engine.upsert(records(NEW))  # the third or later of a tier, with two of before
            while "old" in formats(root):
                engine.upsert(records(NEW))
        else:
            names = [name for name in vectors if int(name.split("-")[1]) < 60]
            engine.delete(ids=names[:25])
            assert formats(root) == {"new", "old"}
            gone = set(names[:25])
            vectors = {name: own for name, own in vectors.items() if name not in gone}
        assert "direction.npy" in files_of_the_codebook(root)
        name = codebook_on_disk(root)["name"]
        assert {document.id for document in engine.scan()} >= vectors.keys()
        check_scores(engine, root)
        assert engine.verify().problems == ()
        engine.compact()
        assert formats(root) == {"new"}
        if cause == "deleted documents":
            assert codebook_on_disk(root)["name"] == name
        check_scores(engine, root)
    assert left_over(root) == []


def test_documents_of_no_tokens_and_tokens_of_zeros(root):
    vectors = collection()
    odd = {"zeros": np.zeros((5, DIM), np.float32), "empty": np.zeros((0, DIM), np.float32)}
    with as_before_format_5(), small_thresholds(FIRST, BUFFER), opened(root, dim=DIM, bits=2) as engine:
        engine.upsert([record(name, vectors=own) for name, own in (vectors | odd).items()])
    with opened(root) as engine:
        engine.compact()
        assert formats(root) == {"new"}
        stored = engine.vectors(["zeros", "empty"])
        assert stored["empty"].shape == (0, DIM)
        assert np.linalg.norm(stored["zeros"], axis=1).max() < 0.2
        check_scores(engine, root)


def test_nothing_but_deleted_documents(old, root):
    vectors = old()
    with opened(root) as engine:
        engine.delete(ids=list(vectors))
        engine.compact()
        assert engine.info()["segments"] == 0
        engine.upsert(records(NEW))
        assert engine.verify().problems == ()
    assert left_over(root) == []


def test_few_dimensions(old, root):
    """There is no direction, and what is converted is marked as such."""
    old(dim=8, bits=8)
    with opened(root) as engine:
        before = engine.vectors([document.id for document in engine.scan()])
        engine.compact()
        assert formats(root) == {"new"}
        assert not np.load(root / "codebooks" / codebook_on_disk(root)["name"] / "direction.npy").any()
        for name, own in engine.vectors(list(before)).items():
            np.testing.assert_allclose(own, before[name], atol=0.02)
        state = state_on_disk(root)
        engine.compact()
        assert state_on_disk(root) == state


def test_a_failure_in_the_middle_changes_nothing(old, root, monkeypatch):
    vectors = old()
    with opened(root) as engine:
        before = state_on_disk(root)
        found = [engine.search(query, 50) for query in queries(vectors, 3)]

        def fail(files):
            raise StorageError("The disk is full.")

        with monkeypatch.context() as patch:
            patch.setattr(SegmentWriter, "finish_segment", fail)
            with pytest.raises(StorageError, match="full"):
                engine.compact()
        assert left_over(root) == []
        assert state_on_disk(root)[1:4] == before[1:4]
        assert [engine.search(query, 50) for query in queries(vectors, 3)] == found
        engine.compact()
        assert formats(root) == {"new"}
        assert engine.verify().problems == ()


def test_readers_of_the_state_before(old, root):
    """They keep the codebook and the segments that they have opened."""
    vectors = old()
    query = next(queries(vectors))
    with opened(root, read_only=True) as reader, opened(root) as engine:
        with reader.one_state():
            found, stored = reader.search(query, 50), reader.vectors(list(vectors))
            engine.compact()
            assert formats(root) == {"new"}
            assert reader.search(query, 50) == found
            again = reader.vectors(list(vectors))
            assert all(np.array_equal(again[name], own) for name, own in stored.items())
        check_scores(reader, root)


def test_damage_is_not_converted(old, root):
    """New files would get checksums that match."""
    old()
    path = next(path for path in segment_files(root) if path.name == "scales.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with opened(root) as engine:
        with pytest.raises(Exception, match=r"scales\.npy"):
            engine.compact()
        assert formats(root) == {"old"}


# What an earlier release has written


def test_an_index_of_an_earlier_release(tmp_path):
    """At 2 bits, with three segments and deleted documents. See `make_anisotropic_index`."""
    with tarfile.open(FIXTURES / "format_4_anisotropic.tar.gz") as archive:
        archive.extractall(tmp_path)
    root = tmp_path / "format_4_anisotropic"
    vectors = collection()
    kept = {name: own for at, (name, own) in enumerate(vectors.items()) if at % 20}
    expected = json.loads((FIXTURES / "format_4_anisotropic.json").read_text())
    with small_thresholds(FIRST, BUFFER), opened(root) as engine:
        for query, scores in zip(queries(vectors, 3), expected, strict=True):
            found = {match.id: match.score for match in engine.search(query, 1000)}
            assert found == pytest.approx(dict(scores), rel=1e-5)
        before = recall(engine, kept)
        assert before < 0.75
        engine.upsert(records(NEW))
        assert formats(root) == {"old", "new"}
        check_scores(engine, root)
        assert engine.delete(ids=list(NEW)) == len(NEW)
        engine.compact()
        assert formats(root) == {"new"}
        check_scores(engine, root)
        assert engine.verify().problems == ()
        assert recall(engine, kept) > before + 0.15
        assert engine.count() == len(kept)
    assert left_over(root) == []
