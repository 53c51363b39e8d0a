"""`Index` against a dict and numpy: random histories of all that a user may do to one index and ask of it.

Vectors are those of words, so that what every query must find is known without the code under test: MaxSim in numpy,
BM25 and reciprocal ranks by their formulas. Thresholds are small, so that compression, larger codebooks and merges
happen many times in each history; a second `Index`, which only reads, is asked as often as the one that writes.
"""

from __future__ import annotations

import math
import random
import re
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from late_interaction import Document, Index
from late_interaction.engines import LocalEngine
from late_interaction.engines.local import compaction
from late_interaction.engines.local.search import plan as search
from late_interaction.errors import (
    DuplicateIdError,
    IndexLockedError,
    InvalidDocumentError,
    InvalidFilterError,
    InvalidRequestError,
    InvalidVectorsError,
    ReadOnlyIndexError,
    UnknownIdError,
)
from tests.engines.helpers import left_over, records_on_disk, small_thresholds, state_on_disk, stored
from tests.fakes import WordEncoder
from tests.folders import FAST_DIRECTORY
from tests.relevance import null_of, relevance

FIRST, BUFFER = 24, 10
ERRORS = {1: 1.5, 2: 0.7, 4: 0.3, 8: 0.02}  # by bits, how far a compressed unit vector may be from what it was
COLOURS = ["red", "green", "blue"]
VOCABULARY = [start + end for start in "bdfgkmnt" for end in ("ato", "ino", "uru", "eko", "ala")]  # stems of their own
TEXTS = st.lists(st.sampled_from(VOCABULARY), max_size=7).map(lambda words: " ".join(words) or "?!")
QUERIES = st.lists(st.sampled_from([*VOCABULARY, "Unheard"]), min_size=1, max_size=4, unique=True).map(" ".join)
IDS = st.sampled_from([f"d{number}" for number in range(14)])
COUNTS = st.integers(0, 16)
K = st.one_of(st.integers(1, 12), st.just(200))
DOCUMENTS = st.builds(
    lambda text, encoded, name, colour, n: Document(
        "a title" if encoded else text,
        id=name,
        metadata={"colour": colour, "n": n, "tags": list(range(n))},
        encoded_text=text if encoded else None,
    ),
    TEXTS,
    st.booleans(),
    IDS,
    st.sampled_from(COLOURS),
    st.integers(0, 4),
)
BATCHES = st.lists(DOCUMENTS, min_size=1, max_size=6, unique_by=lambda document: document.id)

# Filters by hand: what is asked, and what it means for metadata, which may lack every key.
FILTERS = [
    (None, lambda m: True),
    ({}, lambda m: True),
    ({"colour": "red"}, lambda m: m.get("colour") == "red"),
    ({"colour": {"$ne": "red"}}, lambda m: m.get("colour") != "red"),
    ({"n": {"$gte": 2, "$lt": 4}}, lambda m: m.get("n") in (2, 3)),
    ({"tags": {"$contains": 1}}, lambda m: 1 in m.get("tags", [])),
    (
        {"$or": [{"n": 0}, {"colour": {"$in": ["blue", "pink"]}}]},
        lambda m: m.get("n") == 0 or m.get("colour") == "blue",
    ),
    ({"$not": {"n": {"$exists": True}}}, lambda m: "n" not in m),
    ({"nope": {"$exists": True}}, lambda m: False),
]
WHERE = st.sampled_from(FILTERS)
CANDIDATES = st.lists(st.one_of(IDS, st.just("unknown")), max_size=20)
ASKED = st.tuples(WHERE, st.one_of(st.none(), st.none(), CANDIDATES))
FAULTS = {
    "no document": InvalidDocumentError,
    "an id twice": DuplicateIdError,
    "a source that breaks": RuntimeError,
    "NaN": InvalidVectorsError,
    "another dimension": InvalidVectorsError,
    "an encoder that breaks": ZeroDivisionError,
}


class BreakableEncoder(WordEncoder):
    """Words like others, and some that are faults."""

    def _encode(self, text):
        vectors = super()._encode(text)
        if "anotherdimension" in text:
            return vectors[:, :1]
        if "nan" in text:
            vectors[-1, 0] = np.nan
        if "broken" in text:
            raise ZeroDivisionError(text)
        return vectors


def maxsim(query, vectors):
    return float((query @ np.asarray(vectors, np.float64).T).max(axis=1).sum()) if len(vectors) else 0.0


