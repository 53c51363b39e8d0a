"""Filters: equal to `filters.matches` on every document, or refused with the names of operator and engine."""

from __future__ import annotations

import random
from functools import cache

import pytest

from late_interaction import Document, filters
from late_interaction.engines import Record
from late_interaction.errors import InvalidFilterError
from late_interaction.filters import OPERATORS, AllOf, AnyOf, Compare, Contains, Exists, FieldValue, In, Not
from tests.conformance.helpers import ids_of, needs, record, unit_vectors
from tests.engines import naive_filters
from tests.engines.test_local_filters import Generator

FILTERS = 1_000
DOCUMENTS = 18


def every_call(engine, where):
    """Every call that takes a filter; each gives the ids that pass, and leaves the documents as they are."""
    yield "count", lambda: engine.count(where=where)
    yield "scan", lambda: ids_of(engine.scan(where=where))
    yield "scan of ids", lambda: ids_of(engine.scan(where=where, fields=()))
    yield "search", lambda: ids_of(engine.search(unit_vectors(1, 2), DOCUMENTS + 1, where=where))
    if engine.capabilities.lexical:
        yield "search_lexical", lambda: ids_of(engine.search_lexical("text", DOCUMENTS + 1, where=where))


def writing_calls(engine, where):
    yield "delete", lambda: engine.delete(where=where)
    yield "upsert", lambda: engine.upsert([], replacing=where)


def is_refused(engine, where):
    """Whether the engine refuses the filter, as it must if and only if it does not declare an operator of it."""
    missing = filters.operators_of(filters.parse(where)) - engine.capabilities.filter_operators
    if not missing:
        engine.check_filter(where)
        return False
    with pytest.raises(InvalidFilterError) as caught:
        engine.check_filter(where)
    assert type(engine).__name__ in str(caught.value)
    assert all(operator in str(caught.value) for operator in missing)
    return True


@cache
def random_case():
    """Metadata of each document, and filters with the numbers of the documents that pass, by both definitions."""
    generator = Generator(random.Random(11))
    collection = [generator.metadata() for _ in range(DOCUMENTS)]
    wheres = []
    for _ in range(FILTERS):
        where = generator.where()
        clause = filters.parse(where)
        expected = [number for number, metadata in enumerate(collection) if filters.matches(clause, metadata)]
        naive = [number for number, metadata in enumerate(collection) if naive_filters.passes(where, metadata)]
        assert expected == naive
        wheres.append((where, clause, [f"d{number}" for number in expected]))
    return collection, wheres


def test_a_thousand_random_filters(engine):
    collection, wheres = random_case()
    names = [f"d{number}" for number in range(DOCUMENTS)]
    records = [
        Record(Document("text", id=name, metadata=metadata), unit_vectors(number, 2))
        for number, (name, metadata) in enumerate(zip(names, collection, strict=True))
    ]
    engine.upsert(records)
    refused = some = 0
    for number, (where, clause, expected) in enumerate(wheres):
        if is_refused(engine, where):
            refused += 1
            calls = [*every_call(engine, where), *writing_calls(engine, where)] if refused < 30 else ()
            for _, call in calls:
                with pytest.raises(InvalidFilterError, match=type(engine).__name__):
                    call()
            continue
        some += 0 < len(expected) < DOCUMENTS
        for name, call in [*every_call(engine, where)][: 5 if number % 4 == 0 else 2]:  # count and scan of every filter
            found = call()
            if name == "count":
                assert found == len(expected), where
            elif name.startswith("scan"):
                assert found == expected, where
            else:
                assert sorted(found) == sorted(expected), (name, where)
        if number % 25 == 0 and not filters.is_always_true(clause):
            assert engine.delete(where=where) == len(expected)
            assert ids_of(engine.scan()) == [name for name in names if name not in expected]
            engine.clear()
            engine.upsert(records)
    assert some >= 40
    if engine.capabilities.filter_operators == OPERATORS:
        assert refused == 0
    else:
        assert refused >= 100


def value(given):
    return FieldValue.of(given)


TREES = {
    "elements that do not count": In("tags", (value("a"),), elements=False),
    "elements that do": In("tags", (value("a"),)),
    "several values": In("tags", (value("a"), value(2), value(["a", "b"]))),
    "no values": In("tags", ()),
    "order without elements": Compare("n", "$gt", value(2), elements=False),
    "order": Compare("n", "$gte", value(2)),
    "order of strings": Compare("name", "$lt", value("Bo")),
    "order of texts that hold numbers": Compare("name", "$gt", value("2019")),
    "a substring": Contains("name", value("lo")),
    "in any case": Contains("name", value("hello"), ignore_case=True),
    "in any case of other scripts": Contains("name", value("ärger"), ignore_case=True),
    "an element that does not count": Contains("tags", value("a"), elements=False),
    "there": Exists("n"),
    "not there": Not(Exists("n")),
    "not both": Not(AllOf((Exists("n"), In("name", (value("Bo"),))))),
    "nested": AnyOf((AllOf((Exists("n"), Not(In("tags", (value("b"),))))), In("name", (value(None),)))),
    "a private field, which nobody sees": In("_hidden", (value(1),)),
}
METADATA = [
    {},
    {"tags": "a", "n": 1},
    {"tags": ["a", "b"], "n": [3]},
    {"tags": [2], "n": 2, "name": "Hello"},
    {"tags": [["a", "b"]], "n": 2.5, "name": "Bo"},
    {"name": "ÄRGER im Café", "n": "3"},
    {"name": ["hello", "Bo"], "tags": None},
    {"name": "say hElLo", "n": -1, "_hidden": 1},
    {"name": "2020"},
]


