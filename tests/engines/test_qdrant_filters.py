"""Filters over Qdrant: what `filters.matches` says, in the client's local mode and in Qdrant's own engine."""

from __future__ import annotations

import itertools
import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from qdrant_client import models
from qdrant_client.conversions.conversion import RestToGrpc

from late_interaction import filters
from late_interaction.engines.qdrant.filter_fields import MAX_COMPARED_BYTES, filter_fields, string_chunks, wide_parts
from late_interaction.engines.qdrant.filters import PAYLOAD_INDEXES, compile_filter
from late_interaction.errors import InvalidFilterError
from late_interaction.filters import AllOf, AnyOf, Compare, Contains, Exists, FieldValue, In, Not, TextContains
from tests.conformance import test_filters as conformance
from tests.conformance import test_text_filters as text_filters
from tests.engines import naive_filters
from tests.engines.qdrant_matching import Edge, LocalMode
from tests.engines.test_local_filters import cases
from tests.test_filters import BOOK, TABLE

ENGINES = ["local mode", "Edge", "Edge without indexes"]


def opened(kind, folder, collection, texts=None):
    if kind == "local mode":
        return LocalMode(collection, texts)
    return Edge(folder, collection, texts, indexes=kind == "Edge")


def check(engines, collection, clause, texts=None):
    texts = texts or [""] * len(collection)
    expected = [
        number
        for number, (metadata, text) in enumerate(zip(collection, texts, strict=True))
        if filters.matches(filters.parse(clause), metadata, text)
    ]
    compiled = compile_filter(clause)
    for engine in engines:
        assert engine.passing(compiled) == expected, (type(engine).__name__, clause)
    return expected


@pytest.fixture
def opening(tmp_path):
    """A function that returns every engine with a collection in it."""
    opened_engines = []

    def make(collection, texts=None):
        found = [opened(kind, tmp_path, collection, texts) for kind in ENGINES]
        opened_engines.extend(found)
        return found

    yield make
    for engine in opened_engines:
        engine.close()


def test_a_thousand_random_filters(opening):
    collection, wheres = conformance.random_case()
    engines = opening(collection)
    for _, clause, _ in wheres:
        check(engines, collection, clause)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=cases())
def test_many_random_filters(opening, case):
    collection, wheres = case
    engines = opening(collection)
    for where in wheres:
        check(engines, collection, where)


def test_the_table_of_meanings(opening):
    collection = [BOOK, {}]
    engines = opening(collection)
    for where, passes in TABLE:
        assert (0 in check(engines, collection, where)) is passes


def test_syntax_trees(opening):
    collection = conformance.METADATA
    engines = opening(collection)
    for clause in conformance.TREES.values():
        check(engines, collection, clause)
        check(engines, collection, Not(clause))


NUMBERS = [
    *(0, -0.0, 1, 1.0, -1, 2020, 0.1, 0.1 + 0.2, 0.3, 1 / 3, -1 / 3, 0.333333333333333, 1e-7, 9.9e-8, 5e-324, -5e-324),
    *(2**53 - 1, 2**53, 2**53 + 1, float(2**53), 2**53 + 2, 2**63 - 1, -(2**63), 2.0**63, 2**62 + 1, 1e300, -1e300),
    *(999_999_999_999_999, 10**15, 1e15, 1e15 + 1, 999_999_999_999_999.9, -(10**15) - 1, 123456.789, 2**60 + 511),
]
OPERANDS = [*NUMBERS, float("inf"), float("-inf"), 2**70, -(2**70), 10**300, 0.30000000000000010]


def orders(operand, elements=True):
    return [Compare("n", operator, FieldValue.of(operand), elements) for operator in ("$gt", "$gte", "$lt", "$lte")]


def test_numbers_compare_exactly(opening):
    collection = [{"n": number} for number in NUMBERS] + [{"n": [number, -number]} for number in NUMBERS] + [{}]
    engines = opening(collection)
    for operand in OPERANDS[::2]:
        for clause in orders(filters.parse({"n": operand}).values[0].value):
            check(engines, collection, clause)
        check(engines, collection, {"n": operand})
        check(engines, collection, Compare("n", "$gt", FieldValue.of(float(operand)), elements=False))


