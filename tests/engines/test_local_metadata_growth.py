"""What metadata costs in the catalog: bounded by its size, however it is nested and whatever its keys are."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from late_interaction.documents import Document
from late_interaction.engines import LocalEngine
from late_interaction.errors import InvalidDocumentError
from late_interaction.filters import matches, parse
from tests.engines.helpers import DIM, record

GROWTH = 50
"""What the README promises: the catalog grows by at most so many bytes for each byte of metadata."""

SIZE = 100_000


def nested(levels, inner):
    for _ in range(levels):
        inner = {"a": inner}
    return inner


def filled(make):
    """Metadata of about `SIZE` bytes: as many parts as fit."""
    parts = SIZE // len(json.dumps(make(10_000)))
    return [make(10_000 + number) for number in range(parts)]


SHAPES = {
    "one string, deep": nested(15, "x" * SIZE),
    "one list, deep": nested(14, list(range(SIZE // 8))),
    "numbers": {"n": filled(lambda n: n)},
    "numbers under a long key": {"k" * 64: filled(lambda n: n)},
    "long keys, wide": {"k" * (SIZE // 2): {f"{n}": 1 for n in range(SIZE // 20)}},
    "long keys at each level": json.loads(
        '{"' + '":{"'.join(c * (SIZE // 16) for c in string.ascii_lowercase[:15]) + '":1' + "}" * 15
    ),
    "deep dicts in a list": {"k" * 50: filled(lambda n: nested(13, n))},
    "lists of lists": {"k": filled(lambda n: [[[n]]])},
    "many keys": {f"k{n}": n for n in range(SIZE // 15)},
    "keys of many bytes": {"k" * 30: {f"\u4e2d{n}": None for n in range(SIZE // 18)}},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_catalog_grows_by_a_bounded_factor(root, shape):
    metadata = SHAPES[shape]
    size = len(json.dumps(metadata, ensure_ascii=False).encode())
    assert SIZE / 3 < size < 2 * SIZE
    with LocalEngine.open(root, dim=DIM) as engine:
        engine.upsert([record("first")])
    before = (root / "catalog.sqlite").stat().st_size
    with LocalEngine.open(root) as engine:
        engine.upsert([record("hostile", **metadata)])
        assert engine.get(["hostile"])[0].metadata == metadata
        assert engine.verify().problems == ()
    growth = ((root / "catalog.sqlite").stat().st_size - before) / size
    assert growth < GROWTH, growth


def test_metadata_has_16_levels():
    Document("x", metadata=nested(16, 1))
    Document("x", metadata={"k": nested(15, [])})
    for metadata in (nested(17, 1), {"k": nested(16, [])}, nested(60, [1])):
        with pytest.raises(InvalidDocumentError, match=r"nested more than 16 levels deep.*string"):
            Document("x", metadata=metadata)


LONG = "a path that is longer than the limit " * 3

values = st.recursive(
    st.sampled_from([1, 1.0, "x", None, True, "long " * 10]),
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(st.sampled_from(["a", "b", LONG]), inner, max_size=3),
    max_leaves=15,
)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from(["a", LONG, LONG[:64], LONG[:65]]), values, max_size=3), max_size=6),
    st.data(),
)
def test_filters_mean_the_same_whatever_is_shortened(make_directory, metadata, data):
    """Each value of the documents, and values like them, asked for at each path."""
    with LocalEngine.open(make_directory("shortened") / "index", dim=DIM) as engine:
        engine.upsert([record(str(n), **some) for n, some in enumerate(metadata)])
        for _ in range(20):
            path = ".".join(
                data.draw(st.lists(st.sampled_from(["a", "b", LONG, LONG[:64], LONG[:65]]), min_size=1, max_size=3))
            )
            operators = st.sampled_from(["$eq", "$ne", "$contains", "$in", "$exists"])
            operator, operand = data.draw(operators), data.draw(values)
            where = {path: {operator: {"$in": [operand], "$exists": True}.get(operator, operand)}}
            expected = {str(n) for n, some in enumerate(metadata) if matches(parse(where), some)}
            assert {document.id for document in engine.scan(where=where)} == expected
