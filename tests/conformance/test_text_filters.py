"""``$text`` in filters: a substring of the text of a document, in every engine and before scoring."""

from __future__ import annotations

import random

import pytest

from late_interaction import Document, filters
from late_interaction.errors import InvalidRequestError
from late_interaction.filters import TextContains
from tests.conformance.helpers import ids_of, needs_operators, record, unit_vectors
from tests.conformance.test_filters import every_call
from tests.engines import naive_filters

TEXTS = [
    "the Nile",
    "the nile",
    "",
    "NILE",
    "Ärger im Café",
    "a\0b Nile",
    "100 % 'x' \"y\" _",
    "😀 Nile \u202e",
    "İstanbul",
]
PARTS = ["Nile", "nile", "N", "", "é", "\0", "\0b", "%", "_", "'", '"', "😀", "the Nile ", "İ", "i", "100 % 'x'"]


def random_where(rng, depth=0):
    """A filter over texts, and a field of metadata."""
    kind = rng.randrange(6 if depth < 3 else 3)
    if kind < 2:
        return {"$text": {rng.choice(["$contains", "$not_contains"]): rng.choice(PARTS)}}
    if kind == 2:
        return {"n": {"$gte": rng.randrange(len(TEXTS))}}
    if kind == 3:
        return {"$not": random_where(rng, depth + 1)}
    return {rng.choice(["$and", "$or"]): [random_where(rng, depth + 1) for _ in range(rng.randrange(1, 4))]}


def test_random_filters(engine):
    needs_operators(engine, *filters.OPERATORS)
    engine.upsert([record(f"d{number}", text=text, n=number) for number, text in enumerate(TEXTS)])
    rng = random.Random(5)
    some = 0
    for _ in range(60):
        where = random_where(rng)
        expected = [f"d{n}" for n, text in enumerate(TEXTS) if naive_filters.passes(where, {"n": n}, text)]
        some += 0 < len(expected) < len(TEXTS)
        for kind, call in every_call(engine, where):
            found = call()
            if kind == "count":
                assert found == len(expected), where
            elif kind == "search_lexical":
                assert set(found) <= set(expected), where
            else:
                assert sorted(found) == expected, (kind, where)
    assert some > 20


def test_as_many_hits_as_asked_where_enough_pass(engine):
    needs_operators(engine, "$text")
    engine.upsert(
        [record(f"d{number}", text=f"{'rare' if number % 5 == 0 else 'usual'} {number}") for number in range(40)]
    )
    found = engine.search(unit_vectors(3, 4), 6, where={"$text": {"$contains": "rare"}})
    assert len(found) == 6
    assert {int(match.id[1:]) % 5 for match in found} == {0}


def test_the_text_is_that_of_the_document_and_not_the_encoded_one(index):
    needs_operators(index.engine, "$text")
    index.add([Document("the Nile", id="a", encoded_text="a river of Africa"), Document("Africa", id="b")])
    assert [document.id for document in index.scan(where={"$text": {"$contains": "Africa"}})] == ["b"]


def test_deleting_by_text(engine):
    needs_operators(engine, "$text")
    engine.upsert([record("a", text="the Nile"), record("b", text="the Rhine")])
    for everything in ({"$text": {"$contains": ""}}, TextContains("")):
        with pytest.raises(InvalidRequestError, match="matches every document"):
            engine.delete(where=everything)
    assert engine.delete(where={"$text": {"$contains": "Nile"}}) == 1
    assert ids_of(engine.scan()) == ["b"]
    engine.upsert([record("c")], replacing={"$text": {"$not_contains": "x"}})
    assert ids_of(engine.scan()) == ["c"]
