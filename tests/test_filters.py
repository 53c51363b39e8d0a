"""The ``where`` language: what each operator means, by hand, for `matches` and for the SQL the local engine makes."""

from __future__ import annotations

import math

import pytest

from late_interaction import filters
from late_interaction.documents import Document
from late_interaction.engines import LocalEngine, Record
from late_interaction.errors import InvalidFilterError, LateInteractionError

BOOK = {
    "title": "Ärger im Café",
    "year": 2020,
    "price": 9.5,
    "new": True,
    "sold": False,
    "tags": ["red", "blue", 7],
    "author": {"name": "Ada", "born": {"year": 1815}},
    "editors": [{"name": "Bo", "age": 30}, {"name": "Cy", "age": 50}, "anonymous"],
    "grid": [["x", "y"], ["z"]],
    "nothing": None,
    "holes": [None, "full"],
    "empty": [],
    "bare": {},
    "zero": 0,
    "": "no name",
    "dotted.key": "flat",
    "_hidden": 1,
}

# (filter, whether BOOK passes)
TABLE = [
    ({}, True),
    # equality
    ({"year": 2020}, True),
    ({"year": 2021}, False),
    ({"year": {"$eq": 2020}}, True),
    ({"year": 2020.0}, True),
    ({"price": 9.5}, True),
    ({"title": "Ärger im Café"}, True),
    ({"title": "ärger im café"}, False),
    ({"title": "A\u0308rger im Cafe\u0301"}, False),  # the same letters, decomposed: other characters
    ({"title": "Ärger"}, False),
    ({"": "no name"}, True),
    # several fields and operators at once are all required
    ({"year": 2020, "price": 9.5}, True),
    ({"year": 2020, "price": 9}, False),
    ({"year": {"$gt": 2019, "$lt": 2021}}, True),
    ({"year": {"$gt": 2019, "$lt": 2020}}, False),
    # types are never mixed
    ({"year": "2020"}, False),
    ({"new": True}, True),
    ({"new": 1}, False),
    ({"new": 1.0}, False),
    ({"new": "True"}, False),
    ({"sold": False}, True),
    ({"sold": 0}, False),
    ({"sold": None}, False),
    ({"zero": 0}, True),
    ({"zero": -0.0}, True),
    ({"zero": False}, False),
    ({"zero": None}, False),
    ({"tags": [1, 2]}, False),
    # null and missing
    ({"nothing": None}, True),
    ({"missing": None}, True),
    ({"year": None}, False),
    ({"empty": None}, False),
    ({"bare": None}, False),
    ({"holes": None}, True),
    ({"nothing": 0}, False),
    ({"nothing": ""}, False),
    ({"nothing": False}, False),
    ({"missing": 0}, False),
    ({"author.missing": None}, True),
    ({"author.name.deeper": None}, True),
    # lists match by element or as a whole
    ({"tags": "red"}, True),
    ({"tags": "re"}, False),
    ({"tags": 7}, True),
    ({"tags": "7"}, False),
    ({"tags": ["red", "blue", 7]}, True),
    ({"tags": ["red", "blue", 7.0]}, True),
    ({"tags": ("red", "blue", 7)}, True),
    ({"tags": ["blue", "red", 7]}, False),
    ({"tags": ["red", "blue"]}, False),
    ({"tags": ["red", "blue", True]}, False),
    ({"empty": []}, True),
    ({"tags": []}, False),
    ({"missing": []}, False),
    ({"grid": ["x", "y"]}, True),
    ({"grid": ["z"]}, True),
    ({"grid": "x"}, False),
    ({"grid": [["x", "y"], ["z"]]}, True),
    # dicts match as a whole, whatever the order of their keys
    ({"author": {"born": {"year": 1815}, "name": "Ada"}}, True),
    ({"author": {"name": "Ada"}}, False),
    ({"author.born": {"year": 1815.0}}, True),
    ({"author.born": {"year": "1815"}}, False),
    ({"bare": {}}, True),
    ({"empty": {}}, False),
    ({"editors": {"name": "Bo", "age": 30}}, True),
    ({"editors": {"name": "Bo"}}, False),
    ({"editors": "anonymous"}, True),
    # dotted paths, also through lists of dicts
    ({"author.name": "Ada"}, True),
    ({"author.born.year": 1815}, True),
    ({"author.born.year": {"$lt": 1900}}, True),
    ({"name": "Ada"}, False),
    ({"editors.name": "Cy"}, True),
    ({"editors.name": "Di"}, False),
    ({"editors.age": {"$gte": 50}}, True),
    ({"editors.age": {"$gt": 50}}, False),
    ({"editors.0.name": "Bo"}, False),
    ({"editors.0": {"$exists": True}}, False),
    ({"grid.x": {"$exists": True}}, False),
    ({"dotted.key": "flat"}, True),
    # two conditions on a list of dicts may be met by two elements
    ({"editors.name": "Bo", "editors.age": 50}, True),
    # $ne, $nin and $not are plain negations: also true of what is missing
    ({"year": {"$ne": 2021}}, True),
    ({"year": {"$ne": 2020}}, False),
    ({"year": {"$ne": "2020"}}, True),
    ({"missing": {"$ne": 1}}, True),
    ({"missing": {"$ne": None}}, False),
    ({"nothing": {"$ne": None}}, False),
    ({"year": {"$ne": None}}, True),
    ({"tags": {"$ne": "red"}}, False),
    ({"tags": {"$ne": "green"}}, True),
    ({"empty": {"$ne": "x"}}, True),
    ({"year": {"$nin": [1, 2]}}, True),
    ({"year": {"$nin": [1, 2020]}}, False),
    ({"year": {"$nin": []}}, True),
    ({"missing": {"$nin": [1, 2]}}, True),
    ({"missing": {"$nin": [1, None]}}, False),
    ({"tags": {"$nin": ["green", "blue"]}}, False),
    ({"year": {"$not": {"$gt": 2020}}}, True),
    ({"year": {"$not": {"$gt": 2019}}}, False),
    ({"year": {"$not": 2020}}, False),
    ({"year": {"$not": {"$not": 2020}}}, True),
    ({"missing": {"$not": {"$gt": 0}}}, True),
    ({"missing": {"$not": {"$exists": False}}}, False),
    ({"$not": {"year": 2020}}, False),
    ({"$not": {"missing": 1}}, True),
    ({"$not": {}}, False),
    ({"$not": {"year": 2020, "price": 0}}, True),
    # $in
    ({"year": {"$in": [1, 2020]}}, True),
    ({"year": {"$in": (1, 2020)}}, True),
    ({"year": {"$in": {1, 2020}}}, True),
    ({"year": {"$in": [1, "2020", True]}}, False),
    ({"year": {"$in": []}}, False),
    ({"new": {"$in": [1, "x"]}}, False),
    ({"new": {"$in": [1, True]}}, True),
    ({"missing": {"$in": [None, 3]}}, True),
    ({"missing": {"$in": []}}, False),
    ({"tags": {"$in": ["green", "blue"]}}, True),
    ({"tags": {"$in": [["red", "blue", 7]]}}, True),
    ({"editors": {"$in": [{"age": 50, "name": "Cy"}]}}, True),
    # order
    ({"year": {"$gt": 2019}}, True),
    ({"year": {"$gt": 2020}}, False),
    ({"year": {"$gt": 2019.5}}, True),
    ({"year": {"$gte": 2020}}, True),
    ({"year": {"$gte": 2020.5}}, False),
    ({"year": {"$lt": 2021}}, True),
    ({"year": {"$lt": 2020}}, False),
    ({"year": {"$lte": 2020}}, True),
    ({"year": {"$lte": 2019}}, False),
    ({"year": {"$lt": math.inf}}, True),
    ({"year": {"$lt": -math.inf}}, False),
    ({"year": {"$lt": 10**30}}, True),
    ({"year": {"$gt": "1000"}}, False),
    ({"year": {"$lt": "3000"}}, False),
    ({"title": {"$gt": "Z"}}, True),  # by code point: "Ä" comes after "Z"
    ({"title": {"$lt": "Z"}}, False),
    ({"title": {"$gte": "Ärger im Café"}}, True),
    ({"title": {"$gt": ""}}, True),
    ({"title": {"$gt": 0}}, False),
    ({"new": {"$gt": 0}}, False),
    ({"new": {"$lte": 1}}, False),
    ({"nothing": {"$lte": 0}}, False),
    ({"nothing": {"$gte": 0}}, False),
    ({"missing": {"$lte": 0}}, False),
    ({"tags": {"$gt": 6}}, True),
    ({"tags": {"$gt": 7}}, False),
    ({"tags": {"$lt": "c"}}, True),
    ({"tags": {"$lt": "b"}}, False),
    ({"bare": {"$gte": ""}}, False),
    ({"empty": {"$gte": ""}}, False),
    # $all
    ({"tags": {"$all": ["blue", "red"]}}, True),
    ({"tags": {"$all": ["blue", "green"]}}, False),
    ({"tags": {"$all": [7]}}, True),
    ({"year": {"$all": [2020]}}, True),
    ({"grid": {"$all": [["z"], ["x", "y"]]}}, True),
    ({"missing": {"$all": ["a"]}}, False),
    # $contains is Python's `in`
    ({"title": {"$contains": "rger"}}, True),
    ({"title": {"$contains": "RGER"}}, False),
    ({"title": {"$contains": "é"}}, True),
    ({"title": {"$contains": "e"}}, True),
    ({"title": {"$contains": "%"}}, False),
    ({"title": {"$contains": "_"}}, False),
    ({"title": {"$contains": ""}}, True),
    ({"title": {"$contains": 1}}, False),
    ({"tags": {"$contains": "red"}}, True),
    ({"tags": {"$contains": "re"}}, False),
    ({"tags": {"$contains": ""}}, False),
    ({"tags": {"$contains": 7}}, True),
    ({"tags": {"$contains": "7"}}, False),
    ({"tags": {"$contains": True}}, False),
    ({"grid": {"$contains": ["z"]}}, True),
    ({"grid": {"$contains": "z"}}, False),
    ({"editors": {"$contains": {"age": 30, "name": "Bo"}}}, True),
    ({"editors.name": {"$contains": "y"}}, True),
    ({"holes": {"$contains": None}}, True),
    ({"empty": {"$contains": None}}, False),
    ({"missing": {"$contains": None}}, False),
    ({"missing": {"$contains": ""}}, False),
    ({"nothing": {"$contains": None}}, False),
    ({"year": {"$contains": 2020}}, False),
    ({"year": {"$contains": "20"}}, False),
    # $exists
    ({"year": {"$exists": True}}, True),
    ({"year": {"$exists": False}}, False),
    ({"missing": {"$exists": True}}, False),
    ({"missing": {"$exists": False}}, True),
    ({"nothing": {"$exists": True}}, True),
    ({"empty": {"$exists": True}}, True),
    ({"bare": {"$exists": True}}, True),
    ({"author": {"$exists": True}}, True),
    ({"author.name": {"$exists": True}}, True),
    ({"author.age": {"$exists": True}}, False),
    ({"editors.name": {"$exists": True}}, True),
    ({"author.name": {"$exists": False}}, False),
    # logic
    ({"$and": [{"year": 2020}, {"new": True}]}, True),
    ({"$and": [{"year": 2020}, {"new": False}]}, False),
    ({"$or": [{"year": 1}, {"new": True}]}, True),
    ({"$or": [{"year": 1}, {"new": False}]}, False),
    ({"$or": [{}]}, True),
    ({"$or": [{"year": 2020}], "new": False}, False),
    ({"$or": [{"year": 1}, {"$and": [{"new": True}, {"$not": {"tags": "green"}}]}]}, True),
    ({"$and": [{"$or": [{"a": 1}, {"b": 2}]}, {"year": 2020}]}, False),
    ({"$not": {"$or": [{"year": 1}, {"year": 2}]}}, True),
    ({"$not": {"$and": [{"year": 2020}, {"$not": {"year": 1}}]}}, False),
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with LocalEngine.open(tmp_path_factory.mktemp("filters") / "index", dim=2) as engine:
        engine.upsert(
            [
                Record(Document("", id="other", metadata={}), [[1, 0]]),
                Record(Document("", id="book", metadata=BOOK), [[1, 0]]),
            ]
        )
        yield engine


@pytest.mark.parametrize(("where", "passes"), TABLE, ids=repr)
def test_the_meaning_of_a_filter(engine, where, passes):
    assert filters.matches(filters.parse(where), BOOK) is passes
    assert ("book" in {document.id for document in engine.scan(where=where)}) is passes
    # what holds of a document that has nothing: the same filter, its outcome also known to both
    of_nothing = filters.matches(filters.parse(where), {})
    assert engine.count(where=where) == passes + of_nothing


def test_a_document_without_metadata_meets_only_negations_and_null():
    def passes(where):
        return filters.matches(filters.parse(where), {})

    assert passes({})
    assert passes({"a": None})
    assert passes({"a": {"$ne": 1}})
    assert passes({"a": {"$nin": [1]}})
    assert passes({"a": {"$not": {"$gt": 1}}})
    assert passes({"a": {"$exists": False}})
    assert not passes({"a": 1})
    assert not passes({"a": {"$gt": 1}})
    assert not passes({"a": {"$contains": "x"}})
    assert not passes({"a": {"$ne": None}})


@pytest.mark.parametrize(
    ("stored", "asked", "passes"),
    [
        (2**53 + 1, 2**53 + 1, True),
        (2**53 + 1, 2**53, False),
        (2**53 + 1, float(2**53), False),
        (2**63 - 1, 2**63 - 1, True),
        (2**63 - 1, 2**63, False),
        (-(2**63), -(2**63), True),
        (-(2**63), -(2.0**63), True),
        (2.0**63, 2**63, True),
        (1e300, 10**300, True),
        (0.1 + 0.2, 0.3, False),
        ([2**53 + 1], [2**53 + 1], True),
        ([2**53 + 1], [2**53], False),
        ([1.0, {"n": 2.0}], [1, {"n": 2}], True),
        (["é"], ["é"], True),
        ("a\x00b", "a\x00b", True),
        ("a\x00b", "a", False),
        ("a\x00b", {"$contains": "\x00b"}, True),
        ("😀", {"$gt": "\uffff"}, True),  # by code point, where UTF-16 would say otherwise
    ],
)
def test_equality_at_the_edges_of_types(tmp_path, stored, asked, passes):
    where = {"field": asked}
    assert filters.matches(filters.parse(where), {"field": stored}) is passes
    with LocalEngine.open(tmp_path, dim=1) as engine:
        engine.upsert([Record(Document("", id="a", metadata={"field": stored}), [[1]])])
        assert engine.count(where=where) == passes


def nested(value, levels, wrap):
    for _ in range(levels):
        value = wrap(value)
    return value


MALFORMED = {
    "not a dict": "year = 2020",
    "a list": [{"year": 2020}],
    "none": None,
    "unknown operator at the top": {"$xor": [{"a": 1}]},
    "an operator of MongoDB that is not here": {"$nor": [{"a": 1}]},
    "unknown operator in a field": {"a": {"$regex": "x"}},
    "operator of a field at the top": {"$gt": 3},
    "operator of the top in a field": {"a": {"$and": [{"$gt": 3}]}},
    "an operator mixed with a key": {"a": {"$gt": 3, "b": 1}},
    "an operator mixed with a number": {"a": {"$gt": 3, 4: 1}},
    "a field that is no string": {1: 2},
    "a private field": {"_hidden": 1},
    "a private field with operators": {"_hidden": {"$exists": True}},
    "a private path": {"_hidden.key": 1},
    "a private field deep inside": {"$or": [{"a": 1}, {"$not": {"_b": 1}}]},
    "and of a dict": {"$and": {"a": 1}},
    "and of nothing": {"$and": []},
    "or of nothing": {"$or": []},
    "or of a string": {"$or": "ab"},
    "or of values": {"$or": [1, 2]},
    "or of a generator": {"$or": ({"a": n} for n in range(3))},
    "not of a list": {"$not": [{"a": 1}]},
    "not of a value": {"$not": 1},
    "gt of a list": {"a": {"$gt": [1]}},
    "gt of none": {"a": {"$gt": None}},
    "gte of a bool": {"a": {"$gte": True}},
    "lt of a dict": {"a": {"$lt": {"b": 1}}},
    "lte of bytes": {"a": {"$lte": b"x"}},
    "in of a string": {"a": {"$in": "abc"}},
    "in of a number": {"a": {"$in": 3}},
    "in of a dict": {"a": {"$in": {"b": 1}}},
    "in of none": {"a": {"$in": None}},
    "nin of a string": {"a": {"$nin": "abc"}},
    "all of a string": {"a": {"$all": "abc"}},
    "all of nothing": {"a": {"$all": []}},
    "exists of a number": {"a": {"$exists": 1}},
    "exists of none": {"a": {"$exists": None}},
    "nan": {"a": math.nan},
    "nan of gt": {"a": {"$gt": math.nan}},
    "nan of in": {"a": {"$in": [1, math.nan]}},
    "nan in a list": {"a": [1, math.nan]},
    "nan in a dict": {"a": {"b": math.nan}},
    "bytes": {"a": b"x"},
    "a set": {"a": {1, 2}},
    "an object": {"a": object()},
    "a complex number": {"a": 1j},
    "an object in a list": {"a": {"$in": [object()]}},
    "a surrogate": {"a": "\ud800"},
    "a surrogate in a list": {"a": ["\udfff"]},
    "a surrogate of contains": {"a": {"$contains": "x\ud83d"}},
    "a surrogate of gt": {"a": {"$gt": "\ud800"}},
    "a surrogate of in": {"a": {"$in": ["ok", "\ud800"]}},
    "a surrogate in the field": {"\ud800": 1},
    "a surrogate in the field of an operator": {"a.\ud800": {"$exists": True}},
    "a huge integer of gt": {"a": {"$gt": 10**400}},
    "deep not": nested({"a": 1}, 5_000, lambda inner: {"$not": inner}),
    "deep not of a field": {"a": nested(1, 5_000, lambda inner: {"$not": inner})},
    "deep and": nested({"a": 1}, 5_000, lambda inner: {"$and": [inner]}),
    "deep or": nested({"a": 1}, 100, lambda inner: {"$or": [inner, {"b": 1}]}),
    "a deep list": {"a": nested(1, 100_000, lambda inner: [inner])},
    "a deep list of gt": {"a": {"$gt": nested(1, 100_000, lambda inner: [inner])}},
    "a deep list for and": {"$and": [nested(1, 100_000, lambda inner: [inner])]},
    "a deep dict": {"a": nested(1, 100_000, lambda inner: {"b": inner})},
    "a deep dict for and": {"$and": nested(1, 100_000, lambda inner: {"b": inner})},
    "a deep dict for in": {"a": {"$in": nested(1, 100_000, lambda inner: {"b": inner})}},
    "a deep dict for all": {"a": {"$all": nested(1, 100_000, lambda inner: {"b": inner})}},
    "a deep list for exists": {"a": {"$exists": nested(1, 100_000, lambda inner: [inner])}},
    "a deep list for in": {"a": {"$in": [nested(1, 100_000, lambda inner: [inner])]}},
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_filter_is_a_clear_error(name):
    with pytest.raises(InvalidFilterError) as caught:
        filters.parse(MALFORMED[name])
    assert 10 < len(str(caught.value)) < 1_000
    assert isinstance(caught.value, LateInteractionError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("where", [{"a": {"$regex": "x"}}, {"\ud800": 1}, {"_a": 1}], ids=repr)
def test_every_call_of_an_engine_refuses_a_malformed_filter(engine, where):
    for call in (
        lambda: engine.count(where=where),
        lambda: list(engine.scan(where=where)),
        lambda: engine.search([[1, 0]], where=where),
        lambda: engine.search_lexical("word", where=where),
        lambda: engine.delete(where=where),
    ):
        with pytest.raises(InvalidFilterError):
            call()
    assert engine.count() == 2


def test_keys_that_are_no_strings_equal_nothing():
    """Metadata has string keys only, and ``1`` is not ``"1"``."""
    try:
        clause = filters.parse({"a": {1: 2}})
    except InvalidFilterError:
        return
    assert not filters.matches(clause, {"a": {"1": 2}})


def test_the_message_names_what_is_wrong_and_what_is_known():
    with pytest.raises(InvalidFilterError, match=r"\$regex.*'title'.*\$contains"):
        filters.parse({"title": {"$regex": "x"}})
    with pytest.raises(InvalidFilterError, match=r"\$xor"):
        filters.parse({"$xor": []})
    with pytest.raises(InvalidFilterError, match=r"\$gt.*'year'.*number or a string"):
        filters.parse({"year": {"$gt": None}})


def test_reasonable_nesting_is_fine(engine):
    where = nested({"year": 2020}, 12, lambda inner: {"$not": {"$or": [{"nope": 1}, inner]}})
    assert filters.matches(filters.parse(where), BOOK)  # an even number of negations
    assert "book" in {document.id for document in engine.scan(where=where)}
    value = nested("x", 30, lambda inner: [inner])
    assert filters.matches(filters.parse({"a": value}), {"a": value})


def test_thousands_of_clauses(engine):
    clauses = [{"year": {"$gt": 10_000 + n}} for n in range(2_999)]
    assert engine.count(where={"$or": clauses}) == 0
    assert engine.count(where={"$or": [*clauses, {"year": 2020}]}) == 1
    assert [match.id for match in engine.search([[1, 0]], where={"$or": [*clauses, {"year": 2020}]})] == ["book"]
    assert engine.count(where={"$and": [{"year": {"$lt": 10_000 + n}} for n in range(3_000)]}) == 1
    assert engine.count(where={"year": {"$in": [*range(9_000, 14_000), 2020]}}) == 1


def test_more_operands_than_sql_takes_is_a_clear_error(engine):
    with pytest.raises(InvalidFilterError, match="operands"):
        engine.count(where={"year": {"$in": list(range(40_000))}})


def test_parsing_neither_changes_nor_keeps_the_dict():
    tags = ["a", "b"]
    where = {"tags": {"$in": tags}, "$or": [{"x": [1.0]}, {"y": {"k": (1, 2)}}]}
    copy = {"tags": {"$in": ["a", "b"]}, "$or": [{"x": [1.0]}, {"y": {"k": (1, 2)}}]}
    clause = filters.parse(where)
    assert where == copy
    tags.append("c")
    assert not filters.matches(clause, {"tags": "c", "x": [1]})
    assert filters.matches(clause, {"tags": "b", "x": [1]})


def test_field_values_lists_what_can_be_asked():
    found = [
        (path, value.kind, value.value, value.is_element)
        for path, value in filters.field_values({"a": {"b": [1, {"c": True}]}, "_p": 1, "n": None})
    ]
    assert sorted(found, key=repr) == sorted(
        [
            ("a", "json", '{"b": [1, {"c": true}]}', False),
            ("a.b", "json", '[1, {"c": true}]', False),
            ("a.b", "number", 1, True),
            ("a.b", "json", '{"c": true}', True),
            ("a.b.c", "bool", True, False),
            ("n", "null", None, False),
        ],
        key=repr,
    )
