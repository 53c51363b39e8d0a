"""Indexes of codes alone: what is stored of a token, what it takes, and searches against MaxSim in NumPy."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from late_interaction.engines import LocalEngine, transfer
from late_interaction.engines.local.quantization.codes_alone import compiled, reference
from late_interaction.errors import CorruptIndexError
from tests.engines.catalogs import set_setting
from tests.engines.helpers import codebook_on_disk, record, small_thresholds, unit_vectors

DIM, DOCUMENTS = 24, 400


def documents(*, seed=0, shift=0.0):
    """Records of 0 to 11 tokens around 40 topics."""
    rng = np.random.default_rng(seed)
    topics = unit_vectors(99, 40, DIM)
    for number in range(DOCUMENTS):
        vectors = topics[rng.integers(0, 40, number % 12)] + 0.2 * rng.normal(size=(number % 12, DIM)) + shift
        yield record(f"d{seed}-{number}", vectors=vectors.astype(np.float32), dim=DIM, group=number % 3)


def filled(root, **options):
    """Two compressed segments, and a few exact tokens; some documents are deleted."""
    engine = LocalEngine.open(root, dim=DIM, bits=0, **options)
    with small_thresholds(1000, 900):
        for seed in (0, 1):
            engine.upsert(documents(seed=seed))
    engine.upsert(record(f"late{number}", vectors=unit_vectors(number, 3, DIM), dim=DIM) for number in range(5))
    engine.delete(ids=[f"d0-{number}" for number in range(0, DOCUMENTS, 7)])
    return engine


def exact_scores(query, vectors):
    """MaxSim by id, in double precision."""
    query = np.asarray(query, np.float64)
    return {key: float((query @ own.T).max(axis=1).sum()) if len(own) else 0.0 for key, own in vectors.items()}


@pytest.mark.parametrize("device", [None, "cpu:0"])
def test_searches_are_those_of_stored_vectors(root, device):
    with filled(root, device=device) as engine:
        info = engine.info()
        assert (info["bits"], info["exact_tokens"]) == (0, 15)
        assert info["segments"] >= 3
        ids = [document.id for document in engine.scan(fields=())]
        vectors = engine.vectors(ids)
        first_group = [key for key in ids if key.startswith("d") and int(key.split("-")[1]) % 3 == 1]
        for tokens in (1, 5, 33):
            query = unit_vectors(tokens, tokens, DIM)
            scores = exact_scores(query, vectors)
            for k, among, where in ((10, ids, None), (len(ids), ids, None), (7, first_group, {"group": 1})):
                found = engine.search(query, k, where=where)
                best = sorted((scores[key] for key in among), reverse=True)[:k]
                np.testing.assert_allclose([hit.score for hit in found], best, rtol=1e-5, atol=1e-5)
                assert {hit.id: hit.score for hit in found} == pytest.approx(
                    {hit.id: scores[hit.id] for hit in found}, rel=1e-5, abs=1e-5
                )
            asked = ids[:50]
            given_scores = engine.score(query, asked)
            assert [given_scores[key] for key in asked] == pytest.approx([scores[key] for key in asked], abs=1e-5)


def test_a_stored_vector_is_its_centroid(root):
    with filled(root) as engine:
        engine.compact()
        assert engine.info()["exact_tokens"] == 0
        vectors = np.concatenate([*engine.vectors([document.id for document in engine.scan(fields=())]).values()])
    centroids = codebook_on_disk(root)["centroids"]
    assert len(np.unique(vectors.round(5), axis=0)) <= centroids
    (segment,) = (root / "segments").iterdir()
    assert {path.name for path in segment.iterdir()} <= {
        "codes.npy", "offsets.npy", "postings.npy", "posting_starts.npy",
    }  # fmt: skip
    assert np.load(segment / "codes.npy").dtype == np.uint16


def test_new_centroids_are_for_new_tokens(root):
    """Decoded vectors of older segments are centroids, which must not be trained on again."""
    with small_thresholds(500, 400), LocalEngine.open(root, dim=DIM, bits=0) as engine:
        engine.upsert(documents())
        engine.compact()
        before = codebook_on_disk(root)["centroids"]
        engine.upsert(documents(seed=1, shift=0.5))
        engine.upsert(documents(seed=2, shift=0.5))
        engine.compact()
        assert codebook_on_disk(root)["centroids"] > before
        vectors = engine.vectors([f"d1-{number}" for number in range(DOCUMENTS)])
        given_vectors = {one.document.id: one.vectors for one in documents(seed=1, shift=0.5)}
    errors = np.concatenate([np.linalg.norm(vectors[key] - given_vectors[key], axis=1) for key in vectors])
    sizes = np.concatenate([np.linalg.norm(own, axis=1) for own in given_vectors.values()])
    assert errors.mean() < 0.5 * sizes.mean()


def test_copies_and_transfers(root, make_directory):
    query = unit_vectors(3, 4, DIM)
    with filled(root) as engine:
        engine.compact()
        expected = [(hit.id, hit.score) for hit in engine.search(query, 10)]
        copy, other = make_directory("copy") / "index", make_directory("other") / "index"
        engine.copy(copy)
        with LocalEngine.open(other, dim=DIM, bits=None) as target:
            report = transfer(engine, target)
            assert any("codes alone" in note for note in report.notes)
            found = [(hit.id, hit.score) for hit in target.search(query, 10)]
        assert [key for key, _ in found] == [key for key, _ in expected]
        assert [score for _, score in found] == pytest.approx([score for _, score in expected], rel=2e-3)
        assert engine.verify()
    with LocalEngine.open(copy, read_only=True) as engine:
        assert engine.bits == 0
        assert engine.verify()
        assert [(hit.id, hit.score) for hit in engine.search(query, 10)] == expected
    shutil.rmtree(copy)


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(0, 6), min_size=1, max_size=8),
    query_tokens=st.integers(1, 40),
    dim=st.sampled_from([32, 64, 128]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_kernel_is_its_reference(lengths, query_tokens, dim, seed):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    shown = rng.integers(0, len(lengths), 5)
    arguments = (
        rng.integers(0, 9, offsets[-1]).astype(np.uint16),
        offsets,
        shown,
        rng.integers(-15, 16, (9, dim)).astype(np.int8),
        rng.uniform(0, 1, 9).astype(np.float32),
        rng.normal(size=9).astype(np.float32),
        rng.normal(size=(query_tokens, dim)).astype(np.float32),
        rng.normal(size=query_tokens).astype(np.float32),
    )
    sums = np.full(5, np.nan, np.float32)
    compiled.maxsim_sums(*arguments, np.full(query_tokens + 3, np.nan, np.float32), sums)
    np.testing.assert_allclose(sums, reference.maxsim_sums(*arguments), rtol=1e-4, atol=1e-3 * query_tokens)
    codes, _, _, points, scales, along, query, query_along = (one.astype(np.float64) for one in arguments)
    for at, document in enumerate(shown.tolist()):
        own = codes[offsets[document] : offsets[document + 1]].astype(int)
        dots = scales[own, None] * (points[own] @ query.T) + along[own, None] * query_along
        expected = dots.max(axis=0).sum() if len(own) else 0
        assert sums[at] == pytest.approx(expected, rel=1e-4, abs=1e-4 * query_tokens)


@pytest.mark.parametrize(("bits", "other"), [(0, 4), (4, 0)])
def test_columns_of_another_codec_are_refused(root, bits, other):
    """The setting was changed in the catalog, with a right checksum."""
    with small_thresholds(500, 400), LocalEngine.open(root, dim=DIM, bits=bits) as engine:
        engine.upsert(documents())
        assert engine.info()["exact_tokens"] == 0
    set_setting(root, "bits", str(other))
    with pytest.raises(CorruptIndexError, match="other files"):
        LocalEngine.open(root, read_only=True).search(unit_vectors(0, 3, DIM), 1)


def test_what_a_token_takes(root):
    """Its code, and its share of posting lists, of offsets and of the codebook."""
    with small_thresholds(1000, 900), LocalEngine.open(root, dim=DIM, bits=0) as engine:
        engine.upsert(documents())
        info = engine.info()
    (segment,) = (root / "segments").iterdir()
    sizes = {path.name: path.stat().st_size for path in segment.iterdir()}
    assert sizes["codes.npy"] <= 2 * info["tokens"] + 128
    assert sizes.keys() == {"codes.npy", "offsets.npy", "postings.npy", "posting_starts.npy"}
    books = sum(path.stat().st_size for path in (root / "codebooks").rglob("*.npy"))
    assert info["vector_bytes"] == sum(sizes.values()) + books
