"""Random filters over random metadata: the engine, `matches` and a naive evaluator must agree on every document."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from late_interaction import filters
from late_interaction.documents import Document
from late_interaction.engines import LocalEngine, Record
from tests.engines import naive_filters
from tests.examples import examples

# Few keys, paths and values, chosen to collide, so that random filters often pass some documents and not others.
KEYS = ["a", "b", "c", "é", "a.b", "", "_a"]
PATHS = ["a", "b", "a.b", "c", "a.a", "b.a", "a.b.c", "é", "", ".", "a.", "a._a", "missing"]
COMMON = [None, True, False, 0, 1, 1.0, 2, "a", "ab", "b", "1"]
RARE = [
    *(1.5, -1, -0.0, 2**53, 2**53 + 1, float(2**53), 2**63 - 1, -(2**63)),
    *("", "A", "abc", "é", "e\u0301", "😀", "\uffff", "a\x00", "%", "[1]"),
]


class Generator:
    """Random metadata, and random filters that ask for what is in it, or nearly."""

    def __init__(self, random):
        self.random = random
        self.there = []

    def value(self, depth=0):
        kind = self.random.randrange(10 if depth < 3 else 6)
        if kind < 4:
            return self.random.choice(COMMON)
        if kind < 6:
            return self.random.choice(RARE)
        if kind < 8:
            return [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        return {self.random.choice(KEYS): self.value(depth + 1) for _ in range(self.random.randrange(3))}

    def metadata(self):
        metadata = {}
        if self.random.randrange(4):
            metadata["a"] = self.value()
        for _ in range(self.random.randrange(3)):
            metadata[self.random.choice(KEYS)] = self.value()
        self.there += [pair for pair in walk(metadata) if not pair[0].startswith("_")]
        return metadata

    def place(self):
        """A path with a value: of some document, or another."""
        if self.there and self.random.randrange(3):
            return self.random.choice(self.there)
        return self.random.choice(PATHS), self.value()

    def operand(self, near):
        """Something to ask of a field: what is near at hand, what another field has, or anything."""
        kind = self.random.randrange(4)
        if kind == 0:
            return self.value()
        return near if kind < 3 else self.place()[1]

    def ordered(self, near):
        while isinstance(near, list) and near:
            near = self.random.choice(near)
        if isinstance(near, (int, float, str)) and not isinstance(near, bool) and self.random.randrange(3):
            return near
        return self.random.choice([0, 1, 1.5, "a", "ab", "é", "", float("inf"), float("-inf"), 2**70, 2**53])

    def operator(self, near):
        kind = self.random.choice(["eq", "order", "order", "in", "all", "contains", "exists"])
        if kind == "eq":
            return self.random.choice(["$eq", "$ne"]), self.operand(near)
        if kind == "order":
            return self.random.choice(["$gt", "$gte", "$lt", "$lte"]), self.ordered(near)
        if kind == "in":
            return self.random.choice(["$in", "$nin"]), [self.operand(near) for _ in range(self.random.randrange(4))]
        if kind == "all":
            return "$all", [self.operand(near) for _ in range(self.random.randrange(1, 3))]
        if kind == "contains":
            return "$contains", self.random.choice(["a", "b", "1", self.operand(near)])
        return "$exists", bool(self.random.randrange(2))

    def condition(self, near):
        kind = self.random.randrange(10)
        if kind < 3:
            return self.operand(near)
        if kind < 7:
            return dict([self.operator(near)])
        if kind < 8:
            return dict([self.operator(near), self.operator(near)])
        return {"$not": self.condition(near)}

    def where(self, depth=0):
        kind = self.random.randrange(9 if depth < 4 else 4)
        if kind < 4:
            path, near = self.place()
            return {path: self.condition(near)}
        if kind < 6:
            return {"$or": [self.where(depth + 1) for _ in range(self.random.randrange(1, 4))]}
        if kind == 6:
            return {"$and": [self.where(depth + 1) for _ in range(self.random.randrange(1, 3))]}
        if kind == 7:
            return {"$not": self.where(depth + 1)}
        return {**self.where(depth + 1), **self.where(depth + 1)}


def walk(value, path=""):
    """The paths and values of nested metadata."""
    if path:
        yield path, value
    for key, item in value.items() if isinstance(value, dict) else ():
        yield from walk(item, f"{path}.{key}" if path else key)
    for item in value if isinstance(value, list) else ():
        yield from walk(item, path)


@st.composite
def cases(draw):
    """Some metadata and some filters, from a seed: far more of them, and more varied, than what can be shrunk."""
    generator = Generator(draw(st.randoms(use_true_random=True)))
    collection = [generator.metadata() for _ in range(8)]
    return collection, [generator.where() for _ in range(8)]


@pytest.fixture(scope="module")
def shared(make_directory):
    with LocalEngine.open(make_directory("filters") / "index", dim=2) as engine:
        yield engine


def check(engine, collection, wheres):
    engine.clear()
    angles = np.linspace(0.1, 1.4, len(collection))  # distinct scores, so that the order of hits is known
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    names = [str(number) for number in range(len(collection))]
    half = len(collection) // 2
    records = [
        Record(Document("text", id=name, metadata=collection[number]), vectors[number : number + 1])
        for number, name in enumerate(names)
    ]
    engine.upsert(records[:half])
    engine.upsert(records[half:])
    for where in wheres:
        expected = [
            name for name, metadata in zip(names, collection, strict=True) if naive_filters.passes(where, metadata)
        ]
        event(f"{'none' if not expected else 'all' if len(expected) == len(names) else 'some'} pass")
        clause = filters.parse(where)
        agreed = [name for name, metadata in zip(names, collection, strict=True) if filters.matches(clause, metadata)]
        assert agreed == expected
        assert engine.count(where=where) == len(expected)
        assert [document.id for document in engine.scan(where=where)] == expected
        assert [match.id for match in engine.search([[1.0, 0.0]], k=len(names) + 1, where=where)] == expected
        assert sorted(match.id for match in engine.search_lexical("text", 10, where=where)) == expected
    if wheres and not filters.is_always_true(filters.parse(wheres[0])):  # which delete refuses
        assert engine.delete(where=wheres[0]) == sum(naive_filters.passes(wheres[0], item) for item in collection)
        left = [name for name, item in zip(names, collection, strict=True) if not naive_filters.passes(wheres[0], item)]
        assert [document.id for document in engine.scan()] == left


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=cases())
@example(case=([{"a": True}, {"a": 1}, {"a": 1.0}, {"a": "1"}], [{"a": 1}, {"a": True}, {"a": "1"}, {}]))
@example(case=([{"a": [1, "a"]}, {"a": [[1, "a"]]}], [{"a": [1.0, "a"]}, {"a": {"$contains": 1}}]))
@example(case=([{"a.b": 1}, {"a": {"b": 1}}, {"a": [{"b": [1]}, {"b": 2}]}, {}], [{"a.b": 1}]))
@example(case=([{"a": 2**53 + 1}, {"a": 2**53}], [{"a": {"$gt": float(2**53)}}, {"a": 2.0**53}]))
def test_random_filters(shared, case):
    check(shared, *case)


@pytest.mark.slow
@settings(max_examples=2_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=cases())
def test_many_random_filters(shared, case):
    check(shared, *case)


@settings(max_examples=examples(500), deadline=None, suppress_health_check=list(HealthCheck))
@given(case=cases())
def test_matches_agrees_with_the_naive_evaluator(case):
    collection, wheres = case
    for where in wheres:
        clause = filters.parse(where)
        for metadata in collection:
            assert filters.matches(clause, metadata) is naive_filters.passes(where, metadata)