def bm25(query, texts):
    """BM25 as FTS5 defines it, by id, of the documents that have a word of the query."""
    words = {name: Counter(re.findall(r"\w+", text.lower())) for name, text in texts.items()}
    mean = sum(counts.total() for counts in words.values()) / max(1, len(words))
    scores = Counter()
    for word in query.lower().split():
        having = [name for name, counts in words.items() if word in counts]
        weight = math.log((len(words) - len(having) + 0.5) / (len(having) + 0.5))
        for name in having:
            times, length = words[name][word], words[name].total()
            scores[name] += max(weight, 1e-6) * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * length / mean))
    return dict(scores)


class History(RuleBasedStateMachine):
    happened: ClassVar[Counter] = Counter()

    def __init__(self):
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="late-interaction-model-", dir=FAST_DIRECTORY))
        self.root = self.directory / "index"
        self.model = {}  # id -> document, in the order of addition
        self.index = self.reader = None
        self.coded = {}  # id -> document and vectors of those that are compressed
        self.centroids, self.segments = 0, set()

    @initialize(
        bits=st.sampled_from([8, 8, 4, 2, 1, None]), size=st.sampled_from([(4, None), (6, None), (8, 5)]), count=COUNTS
    )
    def create(self, bits, size, count):
        self.bits = bits
        self.encoder_dim, dim = size
        self.dim = dim or self.encoder_dim
        self.index = Index.open(self.root, encoder=self.encoder(), bits=bits, dim=dim)
        self.add_random(0, count, seed=count)

    def teardown(self):
        for index in (self.reader, self.index):
            if index is not None:
                index.close()
        shutil.rmtree(self.directory)

    # What is true, by the model alone

    def encoder(self):
        return BreakableEncoder(self.encoder_dim)

    def encoded(self, text):
        """The vectors of a text, (tokens, dim) f32; of an index that cuts them: cut, and unit vectors again."""
        vectors = np.array([self.encoder().vector(word) for word in re.findall(r"\w+", text)], np.float32)
        vectors = vectors.reshape(-1, self.encoder_dim)[:, : self.dim]
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def passing(self, passes):
        return [name for name, document in self.model.items() if passes(document.metadata)]

    def put(self, documents):
        for document in documents:
            self.model.pop(document.id, None)
            self.model[document.id] = document

    # Changes

    @rule(batch=BATCHES, make=st.sampled_from([list, iter]))
    def add(self, batch, make):
        assert self.index.add(make(batch)) == [document.id for document in batch]
        self.put(batch)

    @rule(first=st.integers(0, 40), counts=st.lists(COUNTS, min_size=1, max_size=3), seed=st.integers(0, 50))
    def add_many(self, first, counts, seed):
        """Enough in a few commits that some of it is compressed; ids that are there already, and new ones."""
        for count in counts:
            self.add_random(first, count, seed)
            first += count // 2

    @rule(names=st.lists(IDS, max_size=5, unique=True), n=st.integers(0, 4), batch=BATCHES)
    def add_with_other_metadata(self, names, n, batch):
        """The same texts, between others: their vectors stay, bit by bit."""
        same = [self.with_metadata(self.model[name], {"n": n}) for name in names if name in self.model]
        batch = [*same, *(document for document in batch if document.id not in names)]
        before = self.index.engine.vectors([document.id for document in same])
        assert self.index.add(iter(batch)) == [document.id for document in batch]
        self.put(batch)
        after = self.index.engine.vectors(list(before))
        compressed = self.index.info()["centroids"] > 0  # by this call, perhaps
        assert compressed or all((before[name] == after[name]).all() for name in before)

    @rule(names=st.lists(st.one_of(IDS, st.just("unknown")), max_size=5), n=st.integers(0, 4))
    def update_metadata(self, names, n):
        found = set(names) & set(self.model)
        assert self.index.update(names, metadata={"n": n, "tags": [n]}) == len(found)
        for name in found:  # in its place
            self.model[name] = self.with_metadata(self.model[name], {**self.model[name].metadata, "n": n, "tags": [n]})

    @staticmethod
    def with_metadata(document, metadata):
        return Document(document.text, id=document.id, metadata=metadata, encoded_text=document.encoded_text)

    def add_random(self, first, count, seed):
        draw = random.Random(seed)
        texts = [" ".join(draw.choices(VOCABULARY, k=draw.randint(0, 7))) or "?!" for _ in range(count)]
        batch = [
            Document(
                text if number % 4 else "a title",
                id=f"d{number}",
                metadata={"colour": COLOURS[number % 3], "n": number % 5},
                encoded_text=None if number % 4 else text,
            )
            for number, text in enumerate(texts, start=first)
        ]
        assert self.index.add(iter(batch)) == [document.id for document in batch]
        self.put(batch)

    @rule(texts=st.lists(st.sampled_from(["bato", "dino duru", "?!"]), max_size=4))
    def add_strings(self, texts):
        """Their ids follow from them, and equal ones are one document."""
        ids = self.index.add(texts)
        made = dict(zip(ids, texts, strict=True))
        assert len(made) == len(set(texts))
        self.put([Document(text, id=name) for name, text in made.items()])

    @rule(data=st.data(), batch=BATCHES, fault=st.sampled_from(sorted(FAULTS)), many=st.booleans())
    def add_with_a_fault(self, data, batch, fault, many):
        """Nothing has happened, not even to the files, however far it has come."""
        bad = {
            "no document": 5,
            "an id twice": Document("other", id=batch[0].id),
            "NaN": Document("bato nan", id="bad"),
            "another dimension": Document("anotherdimension", id="bad"),
            "an encoder that breaks": Document("broken", id="bad"),
        }

        def source():
            yield from batch[:at]
            if fault not in bad:
                raise FAULTS[fault]
            yield bad[fault]
            yield from batch[at:]

        at = len(batch) if many else data.draw(st.integers(0, len(batch)))
        before = state_on_disk(self.root)
        with pytest.raises(FAULTS[fault]):
            self.index.add(source() if many or fault not in bad else list(source()))
        assert state_on_disk(self.root) == before

    @rule(names=st.lists(st.one_of(IDS, st.just("unknown")), max_size=5))
    def delete_ids(self, names):
        assert self.index.delete(names) == len(set(names) & set(self.model))
        for name in names:
            self.model.pop(name, None)

    @rule(chosen=st.sampled_from(FILTERS[2:]))
    def delete_where(self, chosen):
        where, passes = chosen
        gone = self.passing(passes)
        assert self.index.delete(where=where) == len(gone)
        for name in gone:
            del self.model[name]

    @rule()
    def compact(self):
        self.index.compact()
        info = self.index.info()
        assert info["segments"] <= 1
        assert info["deleted_documents"] == 0
        assert 0 in (info["exact_tokens"], info["centroids"])

    @rule(again=st.booleans())
    def reopen(self, again):
        self.index.close()
        settings = {"bits": self.bits, "dim": self.dim} if again else {}
        self.index = Index.open(self.root, encoder=self.encoder(), **settings)

    @precondition(lambda self: self.reader is None)
    @rule()
    def open_a_reader(self):
        self.reader = Index.open(self.root, encoder=self.encoder(), read_only=True)

    # Questions, to the writer or to a reader that has been open since some earlier state

    def any_index(self, data):
        return self.reader if self.reader is not None and data.draw(st.booleans(), label="reader") else self.index

    def asked_for(self, asked):
        """How to ask, and the documents that may be found, in the order of addition."""
        (where, passes), candidates = asked
        arguments = {name: value for name, value in (("where", where), ("candidates", candidates)) if value is not None}
        names = self.passing(passes)
        return arguments, names if candidates is None else [name for name in names if name in candidates]

    def check_ranking(self, hits, expected, k, tolerance=1e-3):
        """The k best of what is expected, scores by id, best first, each with its document."""
        assert len({hit.id for hit in hits}) == len(hits) == min(k, len(expected))
        for hit, best in zip(hits, sorted(expected.values(), reverse=True), strict=False):
            assert hit.score == pytest.approx(expected[hit.id], abs=tolerance)
            assert hit.score == pytest.approx(best, abs=tolerance)
            assert hit.document == self.model[hit.id]
            assert 0 <= hit.relevance <= 1
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)

    @rule(data=st.data(), query=QUERIES, k=K, asked=ASKED)
    def search(self, data, query, k, asked):
        arguments, names = self.asked_for(asked)
        index, vectors = self.any_index(data), self.encoded(query).astype(np.float64)
        kept = index.engine.vectors(names)
        assert list(kept) == names
        hits = index.search(query, k, **arguments)
        self.check_ranking(hits, {name: maxsim(vectors, rows) for name, rows in kept.items()}, k)
        null = null_of(index.engine, vectors)
        for hit in hits:
            assert hit.relevance == pytest.approx(relevance(vectors, null, hit.score), abs=1e-4)
        explained = index.explain_many(query, [hit.id for hit in hits])
        assert [one.score for one in explained.values()] == pytest.approx([hit.score for hit in hits], abs=1e-3)
        if self.bits in (8, None):
            tolerance = 1e-3 if self.bits is None else 0.02 * len(vectors)
            exact = {name: maxsim(vectors, stored(self.encoded(self.model[name].text_to_encode))) for name in names}
            self.check_ranking(hits, exact, k, tolerance)

    @rule(data=st.data(), query=QUERIES, k=K, asked=ASKED)
    def search_lexical(self, data, query, k, asked):
        arguments, names = self.asked_for(asked)
        hits = self.any_index(data).search(query, k, mode="lexical", **arguments)
        scores = bm25(query, {name: document.text_to_encode for name, document in self.model.items()})
        self.check_ranking(hits, {name: score for name, score in scores.items() if name in names}, k, 1e-9)

    @rule(data=st.data(), query=QUERIES, k=K, asked=ASKED)
    def search_hybrid(self, data, query, k, asked):
        arguments, names = self.asked_for(asked)
        index, scores = self.any_index(data), Counter()
        fused = max(k, min(100, max(30, 3 * k)))
        for mode in ("late", "lexical"):
            for rank, hit in enumerate(index.search(query, fused, mode=mode, **arguments), start=1):
                scores[hit.id] += 1 / (60 + rank)
        assert set(scores) == set(names)
        self.check_ranking(index.search(query, k, mode="hybrid", **arguments), scores, k, 1e-9)

    @rule(
        data=st.data(),
        queries=st.lists(st.one_of(QUERIES, st.sampled_from(["", " \n", "?!"])), max_size=4),
        k=K,
        asked=ASKED,
        mode=st.sampled_from(["late", "lexical", "hybrid"]),
    )
    def search_many(self, data, queries, k, asked, mode):
        arguments, _ = self.asked_for(asked)
        index = self.any_index(data)
        many = index.search_many(queries, k, mode=mode, **arguments)
        assert many == [index.search(query, k, mode=mode, **arguments) for query in queries]
        assert all(hits == [] for query, hits in zip(queries, many, strict=True) if not query.strip())

    @rule(data=st.data(), query=QUERIES, names=st.lists(IDS, max_size=6), k=st.one_of(st.none(), K))
    def rerank_ids(self, data, query, names, k):
        index, vectors = self.any_index(data), self.encoded(query).astype(np.float64)
        if set(names) - set(self.model):
            with pytest.raises(UnknownIdError):
                index.rerank(query, ids=names, k=k)
            names = [name for name in names if name in self.model]
        hits = index.rerank(query, ids=names, k=k)
        kept = index.engine.vectors(names)
        self.check_ranking(hits, {name: maxsim(vectors, rows) for name, rows in kept.items()}, k or len(kept))

    @rule(data=st.data(), query=QUERIES, others=BATCHES, k=st.one_of(st.none(), K), store=st.booleans())
    def rerank_documents(self, data, query, others, k, store):
        """Some that were found, as they are, and some of the same ids or of new ones, with other texts."""
        index, vectors = self.index if store else self.any_index(data), self.encoded(query).astype(np.float64)
        found = [hit.document for hit in index.search(data.draw(QUERIES), 5)]
        documents = {document.id: document for document in data.draw(st.permutations([*found, *others]))}
        hits = index.rerank(query, documents=list(documents.values()), k=k, store=store)
        if store:
            self.put([document for document in documents.values() if not self.holds(document)])
        kept = index.engine.vectors(list(documents))
        scores = {
            name: maxsim(vectors, kept[name] if self.holds(document) else self.encoded(document.text_to_encode))
            for name, document in documents.items()
        }
        assert len(hits) == len({hit.id for hit in hits}) == min(k or len(scores), len(scores))
        for hit, best in zip(hits, sorted(scores.values(), reverse=True), strict=False):
            assert hit.score == pytest.approx(scores[hit.id], abs=1e-3)
            assert hit.score == pytest.approx(best, abs=1e-3)
            assert hit.document == documents[hit.id]

    def holds(self, document):
        """Whether the index has a document's vectors. One that does not say what to encode takes what was encoded."""
        held = self.model.get(document.id)
        return held and held.text == document.text and document.encoded_text in (None, held.encoded_text)

    @rule(data=st.data(), names=st.lists(st.one_of(IDS, st.just("unknown"))), chosen=WHERE)
    def get_count_and_scan(self, data, names, chosen):
        where, passes = chosen
        index, expected = self.any_index(data), [self.model[name] for name in self.passing(passes)]
        assert index.get(names) == [self.model[name] for name in names if name in self.model]
        assert [name in index for name in names] == [name in self.model for name in names]
        assert index.count(where=where) == len(expected)
        assert list(index.scan(where=where)) == expected

    @rule(data=st.data(), document=DOCUMENTS)
    def what_is_refused_changes_nothing(self, data, document):
        before = state_on_disk(self.root)
        with pytest.raises(IndexLockedError):
            LocalEngine.open(self.root)
        index = self.any_index(data)
        for arguments in ({"k": 0}, {"mode": "dense"}, {"where": {"n": {"$like": 1}}}):
            with pytest.raises((InvalidRequestError, InvalidFilterError)):
                index.search("bato", **arguments)
        if (reader := self.reader) is not None:
            for write in (lambda: reader.add([document]), lambda: reader.clear(), reader.compact):
                with pytest.raises(ReadOnlyIndexError):
                    write()
        assert state_on_disk(self.root) == before

    @rule(data=st.data())
    def verify(self, data):
        assert self.any_index(data).verify().problems == ()

    def check_vectors(self, coded):
        """What is exact is so; what is compressed is near, and is never rounded twice."""
        before, self.coded = self.coded, {}
        for name, vectors in self.index.engine.vectors(list(self.model)).items():
            exact = stored(self.encoded(self.model[name].text_to_encode))
            if name not in coded:
                assert np.array_equal(vectors, exact)
                continue
            self.coded[name] = self.model[name], vectors
            assert np.linalg.norm(vectors - exact, axis=1).max(initial=0) < ERRORS[self.bits]
            if name in before and before[name][0] is self.model[name]:
                assert np.array_equal(vectors, before[name][1])

    @invariant()
    def every_commit_is_seen_and_the_disk_holds_nothing_else(self):
        if self.index is None:
            return
        for index in filter(None, (self.index, self.reader)):
            assert list(index.scan()) == list(self.model.values())
            assert len(index) == len(self.model)
        assert left_over(self.root) == []
        records = records_on_disk(self.root)
        assert set(records) == set(self.model)
        self.check_vectors({name for name, columns in records.items() if "codes" in columns})
        info, segments = self.index.info(), {path.name for path in (self.root / "segments").iterdir()}
        assert info["documents"] == len(self.model)
        assert info["segments"] == len(segments) <= 2 * compaction._MERGED_SEGMENTS
        assert (info["bits"], info["dim"]) == (self.bits, self.dim)
        self.happened["compressed"] += bool(info["centroids"]) > bool(self.centroids)
        self.happened["codebook extended"] += info["centroids"] > self.centroids > 0
        self.happened["segments rewritten"] += bool(self.segments - segments)
        self.centroids, self.segments = info["centroids"], segments


