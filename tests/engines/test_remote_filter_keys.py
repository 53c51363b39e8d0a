"""Keywords of metadata: equal exactly where `FieldValue.equals` says so, and short."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from late_interaction import filters
from late_interaction.engines.remote.filter_keys import MAX_KEY_BYTES, document_keys, exists_key, key_of, keys_of
from late_interaction.filters import FieldValue

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.sampled_from([0, -0.0, 1, 1.0, "1", True, "True", "", "None", 2**53, 2**53 + 1, 2.0**63, 1e300, 10**30, 1e30]),
    st.text(max_size=200),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner), max_leaves=5
)
paths = st.sampled_from(["", "a", "a.b", '"', "é" * 80])


@settings(max_examples=200, deadline=None)
@given(first=values, second=values, path=paths, other=paths, is_element=st.booleans())
def test_keys_are_equal_where_values_are(first, second, path, other, is_element):
    one, two = FieldValue.of(first), FieldValue.of(second, is_element=is_element)
    assert (key_of(path, one) in keys_of(other, two)) is (path == other and one.equals(two))
    assert (key_of(path, two) in keys_of(path, one)) is one.equals(two)
    assert (key_of(path, two) in keys_of(path, one, elements=False)) is (one.equals(two) and not is_element)
    assert key_of(path, one) != exists_key(other)


@settings(max_examples=50, deadline=None)
@given(metadata=st.dictionaries(st.text(max_size=3), values, max_size=4))
def test_the_keys_of_a_document(metadata):
    keys = document_keys(metadata)
    assert len(set(keys)) == len(keys)
    assert max((len(key.encode()) for key in keys), default=0) <= MAX_KEY_BYTES
    assert set(keys) == {
        key for path, value in filters.field_values(metadata) for key in (exists_key(path), key_of(path, value))
    }


def test_the_size_of_the_keys_is_linear():
    nested = list(range(1000))
    for _ in range(12):
        nested = {"a-rather-long-name": nested}
    assert len(json.dumps(document_keys({"deep": nested}))) < 200_000
    assert len(json.dumps(document_keys({"text": "x" * 1_000_000}))) < 200


def test_the_form_is_kept():
    """It is stored: another form would need every collection to be written again."""
    assert document_keys({"t": ["a", {"n": 2.0}], "z": None, "l": "x" * 200, "b": True}) == [
        *('["t"]', '["t","j","[\\"a\\", {\\"n\\": 2}]"]', '["t","s","a",1]', '["t","j","{\\"n\\": 2}",1]'),
        *('["t.n"]', '["t.n","#","2"]', '["z"]', '["z","n",""]'),
        *('["l"]', "#db694f4bfec24fb5c61463edfb7bb1c3", '["b"]', '["b","b","True"]'),
    ]
