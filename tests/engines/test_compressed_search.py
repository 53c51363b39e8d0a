"""Searching compressed documents, against exact MaxSim in plain numpy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from late_interaction.engines import LocalEngine
from late_interaction.engines.local import compaction
from late_interaction.engines.local.search import plan, scan
from tests.engines.helpers import record, stored

DIM = 64
DOCUMENTS = 1500


def unit(vectors):
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)


def collection(documents, *, seed=0, prefix="d", dim=DIM, shift=0.0):
    """Vectors by id: documents of 0 to 40 tokens, each around 4 of 80 topics that all collections have in common."""
    rng = np.random.default_rng(seed)
    topics = unit(np.random.default_rng(99).normal(size=(80, dim)))
    made = {}
    for number in range(documents):
        length = int(rng.integers(0, 41))
        centres = topics[rng.choice(rng.integers(0, 80, 4), length)]
        vectors = centres + 0.6 / np.sqrt(dim) * rng.normal(size=(length, dim))
        vectors[:, 0] += shift
        made[f"{prefix}{number}"] = unit(vectors)
    return made


def queries(vectors, n=12, tokens=8, seed=5):
    """Tokens of some document, and noise."""
    rng = np.random.default_rng(seed)
    long_ones = [tokens_of for tokens_of in vectors.values() if len(tokens_of) > 10]
    for at in rng.integers(0, len(long_ones), n):
        chosen = long_ones[at][rng.integers(0, len(long_ones[at]), tokens)]
        yield unit(chosen + 0.5 / np.sqrt(chosen.shape[1]) * rng.normal(size=chosen.shape))


def exact_scores(query, vectors):
    """MaxSim by id in double precision."""
    query = np.asarray(query, np.float64)
    return {
        key: float((query @ own.T.astype(np.float64)).max(axis=1).sum()) if len(own) else 0.0
        for key, own in vectors.items()
    }


def best(scores, k=10):
    """The ids of the k best, the older of equal ones first."""
    return sorted(scores, key=lambda key: -scores[key])[:k]


def overlap(matches, ids):
    return len({match.id for match in matches} & set(ids)) / len(ids)


def fill(engine, vectors, *, at_once=10**9):
    records = [record(key, vectors=own, dim=DIM, group=at % 5) for at, (key, own) in enumerate(vectors.items())]
    for start in range(0, len(records), at_once):
        engine.upsert(records[start : start + at_once])
    return engine


@pytest.fixture(autouse=True, scope="module")
def _small_collections_are_compressed():
    """And with one thread: many small steps on few cores are slow when several wait for each other."""
    before = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "_MIN_TRAINING_TOKENS", 500)
        patch.setattr(compaction, "_MAX_BUFFER_TOKENS", 100)
        torch.set_num_threads(1)
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def originals():
    return collection(DOCUMENTS)


@pytest.fixture(scope="module")
def indexes(make_directory, originals, _small_collections_are_compressed):
    """By bits, an index nobody writes to and the vectors it gives back."""
    made = {}
    for bits in (0, 1, 2, 3, 4, 8):
        engine = fill(LocalEngine.open(make_directory("compressed"), dim=DIM, bits=bits), originals)
        made[bits] = SimpleNamespace(engine=engine, vectors=engine.vectors(list(originals)))
    yield made
    for index in made.values():
        index.engine.close()


@pytest.fixture(params=[0, 1, 2, 3, 4, 8])
def index(request, indexes):
    return indexes[request.param]


@pytest.fixture
def compressed(root):
    """Makes an index of the test's own."""
    engines = []

    def make(vectors, *, bits=4, dim=DIM, **options):
        engines.append(LocalEngine.open(root, dim=dim, bits=bits))
        return fill(engines[-1], vectors, **options)

    yield make
    for engine in engines:
        engine.close()


