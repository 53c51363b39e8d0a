"""The local engine against a dict and numpy: random histories of adding, deleting, merging, compressing, reopening.

Thresholds are small, so that compression, larger codebooks and merges of both kinds happen many times in each.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from late_interaction.engines import LocalEngine
from late_interaction.engines.local import compaction
from late_interaction.errors import LateInteractionError
from tests.engines.helpers import (
    documents_of,
    left_over,
    record,
    records_on_disk,
    small_thresholds,
    stored,
    true_score,
    unit_vectors,
)
from tests.folders import FAST_DIRECTORY

DIM = 4
IDS = st.sampled_from([f"d{number}" for number in range(10)])
COLOURS = ["red", "green", "blue"]
WORDS = ["apple", "pear", "plum"]
RECORDS = st.tuples(
    IDS, st.integers(0, 5), st.integers(0, 50), st.sampled_from(COLOURS), st.integers(0, 5), st.sampled_from(WORDS)
)
FIRST, BUFFER = 24, 10
K = st.one_of(st.integers(1, 12), st.just(1000))

# Filters by hand: what is asked, and what it means for the metadata {"colour", "n", "tags"}.
FILTERS = [
    ({}, lambda m: True),
    ({"colour": "red"}, lambda m: m["colour"] == "red"),
    ({"colour": {"$ne": "red"}}, lambda m: m["colour"] != "red"),
    ({"n": {"$gte": 3}}, lambda m: m["n"] >= 3),
    ({"n": {"$in": [0, 2, 4]}}, lambda m: m["n"] in (0, 2, 4)),
    ({"tags": 1}, lambda m: 1 in m["tags"]),
    ({"$or": [{"n": 0}, {"colour": "blue"}]}, lambda m: m["n"] == 0 or m["colour"] == "blue"),
    ({"$not": {"n": {"$lt": 5}}}, lambda m: m["n"] >= 5),
    ({"nope": {"$exists": True}}, lambda m: False),
]


def maxsim(query, vectors):
    return float((query @ vectors.T).max(axis=1).sum()) if len(vectors) else 0.0


class History(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="late-interaction-model-", dir=FAST_DIRECTORY))
        self.root = self.directory / "index"
        self.engine = None
        self.model = {}  # id -> (document, vectors), in the order of addition
        self.coded = {}  # id -> what the columns hold of a compressed document, which never changes
        self.reader = None

    @initialize(bits=st.sampled_from([8, 8, 4, 1, None]))
    def create(self, bits):
        self.bits = bits
        self.engine = LocalEngine.open(self.root, dim=DIM, bits=bits)

    def teardown(self):
        if self.reader is not None:
            self.reader.close()
        if self.engine is not None:
            self.engine.close()
        shutil.rmtree(self.directory)

    # Changes

    def put(self, fields):
        records = [
            record(
                name,
                vectors=unit_vectors(seed, tokens, DIM),
                text=f"text {word}",
                colour=colour,
                n=n,
                tags=list(range(n)),
            )
            for name, tokens, seed, colour, n, word in fields
        ]
        assert self.engine.upsert(iter(records)) == [item.document.id for item in records]
        for item in records:
            self.model.pop(item.document.id, None)
            self.coded.pop(item.document.id, None)
            self.model[item.document.id] = item.document, item.vectors

    @rule(batch=st.lists(RECORDS, min_size=1, max_size=6, unique_by=lambda fields: fields[0]))
    def upsert(self, batch):
        self.put(batch)

    @rule(first=st.integers(0, 60), count=st.integers(3, 12), seed=st.integers(0, 50))
    def upsert_many(self, first, count, seed):
        """Enough that some of it is compressed."""
        numbers = range(first, first + count)
        self.put([(f"d{n}", 2 + n % 4, seed + n, COLOURS[n % 3], n % 6, WORDS[seed % 3]) for n in numbers])

    upsert_many_again = upsert_many_once_more = upsert_many

    @rule(batch=st.lists(IDS, min_size=1, max_size=3, unique=True), fault=st.sampled_from(["nan", "twice", "shape"]))
    def upsert_that_fails(self, batch, fault):
        records = [record(name, dim=DIM, text="never") for name in batch]
        vectors = {"nan": np.full((1, DIM), np.nan), "shape": np.ones((2, DIM + 1)), "twice": np.ones((1, DIM))}
        records.append(record(batch[0] if fault == "twice" else "bad", vectors=vectors[fault]))
        with pytest.raises(LateInteractionError):
            self.engine.upsert(records)

    @rule(names=st.lists(IDS, max_size=4))
    def delete_ids(self, names):
        assert self.engine.delete(ids=names) == len(set(names) & set(self.model))
        for name in names:
            self.model.pop(name, None)
            self.coded.pop(name, None)

    @rule(chosen=st.sampled_from(FILTERS[1:]))
    def delete_where(self, chosen):
        where, passes = chosen
        gone = [name for name, (document, _) in self.model.items() if passes(document.metadata)]
        assert self.engine.delete(where=where) == len(gone)
        for name in gone:
            del self.model[name]
            self.coded.pop(name, None)

    @rule()
    def compact(self):
        self.engine.compact()
        info = self.engine.info()
        assert info["segments"] <= 1
        assert info["deleted_documents"] == 0
        assert 0 in (info["exact_tokens"], info["centroids"])

    @rule()
    def reopen(self):
        self.engine.close()
        self.engine = LocalEngine.open(self.root)

    @precondition(lambda self: self.reader is None)
    @rule()
    def open_a_reader(self):
        self.reader = LocalEngine.open(self.root, read_only=True)

    # Questions, to the writer or to a reader that has been open since some earlier state

    def any_engine(self, data):
        return self.reader if self.reader is not None and data.draw(st.booleans(), label="reader") else self.engine

    @rule(
        data=st.data(),
        k=K,
        seed=st.integers(0, 50),
        tokens=st.integers(1, 3),
        chosen=st.one_of(st.none(), st.sampled_from(FILTERS)),
        candidates=st.one_of(st.none(), st.lists(st.one_of(IDS, st.just("unknown")))),
    )
    def search(self, data, k, seed, tokens, chosen, candidates):
        query = unit_vectors(seed + 1000, tokens, DIM)
        where, passes = (None, lambda m: True) if chosen is None else chosen
        asked_for = [
            name
            for name, (document, _) in self.model.items()
            if passes(document.metadata) and (candidates is None or name in candidates)
        ]
        engine = self.any_engine(data)
        scores = {name: maxsim(query, rows) for name, rows in engine.vectors(asked_for).items()}
        found = engine.search(query, k, where=where, candidates=candidates)
        assert len({match.id for match in found}) == len(found) == min(k, len(scores))
        if self.bits in (8, None):
            exact = sorted((true_score(query, self.model[name][1]) for name in asked_for), reverse=True)
            for match, best in zip(found, exact, strict=False):
                assert true_score(query, self.model[match.id][1]) == pytest.approx(best, abs=0.02 * len(query))
        for match, best in zip(found, sorted(scores.values(), reverse=True), strict=False):
            assert match.score == pytest.approx(scores[match.id], abs=1e-3)
            assert match.score == pytest.approx(best, abs=1e-3)
        assert documents_of(self.engine, found) == [self.model[match.id][0] for match in found]

    @rule(data=st.data(), word=st.sampled_from(WORDS), chosen=st.sampled_from(FILTERS))
    def search_words(self, data, word, chosen):
        where, passes = chosen
        found = self.any_engine(data).search_lexical(word, 1000, where=where)
        expected = {
            name
            for name, (document, _) in self.model.items()
            if document.text == f"text {word}" and passes(document.metadata)
        }
        assert sorted(match.id for match in found) == sorted(expected)

    @rule(data=st.data(), chosen=st.sampled_from(FILTERS))
    def count_and_scan(self, data, chosen):
        where, passes = chosen
        engine = self.any_engine(data)
        expected = [document for document, _ in self.model.values() if passes(document.metadata)]
        assert engine.count(where=where) == len(expected)
        assert list(engine.scan(where=where)) == expected

    @rule(data=st.data(), names=st.lists(IDS))
    def get_and_vectors(self, data, names):
        engine = self.any_engine(data)
        assert engine.get(names) == [self.model[name][0] for name in names if name in self.model]
        vectors = engine.vectors(names)
        assert set(vectors) == set(names) & set(self.model)
        for name, rows in vectors.items():
            if name in self.coded:
                error = np.linalg.norm(rows - self.model[name][1], axis=1).max(initial=0)
                assert error < {1: 1.5, 4: 0.3, 8: 0.02}[self.bits]
            else:
                assert np.array_equal(rows, stored(self.model[name][1]))

    @rule()
    def verify(self):
        assert self.engine.verify().problems == ()

    @invariant()
    def what_is_on_disk_is_what_should_be(self):
        if self.engine is None:
            return
        assert left_over(self.root) == []
        records = records_on_disk(self.root)
        assert set(records) == set(self.model)
        for name, columns in self.coded.items():
            assert records[name] == columns
        self.coded = {name: columns for name, columns in records.items() if "codes" in columns}
        exact = sum(len(self.model[name][1]) for name in records if name not in self.coded)
        info = self.engine.info()
        if self.bits is None:
            assert (self.coded, info["centroids"]) == ({}, 0)
        else:
            assert exact < (BUFFER if info["centroids"] else FIRST)
            assert bool(info["centroids"]) >= bool(self.coded)
        assert info["segments"] <= 2 * compaction._MERGED_SEGMENTS


BOUNDED = settings(
    max_examples=50,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.fixture(autouse=True)
def small():
    with small_thresholds(FIRST, BUFFER):
        yield


def test_random_histories():
    History.TestCase.settings = BOUNDED
    History.TestCase().runTest()


def test_random_histories_of_constant_merging(monkeypatch):
    monkeypatch.setattr(compaction, "_MERGED_SEGMENTS", 3)
    History.TestCase.settings = settings(BOUNDED, max_examples=BOUNDED.max_examples // 2)
    History.TestCase().runTest()


@pytest.mark.slow
@pytest.mark.parametrize("fanout", [3, 16])
def test_many_long_random_histories(monkeypatch, fanout):
    monkeypatch.setattr(compaction, "_MERGED_SEGMENTS", fanout)
    History.TestCase.settings = settings(BOUNDED, max_examples=300, stateful_step_count=80)
    History.TestCase().runTest()
