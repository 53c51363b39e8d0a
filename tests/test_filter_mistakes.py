"""Filters that were mistyped: operators without their ``$``, misspelt ones, malformed conditions on the text."""

from __future__ import annotations

import pytest

from late_interaction import filters
from late_interaction.errors import InvalidFilterError
from late_interaction.filters import Not, TextContains

WITHOUT_DOLLAR = [
    ({"year": {"gt": 3}}, r"\{'year': \{'\$gt': 3\}\}"),
    ({"year": {"gte": 3, "lt": 5}}, r"'\$gte': 3, '\$lt': 5"),
    ({"tags": {"in": ["a"]}}, r"\$in"),
    ({"tags": {"nin": ["a"]}}, r"\$nin"),
    ({"year": {"not": {"$gt": 3}}}, r"\$not"),
    ({"year": {"$not": {"gt": 3}}}, r"\$gt"),
    ({"$or": [{"a": 1}, {"year": {"eq": 3}}]}, r"\$eq"),
    ({"or": [{"a": 1}, {"b": 2}]}, r"'\$or' instead of 'or'"),
    ({"and": [{"a": {"$gt": 1}}]}, r"'\$and' instead of 'and'"),
    ({"not": {"a": 1}}, r"'\$not' instead of 'not'"),
]


@pytest.mark.parametrize(("where", "message"), WITHOUT_DOLLAR, ids=repr)
def test_an_operator_without_its_dollar_is_an_error(where, message):
    with pytest.raises(InvalidFilterError, match=message):
        filters.parse(where)


@pytest.mark.parametrize(
    ("where", "metadata"),
    [
        ({"size": {"in": 3, "cm": 7.6}}, {"size": {"in": 3, "cm": 7.6}}),  # not every key is the name of an operator
        ({"size": {"$eq": {"in": 3}}}, {"size": {"in": 3}}),
        ({"size": {}}, {"size": {}}),
        ({"not": {"$eq": {"a": 1}}}, {"not": {"a": 1}}),
        ({"not": {"$gt": 1}}, {"not": 2}),
        ({"or": {"$eq": [{"a": 1}]}}, {"or": [{"a": 1}]}),
        ({"or": ["a", "b"]}, {"or": ["a", "b"]}),
        ({"and": []}, {"and": []}),
        ({"not": True}, {"not": True}),
        ({"gt": 3}, {"gt": 3}),
        ({"text": {"$contains": "x"}}, {"text": "xyz"}),
    ],
    ids=repr,
)
def test_a_dict_and_a_field_of_such_a_name_can_be_asked_for(where, metadata):
    assert filters.matches(filters.parse(where), metadata)
    assert not filters.matches(filters.parse(where), {})


@pytest.mark.parametrize(
    ("where", "nearest"),
    [
        ({"year": {"$get": 3}}, r"\$gte|\$gt"),
        ({"year": {"$gte": 1, "lte": 3}}, r"\$lte"),
        ({"year": {"$exist": True}}, r"\$exists"),
        ({"title": {"$contain": "x"}}, r"\$contains"),
        ({"$nor": [{"a": 1}]}, r"\$not|\$or"),
        ({"$And": [{"a": 1}]}, r"\$and"),
        ({"$texts": {"$contains": "x"}}, r"\$text"),
        ({"$text": {"$contain": "x"}}, r"\$contains"),
    ],
    ids=repr,
)
def test_a_misspelt_operator_suggests_the_nearest(where, nearest):
    with pytest.raises(InvalidFilterError, match=rf"Did you mean '({nearest})'\?"):
        filters.parse(where)


@pytest.mark.parametrize(
    "condition",
    [
        "Nile",
        None,
        [],
        {},
        {"$gt": "a"},
        {"$contains": 3},
        {"$contains": None},
        {"$not_contains": ["a"]},
        {"$contains": "\ud800"},
        {"contains": "x"},
    ],
    ids=repr,
)
def test_a_condition_on_the_text_of_another_form_is_an_error(condition):
    with pytest.raises(InvalidFilterError, match=r"\$text"):
        filters.parse({"$text": condition})


def test_a_condition_on_the_text():
    assert filters.parse({"$text": {"$contains": "a", "$not_contains": "b"}}).clauses == (
        TextContains("a"),
        Not(TextContains("b")),
    )
    assert filters.matches(filters.parse({"$text": {"$contains": "a"}}), {}, "cat")
    with pytest.raises(InvalidFilterError, match="Pass the text"):
        filters.matches(TextContains("a"), {})