def test_numbers_compare_by_their_parts():
    for first, second in itertools.product(OPERANDS, OPERANDS):
        if abs(first) < 2**64 and abs(second) < 2**64:
            assert (wide_parts(first) < wide_parts(second)) is (first < second)
            assert (wide_parts(first) == wide_parts(second)) is (first == second)
        assert max(wide_parts(first)) < 2**44


STRINGS = [
    *("", "a", "A", "ab", "abcdef", "abcdefg", "abcdefgh", "abcdeg", "abcdef\x00", "abcdef" * 2, "abcdef" * 2 + "\x00"),
    *("2020-01-02T03:04:05+00:00", "2020-01-02T03:04:05.5+00:00", "2020-01-02", "2020", "2021", "é", "e\u0301", "z"),
    *("😀", "\uffff", "\U0010ffff", "x" * 94, "x" * 95, "x" * 96, "x" * 97, "x" * 300, "x" * 94 + "y", "é" * 47),
    *("é" * 48, "abcde\x00", "\x00", "\x00" * 7, "ÄRGER", "İstanbul", "ΣΟΦΟΣ"),
]


def test_strings_compare_exactly(opening):
    collection = [{"n": text} for text in STRINGS] + [{"n": [text, "m"]} for text in STRINGS[::4]] + [{"n": 1}, {}]
    engines = opening(collection)
    for operand in STRINGS:
        if len(operand.encode()) > MAX_COMPARED_BYTES:
            continue
        for clause in orders(operand):
            check(engines, collection, clause)
        check(engines, collection, Compare("n", "$lt", FieldValue.of(operand), elements=False))


def test_strings_compare_by_their_parts():
    rng = random.Random(7)
    some = STRINGS + ["".join(rng.choices("ab\x00é😀", k=rng.randrange(30))) for _ in range(200)]
    for first, second in itertools.product(some, some):
        if max(len(first.encode()), len(second.encode())) <= MAX_COMPARED_BYTES:
            assert (string_chunks(first) < string_chunks(second)) is (first < second)


def test_substrings(opening):
    collection = [{"n": text} for text in STRINGS] + [{"n": [text]} for text in STRINGS[::4]]
    engines = opening(collection)
    for part in [
        "",
        "a",
        "A",
        "bc",
        "\x00",
        "é",
        "ä",
        "ärger",
        "i\u0307s",
        "σοφος",
        "σοφο",
        "x" * 96,
        "😀",
        "%",
        "2020",
    ]:
        for ignore_case in (False, True):
            check(engines, collection, Contains("n", FieldValue.of(part), ignore_case=ignore_case))
            check(engines, collection, Not(Contains("n", FieldValue.of(part), elements=False, ignore_case=ignore_case)))


def test_texts(opening):
    collection = [{"n": number} for number in range(len(text_filters.TEXTS))]
    engines = opening(collection, text_filters.TEXTS)
    rng = random.Random(5)
    for _ in range(100):
        where = text_filters.random_where(rng)
        expected = check(engines, collection, where, text_filters.TEXTS)
        assert expected == [
            number
            for number, text in enumerate(text_filters.TEXTS)
            if naive_filters.passes(where, collection[number], text)
        ]


ALWAYS = [
    {},
    AllOf(()),
    Not(AnyOf(())),
    Not(In("a", ())),
    TextContains(""),
    Not(Contains("a", FieldValue.of(1), elements=False)),
    Not(In("_hidden", (FieldValue.of(1),))),
    Not(Exists("_hidden")),
    In("_hidden", (FieldValue.of(None),)),
    AnyOf((AnyOf(()), AllOf((AllOf(()), Not(AnyOf(())))))),
]


@pytest.mark.parametrize("number", range(len(ALWAYS)))
def test_what_always_and_never_passes(opening, number):
    collection = [{}, {"a": 1}, {"_hidden": 1}]
    engines = opening(collection)
    clause = filters.parse(ALWAYS[number])
    for depth in range(3):
        assert check(engines, collection, clause) == [0, 1, 2]
        assert check(engines, collection, Not(clause)) == []
        clause = AllOf((AnyOf((clause,)),)) if depth else Not(Not(clause))