def test_all_is_compressed(index, originals):
    info = index.engine.info()
    tokens = sum(map(len, originals.values()))
    assert info["documents"] == DOCUMENTS
    assert info["tokens"] == tokens
    assert info["exact_tokens"] == 0
    assert info["centroids"] > 500
    bits = index.engine.bits
    codebook, postings = info["centroids"] * (DIM // 2 + 6) + 4 * DIM, 2 * tokens + 4 * (info["centroids"] + 1)
    columns = tokens * (DIM * bits // 8 + 5) + 8 * (DOCUMENTS + 1)
    assert info["vector_bytes"] <= columns + codebook + postings + 11 * 128
    assert index.engine.verify()


def test_vectors_come_back_about_as_they_were(index, originals):
    assert list(index.vectors) == list(originals)
    errors = []
    for key, own in originals.items():
        assert index.vectors[key].shape == own.shape
        assert index.vectors[key].dtype == np.float32
        errors.extend(np.linalg.norm(index.vectors[key] - own, axis=1))
    limits = {0: 0.55, 1: 0.42, 2: 0.2, 3: 0.11, 4: 0.06, 8: 0.006}  # measured: .49, .36, .17, .089, .050, .0043
    assert np.mean(errors) < limits[index.engine.bits]


def test_the_best_documents_are_found(index, originals):
    found = [
        overlap(index.engine.search(query, k=10), best(exact_scores(query, originals)))
        for query in queries(originals, n=25)
    ]
    least = {0: 0.7, 1: 0.75, 2: 0.84, 3: 0.87, 4: 0.9, 8: 0.96}  # measured: .78, .82, .89, .94, .93, .99
    assert np.mean(found) >= least[index.engine.bits]


@pytest.mark.parametrize("k", [1, 10, 150])
def test_hits_are_the_best_of_what_is_stored(index, originals, k):
    found = []
    for query in queries(originals, seed=k):
        scores = exact_scores(query, index.vectors)
        matches = index.engine.search(query, k=k)
        assert len(matches) == len({match.id for match in matches}) == k
        assert [match.score for match in matches] == sorted((match.score for match in matches), reverse=True)
        assert max(abs(match.score - scores[match.id]) for match in matches) < 1e-4
        found.append(overlap(matches, best(scores, k)))
    assert np.mean(found) >= 0.98


@pytest.mark.parametrize("tokens", [3, 8, 32])
def test_the_cuts_lose_little(index, originals, tokens, monkeypatch):
    monkeypatch.setattr(plan, "_FIRST_DOCUMENTS", (100, 40, 20))
    monkeypatch.setattr(plan, "_MAX_RESCORED_DOCUMENTS", 200)
    found = [
        overlap(index.engine.search(query, k=10), best(exact_scores(query, index.vectors)))
        for query in queries(originals, n=20, tokens=tokens)
    ]
    assert np.mean(found) >= 0.95


def test_posting_lists_and_codes_are_scanned_alike(index, originals, monkeypatch):
    """Also of the documents that pass a filter: which is read depends on what it would cost."""
    monkeypatch.setattr(plan, "_FIRST_DOCUMENTS", (60, 40, 20))
    monkeypatch.setattr(plan, "_SCANNED_FROM", 0)
    found = {}
    for cost in ("_DIRECT_COST", "_ENTRY_COST"):
        with monkeypatch.context() as patch:
            patch.setattr(scan, cost, 1e9)
            found[cost] = [
                [(match.id, match.score) for match in index.engine.search(query, k=10, where=where)]
                for tokens in (8, 40)
                for query in queries(originals, n=4, tokens=tokens)
                for where in (None, {"group": 2})
            ]
    assert found["_DIRECT_COST"] == found["_ENTRY_COST"]
    assert all(len(matches) == 10 for matches in found["_ENTRY_COST"])


def test_asking_for_all_gives_the_full_ranking(index, originals):
    for query in queries(originals, n=3):
        scores = exact_scores(query, index.vectors)
        ranking = index.engine.search(query, k=DOCUMENTS + 10, candidates=list(originals))
        assert {match.id for match in ranking} == set(originals)
        assert max(abs(match.score - scores[match.id]) for match in ranking) < 1e-5 * len(query)
        assert all(match.score == 0 for match in ranking if not len(originals[match.id]))
        few = index.engine.search(query, k=10)
        assert overlap(few, [match.id for match in ranking[:10]]) >= 0.9
        exact = {match.id: match.score for match in ranking}
        assert all(match.score == pytest.approx(exact[match.id], abs=1e-4) for match in few)


@pytest.mark.parametrize("group", [0, 3])
def test_a_filter_asks_for_fewer(index, originals, group):
    """A fifth is more than what is scored exactly at once."""
    members = {key: own for at, (key, own) in enumerate(index.vectors.items()) if at % 5 == group}
    found = []
    for query in queries(originals):
        matches = index.engine.search(query, k=10, where={"group": group})
        assert len(matches) == 10
        assert all(match.id in members for match in matches)
        found.append(overlap(matches, best(exact_scores(query, members))))
    assert np.mean(found) >= 0.98


@pytest.mark.parametrize("n", [1, 9, 10, 63, 64, 65, 300])
def test_only_candidates_are_ranked(index, originals, n):
    chosen = [f"d{number}" for number in np.random.default_rng(n).permutation(DOCUMENTS)[:n]]
    (query,) = queries(originals, n=1)
    matches = index.engine.search(query, k=10, candidates=[*chosen, "unknown"])
    members = {key: index.vectors[key] for key in sorted(chosen, key=lambda key: int(key[1:]))}
    assert len(matches) == min(n, 10)
    assert overlap(matches, best(exact_scores(query, members), min(n, 10))) >= 0.9
    in_group = [key for key in chosen if int(key[1:]) % 5 == 2]
    both = index.engine.search(query, k=10, candidates=chosen, where={"group": 2})
    assert {match.id for match in both} <= set(in_group)
    assert len(both) == min(len(in_group), 10)


@pytest.mark.parametrize("tokens", [1, 2, 31, 32, 33, 64, 65, 200])
def test_queries_of_any_length(indexes, originals, tokens):
    found = []
    for query in queries(originals, n=30 if tokens < 3 else 4, tokens=tokens):
        scores = exact_scores(query, indexes[4].vectors)
        matches = indexes[4].engine.search(query, k=10)
        assert max(abs(match.score - scores[match.id]) for match in matches) < 1e-5 * tokens
        found.append(overlap(matches, best(scores)))
    assert np.mean(found) >= (0.98 if tokens < 3 else 0.9)


def test_queries_of_any_size(indexes, originals):
    """A query that is so many times as large has the same hits."""
    (query,) = queries(originals, n=1)
    expected = indexes[4].engine.search(query, k=10)
    for factor in (1e-3, 30.0, 6e4):
        matches = indexes[4].engine.search(query * np.float32(factor), k=10)
        assert [match.id for match in matches] == [match.id for match in expected]
        for match, other in zip(matches, expected, strict=True):
            assert match.score == pytest.approx(other.score * factor, rel=1e-4)
    assert [match.score for match in indexes[4].engine.search(np.zeros((3, DIM)), k=7)] == [0] * 7


def test_threads_that_search_at_once_find_what_one_finds(indexes, originals):
    """Each with buffers of its own, for queries of different lengths."""
    asked = [query for tokens in (3, 8, 40) for query in queries(originals, n=8, tokens=tokens)]
    alone = [indexes[2].engine.search(query, k=10) for query in asked]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(3):
            together = pool.map(lambda query: indexes[2].engine.search(query, k=10), asked)
            for matches, expected in zip(together, alone, strict=True):
                assert [(match.id, match.score) for match in matches] == [(one.id, one.score) for one in expected]


def test_documents_without_tokens_come_before_negative_ones(compressed):
    vectors = collection(400, shift=2.0)
    empty = [key for key, own in vectors.items() if not len(own)]
    assert len(empty) > 3
    engine = compressed(vectors)
    query = np.zeros((3, DIM), np.float32)
    query[:, 0] = -1
    matches = engine.search(query, k=len(empty) + 5)
    assert [match.id for match in matches[: len(empty)]] == empty
    assert [match.score for match in matches[: len(empty)]] == [0] * len(empty)
    scores = exact_scores(query, engine.vectors(list(vectors)))
    assert overlap(matches, best(scores, len(empty) + 5)) >= 0.9
    assert all(match.score < 0 for match in matches[len(empty) :])
    assert all(len(vectors[match.id]) for match in engine.search(-query, k=300))
    assert len(engine.search(query, k=1000)) == 400


def test_what_is_deleted_never_comes_back(compressed):
    vectors = collection(400)
    engine = compressed(vectors)
    kept = engine.vectors(list(vectors))
    for query in queries(vectors, n=4):
        gone = [match.id for match in engine.search(query, k=15)]
        assert engine.delete(ids=gone) == 15
        for key in gone:
            del kept[key]
        matches = engine.search(query, k=10)
        assert len(matches) == 10
        assert not {match.id for match in matches} & set(gone)
        assert overlap(matches, best(exact_scores(query, kept))) >= 0.9
    engine.delete(where={"group": 1})
    kept = {key: own for key, own in kept.items() if int(key[1:]) % 5 != 1}
    for _ in range(2):
        matches = engine.search(query, k=len(vectors))
        assert {match.id for match in matches} == set(kept)
        assert all(np.array_equal(own, kept[key]) for key, own in engine.vectors(list(vectors)).items())
        engine.compact()
    assert engine.info()["deleted_documents"] == 0
    assert engine.verify()


def test_exact_and_compressed_documents_rank_as_one(compressed):
    vectors, fresh = collection(400), {f"new{at}": own[:8] for at, own in enumerate(collection(9, seed=1).values())}
    engine = fill(compressed(vectors), fresh)
    both = {**vectors, **fresh}
    info = engine.info()
    assert 0 < info["exact_tokens"] < 100 < info["tokens"]
    kept = engine.vectors(list(both))
    assert all(np.array_equal(kept[key], stored(own)) for key, own in fresh.items())
    hits = set()
    for query in (own[:4] for own in fresh.values() if len(own) >= 4):
        scores = exact_scores(query, kept)
        matches = engine.search(query, k=10)
        assert max(abs(match.score - scores[match.id]) for match in matches) < 1e-4
        assert overlap(matches, best(scores)) >= 0.9
        hits.update(match.id[0] for match in matches)
    assert hits == {"n", "d"}


def test_an_index_that_grows(compressed):
    """Its codebook is extended, and what was compressed before stays what it was."""
    vectors = collection(600)
    engine = compressed({})
    early, centroids = {}, set()
    for start in range(0, 600, 60):
        fill(engine, dict(list(vectors.items())[start : start + 60]))
        early = early or engine.vectors(list(vectors)[:60])
        centroids.add(engine.info()["centroids"])
    assert len(centroids) > 2
    assert engine.info()["segments"] > 1
    assert all(np.array_equal(own, early[key]) for key, own in engine.vectors(list(early)).items())
    kept = engine.vectors(list(vectors))
    asked = list(queries(vectors, n=8))
    before = [engine.search(query, k=10) for query in asked]
    found = [overlap(hits, best(exact_scores(query, kept))) for hits, query in zip(before, asked, strict=True)]
    assert np.mean(found) >= 0.95
    engine.compact()
    assert engine.info()["segments"] == 1
    assert engine.verify()
    for query, hits in zip(asked, before, strict=True):
        assert overlap(engine.search(query, k=10), [match.id for match in hits]) >= 0.9
    with LocalEngine.open(engine.path, read_only=True) as reader:
        assert [match.id for match in reader.search(asked[0])] == [match.id for match in engine.search(asked[0])]


@pytest.mark.parametrize("dim", [4, 6, 8, 16])
def test_few_dimensions(root, dim, monkeypatch):
    """Where no centroid is many standard deviations above the mean of all."""
    monkeypatch.setattr(plan, "_FIRST_DOCUMENTS", (100, 40, 20))
    monkeypatch.setattr(plan, "_MAX_RESCORED_DOCUMENTS", 200)
    vectors, found = collection(DOCUMENTS, dim=dim), []
    with LocalEngine.open(root, dim=dim, bits=4) as engine:
        engine.upsert([record(key, vectors=own[:5], dim=dim) for key, own in vectors.items()])
        kept = engine.vectors(list(vectors))
        for query in queries(vectors, n=20):
            worst = sorted(exact_scores(query, kept).values())[-10] - 1e-3
            found.append(np.mean([match.score >= worst for match in engine.search(query, k=10)]))
    assert np.mean(found) >= 0.9


@pytest.mark.parametrize("bits", [4, 8])
def test_vectors_of_any_length(compressed, bits):
    rng = np.random.default_rng(3)
    vectors = {
        key: own * (10 ** rng.uniform(-2, 2, (len(own), 1))).astype(np.float32) for key, own in collection(500).items()
    }
    engine = compressed(vectors, bits=bits)
    kept = engine.vectors(list(vectors))
    recall, found = [], []
    for query in queries(vectors):
        query = query * (10 ** rng.uniform(-1, 1, (len(query), 1))).astype(np.float32)
        scores = exact_scores(query, kept)
        matches = engine.search(query, k=10)
        assert all(match.score == pytest.approx(scores[match.id], rel=1e-2) for match in matches)
        found.append(overlap(matches, best(scores)))
        recall.append(overlap(matches, best(exact_scores(query, vectors))))
    assert np.mean(found) >= 0.95
    assert np.mean(recall) >= 0.9


def test_without_bits_vectors_stay_exact(compressed):
    vectors = collection(200)
    engine = compressed(vectors, bits=None)
    engine.compact()
    assert engine.bits is None
    assert engine.info()["centroids"] == 0
    assert engine.info()["exact_tokens"] == engine.info()["tokens"] > 500
    kept = {key: stored(own) for key, own in vectors.items()}
    assert all(np.array_equal(own, kept[key]) for key, own in engine.vectors(list(vectors)).items())
    for query in queries(vectors, n=4):
        matches, scores = engine.search(query, k=10), exact_scores(query, kept)
        assert [match.id for match in matches] == best(scores)
        assert [match.score for match in matches] == pytest.approx([scores[match.id] for match in matches], rel=1e-5)


def test_documents_without_tokens_are_compressed_with_others(compressed):
    engine = compressed({"first": np.empty((0, DIM), np.float32)})
    fill(engine, collection(100))
    assert engine.info()["exact_tokens"] == 0
    assert engine.vectors(["first"])["first"].shape == (0, DIM)
    assert len(engine.search(np.ones((2, DIM)), k=200)) == 101


def test_only_documents_without_tokens_are_left(compressed):
    vectors = collection(100) | {f"empty{at}": np.empty((0, DIM), np.float32) for at in range(100)}
    engine = compressed(vectors)
    engine.delete(ids=[key for key in vectors if key.startswith("d")])
    engine.compact()
    matches = engine.search(np.ones((2, DIM)), k=5)
    assert [(match.id, match.score) for match in matches] == [(f"empty{at}", 0) for at in range(5)]


def test_compacting_when_what_is_exact_has_no_tokens(compressed):
    """While the codebook has fewer centroids than the index deserves."""
    rng = np.random.default_rng(0)
    engine = compressed({f"d{at}": unit(rng.normal(size=(6, DIM))) for at in range(100)})
    fill(engine, {f"e{at}": unit(rng.normal(size=(6, DIM))) for at in range(20)})
    fill(engine, {"empty": np.empty((0, DIM), np.float32)})
    engine.compact()
    assert engine.info()["segments"] == 1
    assert engine.count() == 121


@pytest.mark.parametrize("bits", [None, 4])
def test_a_query_without_tokens(compressed, bits):
    engine = compressed(collection(100), bits=bits)
    matches = engine.search(np.empty((0, DIM), np.float32), k=5)
    assert [(match.id, match.score) for match in matches] == [(f"d{at}", 0) for at in range(5)]