def run(examples, steps):
    History.happened.clear()
    History.TestCase.settings = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    History.TestCase().runTest()


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr("late_interaction.retrieval.encoding._WINDOW_DOCUMENTS", 3)
    monkeypatch.setattr(compaction, "_MERGED_SEGMENTS", 4)
    with small_thresholds(FIRST, BUFFER):
        yield


class Anything(float):
    """By so many deviations of its gain a document may gain anything, even where those seen so far have none."""

    def __mul__(self, deviation):
        return np.float32(np.inf)


@pytest.fixture
def many_rounds(monkeypatch):
    """Search goes through all its rounds, a few documents at first, however few there are, and leaves out none."""
    monkeypatch.setattr(search, "_FIRST_DOCUMENTS", (4, 2, 1))
    monkeypatch.setattr(search, "_MARGIN_DEVIATIONS", (Anything(),) * 3)


def test_random_histories():
    run(examples=20, steps=40)


@pytest.mark.usefixtures("many_rounds")
def test_random_histories_of_searches_in_many_rounds():
    run(examples=10, steps=40)


@pytest.mark.slow
@pytest.mark.parametrize("fanout", [3, 16])
def test_many_long_random_histories(monkeypatch, fanout):
    monkeypatch.setattr(compaction, "_MERGED_SEGMENTS", fanout)
    run(examples=200, steps=80)
    assert min(History.happened[name] for name in ("compressed", "codebook extended", "segments rewritten")) > 100
