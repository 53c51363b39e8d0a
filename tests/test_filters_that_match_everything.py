"""Deleting by a filter that every document matches is refused; which filters are known to be of this kind."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest

from late_interaction import Document, Index, filters
from late_interaction.engines import LocalEngine, Record
from late_interaction.errors import InvalidFilterError, InvalidRequestError
from late_interaction.filters import AllOf, AnyOf, Contains, Exists, FieldValue, In, Not, is_always_true
from tests.engines.test_local_filters import Generator
from tests.fakes import WordEncoder

ONE, TWO, NULL = (FieldValue.of(value) for value in (1, 2, None))

ALWAYS = [
    {},
    {"$and": [{}]},
    {"$and": [{}, {}]},
    {"$or": [{}, {"a": 1}]},
    {"$or": [{"a": 1}, {}]},
    {"$or": [{"a": 1}, {"$or": [{"b": 1}, {"$and": [{}, {}]}]}]},
    {"a": {"$nin": []}},
    {"a": {"$nin": []}, "b": {"$nin": []}},
    {"a": {"$not": {"$in": []}}},
    {"$not": {"a": {"$in": []}}},
    {"$not": {"a": {"$in": []}, "b": 1}},
    {"$not": {"$not": {}}},
    {"$not": {"$not": {"$not": {"$not": {}}}}},
    {"$not": {"$and": [{"a": 1}, {"$not": {}}]}},
    {"$not": {"$or": [{"$not": {}}, {"b": {"$in": []}}]}},
    {"a": {"$not": {"$not": {"$nin": []}}}},
    {"$or": [{"a": {"$exists": True}}, {"a": {"$exists": False}}]},
    {"$or": [{"a": 1}, {"a": {"$ne": 1}}]},
    {"$or": [{"a": {"$ne": 1}}, {"a": {"$in": [2, 1]}}]},
    {"$or": [{"a": {"$nin": [1, 2]}}, {"a": {"$in": [3, 2, 1]}}]},
    {"$or": [{"a": 1}, {"b": 2}, {"$not": {"a": 1.0}}]},
    {"$or": [{"a": {"$gt": 1}}, {"a": {"$not": {"$gt": 1}}}]},
    {"$or": [{"a": {"$exists": True}}, {"a": None}]},
    {"$or": [{"a": {"$exists": True}}, {"a": {"$ne": 1}}]},
    {"$or": [{"a": {"$exists": True}}, {"a": {"$not": {"$contains": "x"}}}]},
    {"$or": [{"a": 1, "b": 2}, {"$not": {"a": 1, "b": 2}}]},
    {"$not": {"a": 1, "$and": [{"a": {"$ne": 1}}]}},
    {"$and": [{"$or": [{"a": 1}, {"a": {"$ne": 1}}]}, {"b": {"$nin": []}}]},
    AllOf(()),
    Not(AnyOf(())),
    Not(In("a", ())),
    In("_hidden", (NULL,)),
    Not(Exists("_hidden")),
    Not(Contains("a", ONE, elements=False)),
    AnyOf((Not(In("a", (ONE,), elements=False)), In("a", (ONE, TWO)))),
]

NOT_ALWAYS = [
    {"a": 1},
    {"a": None},
    {"a": {"$exists": True}},
    {"a": {"$exists": False}},
    {"a": {"$ne": 1}},
    {"a": {"$in": []}},
    {"$not": {}},
    {"$not": {"a": 1}},
    {"$and": [{}, {"a": 1}]},
    {"$or": [{"a": {"$nin": [1, 2]}}, {"a": {"$in": [1]}}]},
    {"$or": [{"a": 1}, {"b": {"$ne": 1}}]},
    {"$or": [{"a": {"$exists": False}}, {"a": {"$ne": 1}}]},
    {"$or": [{"a": {"$exists": False}}, {"a": 1}]},
    {"a": {"$nin": []}, "b": 1},
    {"$and": [{"a": 1}, {"a": {"$ne": 1}}]},
    AnyOf(()),
    In("_hidden", (ONE,)),
    Contains("a", FieldValue.of(""), elements=False),
    AnyOf((Not(In("a", (ONE,))), In("a", (ONE,), elements=False))),
]


@pytest.mark.parametrize("where", ALWAYS, ids=repr)
def test_known_to_match_everything(where):
    assert is_always_true(filters.parse(where))


@pytest.mark.parametrize("where", NOT_ALWAYS, ids=repr)
def test_known_to_leave_something_out(where):
    assert not is_always_true(filters.parse(where))


def hostile_metadata():
    """Nothing, everything at once, and every value that filters treat differently, alone and in lists."""
    values = [None, True, 0, 1, 1.0, 2, -1, 2**60, "", "a", "ab", "é", [], {}, [[]], [None], ["a", 1], {"a": 1}]
    yield {}
    yield dict.fromkeys(("a", "b", "c", "é"), values)
    for value in values:
        for key in ("a", "b", "_a", ""):
            yield {key: value}
            yield {key: [value]}
            yield {key: {"a": value, "b": [value, {"c": value}]}}


def test_whatever_is_refused_matches_every_document():
    rng = random.Random(10)
    generator = Generator(rng)
    collection = [*hostile_metadata(), *(generator.metadata() for _ in range(200))]
    refused = 0
    for _ in range(3_000):
        clause = filters.parse(generator.where())
        if rng.random() < 0.5:  # trees say more than dicts, and are more often of this kind
            clause = AnyOf((clause, Not(mutated(clause, rng)), filters.parse(generator.where(depth=3))))
        if is_always_true(clause):
            refused += 1
            some = [*collection[:2], *rng.sample(collection, 25)]
            assert all(filters.matches(clause, metadata) for metadata in some), clause
    assert refused > 300


def mutated(clause, rng):
    """The clause, or nearly."""
    match clause:
        case AllOf(parts) | AnyOf(parts):
            kept = [mutated(part, rng) for part in parts if rng.random() < 0.9]
            return type(clause)(tuple(kept))
        case Not(part):
            return Not(mutated(part, rng))
        case In(_, values) if rng.random() < 0.4:
            return replace(clause, values=values[1:], elements=rng.random() < 0.5)
        case Contains() if rng.random() < 0.3:
            return replace(clause, elements=False)
    return clause


def test_large_filters_are_decided_quickly():
    numbers = [{"n": number} for number in range(5_000)]
    others = [{"n": {"$ne": number}} for number in range(5_000, 10_000)]
    assert is_always_true(filters.parse({"$or": [*numbers, {"n": {"$ne": 4_999}}]}))
    assert not is_always_true(filters.parse({"$or": [*numbers, *others]}))


@pytest.fixture
def engine(tmp_path):
    with LocalEngine.open(tmp_path / "index", dim=2) as opened:
        vectors = np.array([[1.0, 0.0]], np.float32)
        opened.upsert(Record(Document("text", id=name, metadata={"a": name}), vectors) for name in "xyz")
        yield opened


@pytest.mark.parametrize("where", ALWAYS, ids=repr)
def test_delete_refuses_it_and_says_what_to_do(engine, where):
    with pytest.raises(InvalidRequestError, match=r"every document.*Nothing was deleted.*clear\(\)"):
        engine.delete(where=where)
    assert engine.count() == 3
    assert engine.count(where=where) == 3
    assert len(engine.search([[1.0, 0.0]], where=where)) == 3


@pytest.mark.parametrize("where", [{"a": {"$in": []}}, {"$not": {}}, {"$and": [{"a": "x"}, {"a": {"$ne": "x"}}]}])
def test_a_filter_that_matches_nothing_deletes_nothing(engine, where):
    assert engine.delete(where=where) == 0
    assert engine.count() == 3


def test_a_malformed_filter_is_still_its_own_error(engine):
    with pytest.raises(InvalidFilterError):
        engine.delete(where={"a": {"$nine": []}})
    with pytest.raises(InvalidFilterError):
        engine.delete(where={"$or": []})


def test_clear_deletes_everything(tmp_path):
    with Index.open(tmp_path / "index", encoder=WordEncoder()) as index:
        index.add(["one", "two", "three"])
        with pytest.raises(InvalidRequestError):
            index.delete(where=json.loads("null") or {})  # as of a user who gave no filter
        assert index.clear() == 3
        assert len(index) == 0
        assert index.search("one") == []
        assert index.clear() == 0
        index.add(["four"])
        assert [hit.text for hit in index.search("four")] == ["four"]
        assert index.verify()


def test_the_frameworks_delete_everything_neither(tmp_path):
    from late_interaction.langchain import LateInteractionVectorStore

    with Index.open(tmp_path / "index", encoder=WordEncoder()) as index:
        store = LateInteractionVectorStore(index=index)
        store.add_texts(["one", "two"])
        for call in (store.delete, lambda: store.delete(where={}), lambda: store.delete(where={"$or": [{}, {"a": 1}]})):
            with pytest.raises(InvalidRequestError):
                call()
        store.delete([])
        assert len(index) == 2