@pytest.mark.parametrize("field", ["", ".", 'quote"', "a[0]", "a[]", "é" * 40, "ключ", "a b", "x" * 64, "x" * 65])
def test_fields_of_any_name(opening, field):
    collection = [{field: 1}, {field: "some text"}, {field: ["a", 2]}, {field + "x": 1}, {}]
    engines = opening(collection)
    for condition in [1, {"$gte": 1}, {"$lt": "z"}, {"$contains": "me"}, {"$contains": "a"}, {"$exists": False}]:
        check(engines, collection, {field: condition})


def test_the_deepest_filter_fits_in_a_message(opening):
    where = {"a": {"$not": {"$gte": 1, "$lt": 9}}}
    for level in range(30):
        where = {"$or" if level % 2 else "$and": [where, {"b": level}]}
    with pytest.raises(InvalidFilterError):
        filters.parse({"$or": [{"$or": [where]}]})
    collection = [{"a": 3}, {"a": 30}, {"b": 27}, {}]
    check(opening(collection), collection, where)
    message = RestToGrpc.convert_filter(compile_filter(where))
    assert type(message).FromString(message.SerializeToString()) == message


def test_thousands_of_clauses(opening):
    collection = [{"year": 2020}, {}]
    engines = opening(collection)
    clauses = [{"year": {"$gt": 10_000 + number}} for number in range(300)]
    assert check(engines, collection, {"$or": [*clauses, {"year": 2020}]}) == [0]
    assert check(engines, collection, {"year": {"$in": [*range(9_000, 19_000), 2020]}}) == [0]


def test_a_string_that_is_too_long_to_compare_with():
    with pytest.raises(InvalidFilterError, match=r"at most 95 bytes in UTF-8, got 96 bytes"):
        compile_filter({"a": {"$gt": "é" * 48}})
    compile_filter({"a": {"$gt": "é" * 47}})
    compile_filter({"a": "é" * 1000})
    compile_filter({"a": {"$contains": "é" * 1000}})


def test_a_malformed_filter():
    with pytest.raises(InvalidFilterError):
        compile_filter({"a": {"$regex": "x"}})


@pytest.mark.parametrize(
    "metadata",
    [
        {"list": list(range(20_000))},
        {"list": [f"name {number}" for number in range(5_000)]},
        {"text": "Ärger " * 50_000},
        {f"key{number}": number for number in range(5_000)},
        {"pages": [{"page": number, "label": "x" * 20} for number in range(2_000)]},
    ],
    ids=["numbers", "strings", "text", "keys", "dicts"],
)
def test_what_is_stored_is_linear_in_the_metadata(metadata):
    size = len(json.dumps(metadata, ensure_ascii=False).encode())
    assert len(json.dumps(filter_fields(metadata), ensure_ascii=False).encode()) < 12 * size


def test_what_is_stored_does_not_grow_with_nesting():
    inner = {f"key{number}": number for number in range(200)}
    sizes = []
    for _ in range(14):
        inner = {"a-long-name-of-a-level": inner}
        sizes.append(len(json.dumps(filter_fields({"top": inner}))))
    assert sizes[-1] < 2 * sizes[0] + 14 * 1_000


def test_the_empty_should_of_qdrant_never_occurs():
    for where in [{"a": {"$in": []}}, AnyOf(()), AllOf((AnyOf(()), AnyOf(()))), Not(AllOf(()))]:
        assert '"should":[]' not in compile_filter(where).model_dump_json()
        assert isinstance(compile_filter(where), models.Filter)


def test_a_keyword_announces_values_that_few_fields_have():
    def announced(metadata):
        return [key for key in filter_fields(metadata)["keys"] if key.count('","') == 1]

    assert announced({"year": 2020, "title": "Nile", "tags": []}) == []
    assert announced({"n": 1 / 3}) == ['["n","values.wide"]']
    assert announced({"n": [1, 1 / 3, "a", True, None]}) == [
        *('["n","elements.numbers"]', '["n","elements.wide"]', '["n","elements.strings"]')
    ]


@pytest.mark.parametrize("condition", [{"$gte": 2020}, {"$lt": "2020-01-01"}, {"$contains": "Nile"}])
def test_every_alternative_of_a_comparison_asks_the_index_first(condition):
    compiled = compile_filter({"a": condition})
    for alternative in compiled.should or [compiled]:
        first = alternative.must[0] if isinstance(alternative, models.Filter) else alternative
        assert first.key in PAYLOAD_INDEXES
