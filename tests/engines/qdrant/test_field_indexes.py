"""Payload indexes of metadata, which writing adds when a field first appears."""

from __future__ import annotations

import logging

import pytest

from late_interaction.engines.qdrant.field_indexes import MAX_FIELDS
from tests.conformance.helpers import record, unit_vectors
from tests.engines.helpers import DIM
from tests.qdrant_edge.faults import answer


def written(name, **metadata):
    return record(name, vectors=unit_vectors(1, 2, DIM), **metadata)


@pytest.fixture
def indexes(served):
    """A function that returns the type of each index of metadata."""

    def read():
        client = served.client()
        schema = client.get_collection("documents").payload_schema
        client.close()
        return {key: one.data_type.value for key, one in schema.items() if key.startswith("filter.values.")}

    return read


def test_fields_of_numbers_and_strings_get_indexes(open_engine, indexes):
    engine = open_engine()
    other = {"tags": ["new"], "draft": True, "author": {"name": "Ada"}}
    engine.upsert([written("a", year=2020, third=1 / 3, title="Nile", **other)])
    assert indexes() == {
        "filter.values.year.numbers": "float",
        "filter.values.third.wide[].c0": "integer",
        "filter.values.title.strings[].c0": "integer",
        "filter.values.title.strings[].text": "keyword",
    }
    engine.update_metadata(["a"], {"pages": 3})
    assert "filter.values.pages.numbers" in indexes()


def test_an_index_is_made_once(open_engine, faults):
    open_engine().upsert([written("a", year=2020)])
    assert faults.operations().count("create_payload_index") > 0
    another = open_engine()
    faults.clear()
    another.upsert([written("b", year=2021), written("c", year=2022)])
    assert "create_payload_index" not in faults.operations()


def test_the_number_of_fields_has_a_limit(open_engine, indexes):
    engine = open_engine()
    engine.upsert([written("a", **{f"field{number}": number for number in range(MAX_FIELDS + 8)})])
    assert len(indexes()) == MAX_FIELDS
    engine.upsert([written("b", field0="text", another="text")])
    assert len(indexes()) == MAX_FIELDS + 2  # a field that has one gets those of its strings
    assert engine.count(where={f"field{MAX_FIELDS + 5}": {"$gt": 1}}) == 1


def test_documents_are_written_without_an_index(open_engine, indexes, faults, caplog):
    engine = open_engine()
    faults.on("create_payload_index", answer(400), times=10)
    with caplog.at_level(logging.WARNING):
        assert engine.upsert([written("a", year=2020)]) == ["a"]
    assert "filter.values.year.numbers are slow" in caplog.text
    assert indexes() == {}
    assert engine.count(where={"year": {"$gte": 2020}}) == 1