@pytest.mark.parametrize("name", TREES)
def test_syntax_trees(engine, name):
    """They also say what dicts cannot. An engine that cannot do that either has to refuse the tree."""
    engine.upsert([record(f"d{number}", text="text", **one) for number, one in enumerate(METADATA)])
    clause = TREES[name]
    expected = [f"d{number}" for number, one in enumerate(METADATA) if filters.matches(clause, one)]
    try:
        engine.check_filter(clause)
    except InvalidFilterError as error:
        assert type(engine).__name__ in str(error)  # noqa: PT017
        for _, call in [*every_call(engine, clause), *writing_calls(engine, clause)]:
            with pytest.raises(InvalidFilterError, match=type(engine).__name__):
                call()
    else:
        for kind, call in every_call(engine, clause):
            assert call() == len(expected) if kind == "count" else sorted(call()) == sorted(expected), kind


MALFORMED = [
    {"a": {"$regex": "x"}},
    {"$nor": [{"a": 1}]},
    {"_private": 1},
    {"a": {"$gt": [1]}},
    {"a": b"bytes"},
    {"a": "\ud800"},
    "a = 1",
    [{"a": 1}],
]


@pytest.mark.parametrize("where", MALFORMED, ids=repr)
def test_a_malformed_filter_is_refused_by_every_call(engine, where):
    engine.upsert([record("d0")])
    with pytest.raises(InvalidFilterError):
        engine.check_filter(where)
    for _, call in [*every_call(engine, where), *writing_calls(engine, where)]:
        with pytest.raises(InvalidFilterError):
            call()
    assert engine.count() == 1


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        (2**53 + 1, 2**53),
        (2**53 + 1, 2**53 + 1),
        (1, 1.0),
        (1.0, 1),
        (1, True),
        (True, 1),
        ("1", 1),
        (0, False),
        (-0.0, 0),
        (None, 0),
        ([1, 2], [1.0, 2.0]),
        ([], None),
        ({"a": 1}, {"a": 1.0}),
        ("a'b", "a'b"),
        ('a"b', 'a"b'),
        ("%", "x"),
        ("é", "e\u0301"),
        ("😀", "😀"),
    ],
    ids=repr,
)
def test_equality_keeps_types_and_values_apart(engine, stored, asked):
    where = {"field": asked}
    engine.upsert([record("d0", field=stored)])
    assert engine.count(where=where) == filters.matches(filters.parse(where), {"field": stored})


FIELDS = ["a.b", "a b", "é", "'", '"', "a-b", "[0]", "$dollar.x", "0", "", "SELECT", "a" * 300, "x\n", "ref_doc_id"]


@pytest.mark.parametrize("name", FIELDS, ids=repr)
def test_fields_of_any_name(engine, name):
    if name.startswith("$"):
        name = f"a.{name}"
    engine.upsert([record("d0", **{name: 1}), record("d1", **{name: 2}), record("d2")])
    assert ids_of(engine.scan(where={name: 2})) == ["d1"]
    assert ids_of(engine.search(unit_vectors(1, 2), 3, where={name: 1})) == ["d0"]


def test_an_operator_that_is_not_declared_is_refused_by_every_call(engine):
    needs_fewer = sorted(OPERATORS - engine.capabilities.filter_operators)
    if not needs_fewer:
        pytest.skip(f"{type(engine).__name__} declares every operator in filter_operators")
    examples = {
        "$gt": {"a": {"$gt": 1}},
        "$gte": {"a": {"$gte": 1}},
        "$lt": {"a": {"$lt": 1}},
        "$lte": {"a": {"$lte": 1}},
        "$eq": {"a": 1},
        "$ne": {"a": {"$ne": 1}},
        "$in": {"a": {"$in": [1, 2]}},
        "$nin": {"a": {"$nin": [1, 2]}},
        "$contains": {"a": {"$contains": "x"}},
        "$exists": {"a": {"$exists": True}},
        "$text": {"$text": {"$contains": "x"}},
        "$and": {"a": 1, "b": 1},
        "$or": {"$or": [{"a": 1}, {"b": 1}]},
        "$not": {"$not": {"a": {"$contains": "x"}}},
    }
    engine.upsert([record("d0", a=1)])
    for operator in needs_fewer:
        where = examples[operator]
        assert operator in filters.operators_of(filters.parse(where))
        for _, call in [*every_call(engine, where), *writing_calls(engine, where)]:
            with pytest.raises(InvalidFilterError) as caught:
                call()
            assert operator in str(caught.value)
            assert type(engine).__name__ in str(caught.value)
    assert engine.count() == 1


def test_lexical_search_filters_too(engine):
    needs(engine, "lexical")
    engine.upsert([record(f"d{number}", text="common text", n=number) for number in range(6)])
    assert sorted(ids_of(engine.search_lexical("common", 10, where={"n": {"$in": [1, 4]}}))) == ["d1", "d4"]
