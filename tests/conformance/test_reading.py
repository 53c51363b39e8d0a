"""`fetch`, `get`, `scan`, `count`, `info`, `vectors` and `records`."""

from __future__ import annotations

import json

import numpy as np
import pytest

from late_interaction import Document
from late_interaction.documents import DocumentFields
from late_interaction.engines import Capabilities, Engine, Match
from late_interaction.errors import IndexClosedError
from late_interaction.filters import OPERATORS
from tests.conformance.helpers import DIM, collection, ids_of, needs, record, unit_vectors


@pytest.fixture
def letters(engine):
    """Four documents."""
    engine.upsert([record(name, n=number) for number, name in enumerate("abcd")])
    return engine


class TestFetch:
    def test_documents_of_matches(self, letters):
        found = letters.search(unit_vectors(1, 3), 3)
        assert all(isinstance(match, Match) for match in found)
        assert letters.fetch(found) == {
            match.id: record(match.id, n="abcd".index(match.id)).document for match in found
        }
        assert letters.fetch([]) == {}

    def test_the_deleted_are_left_out(self, letters):
        found = letters.search(unit_vectors(1, 3), 4)
        letters.delete(ids=["b"])
        assert sorted(letters.fetch(found)) == ["a", "c", "d"]
        letters.clear()
        assert letters.fetch(found) == {}

    def test_the_replaced_are_left_out(self, letters):
        """Never the new text for the old score."""
        found = letters.search(unit_vectors(1, 3), 4)
        letters.upsert([record("b", text="another")])
        assert sorted(letters.fetch(found)) == ["a", "c", "d"]
        again = letters.search(unit_vectors(1, 3), 4)
        assert letters.fetch(again)["b"].text == "another"

    def test_of_other_vectors_alone(self, letters):
        """The text is the same and the score is not: it may come or not, but not as what it is not."""
        found = letters.search(unit_vectors(1, 3), 4)
        letters.upsert([record("b", vectors=unit_vectors(50, 3), n=1)])
        assert sorted(letters.fetch(found)) in (["a", "c", "d"], ["a", "b", "c", "d"])

    def test_deleted_and_added_again_with_another_text(self, letters):
        found = letters.search(unit_vectors(1, 3), 4)
        letters.delete(ids=["b"])
        letters.upsert([record("b", text="another")])
        assert "b" not in letters.fetch(found)

    def test_of_changed_metadata_alone(self, letters):
        found = letters.search(unit_vectors(1, 3), 4)
        letters.upsert([record("b", n=100)])
        fetched = letters.fetch(found)
        assert "b" not in fetched or fetched["b"].metadata == {"n": 100}


class TestGet:
    def test_in_this_order(self, letters):
        assert ids_of(letters.get(["d", "a", "no", "c"])) == ["d", "a", "c"]
        assert letters.get([]) == []
        assert letters.get(["no"]) == []
        assert letters.get(["b"]) == [record("b", n=1).document]

    def test_an_id_given_twice_comes_twice(self, letters):
        assert ids_of(letters.get(["a", "b", "a"])) == ["a", "b", "a"]

    def test_many(self, engine):
        records = collection(120)
        engine.upsert(records)
        ids = [one.document.id for one in records][::-1]
        assert engine.get(ids) == [one.document for one in reversed(records)]


class TestScan:
    def test_the_order_of_addition(self, engine):
        engine.upsert([record(name) for name in "zyx"])
        engine.upsert([record(name) for name in "abc"])
        engine.upsert([record("m")])
        assert ids_of(engine.scan()) == list("zyxabcm")
        engine.delete(ids=["y", "b"])
        assert ids_of(engine.scan()) == list("zxacm")

    def test_the_others_keep_their_order_when_one_is_replaced(self, engine):
        engine.upsert([record(name) for name in "abcd"])
        engine.upsert([record("b", text="another")])
        found = ids_of(engine.scan())
        assert sorted(found) == list("abcd")
        assert [name for name in found if name != "b"] == list("acd")

    def test_whole_documents(self, letters):
        assert list(letters.scan()) == [record(name, n=number).document for number, name in enumerate("abcd")]

    def test_those_that_pass(self, letters):
        assert ids_of(letters.scan(where={"n": {"$in": [1, 3]}})) == ["b", "d"]
        assert list(letters.scan(where={"n": 9})) == []

    def test_ids_alone(self, letters):
        found = list(letters.scan(fields=()))
        assert found == [DocumentFields(name) for name in "abcd"]

    def test_some_fields(self, letters):
        letters.upsert([record("e", n=4)])
        found = list(letters.scan(fields=["metadata"], where={"n": 4}))
        assert found == [DocumentFields("e", metadata={"n": 4})]
        assert list(letters.scan(fields=("text",), where={"n": 4})) == [DocumentFields("e", text="text of e")]
        both = list(letters.scan(fields=("text", "metadata"), where={"n": 4}))
        assert both == [DocumentFields("e", text="text of e", metadata={"n": 4})]

    def test_encoded_text(self, engine):
        given = record("a")
        document = Document("shown", id="a", encoded_text="title: shown")
        engine.upsert([type(given)(document, given.vectors)])
        assert list(engine.scan(fields=("encoded_text",))) == [DocumentFields("a", encoded_text="title: shown")]

    @pytest.mark.parametrize("fields", [None, ("metadata",), ()], ids=["documents", "metadata", "ids"])
    def test_it_ends_while_documents_are_added_and_replaced(self, engine, fields):
        """Each comes at most once, and those that nobody touches come in their order."""
        ids = [f"d{number}" for number in range(30)]
        engine.upsert([record(name) for name in ids])
        options = {} if fields is None else {"fields": fields}
        seen = []
        for number, document in enumerate(engine.scan(**options)):
            seen.append(document.id)
            assert number < 100
            engine.upsert([record(f"new{number}"), record(ids[number % 30], text=f"changed {number}")])
        assert len(set(seen)) == len(seen)
        assert set(seen) <= {*ids, *(f"new{number}" for number in range(100))}
        assert len(seen) >= 10

    def test_what_nobody_touches_comes_although_others_are_deleted(self, engine):
        engine.upsert([record(f"d{number}") for number in range(30)])
        seen = []
        for document in engine.scan():
            seen.append(document.id)
            engine.delete(ids=[f"d{29 - len(seen)}"] if len(seen) < 10 else [])
        untouched = [f"d{number}" for number in range(20)]
        assert [name for name in seen if name in untouched] == untouched
        assert len(set(seen)) == len(seen)

    def test_it_may_be_left_half_read(self, letters):
        scan = letters.scan()
        assert next(scan).id == "a"
        del scan
        letters.upsert([record("e")])
        assert letters.count() == 5

    def test_two_at_the_same_time(self, letters):
        both = zip(letters.scan(), letters.scan(), strict=True)
        assert [(one.id, other.id) for one, other in both] == [(name, name) for name in "abcd"]


class TestCount:
    def test_all_and_those_that_pass(self, letters):
        assert letters.count() == 4
        assert letters.count(where={}) == 4
        assert letters.count(where={"n": 2}) == 1
        assert letters.count(where={"n": {"$in": []}}) == 0


class TestAboutTheEngine:
    def test_it_is_one(self, engine):
        assert isinstance(engine, Engine)
        assert engine.dim == DIM
        assert engine.read_only is False

    def test_capabilities_do_not_change(self, engine):
        before = engine.capabilities
        assert isinstance(before, Capabilities)
        assert before.filter_operators <= OPERATORS
        engine.upsert(collection(5))
        assert engine.capabilities == before

    def test_info(self, letters):
        info = letters.info()
        assert info["documents"] == 4
        assert info["dim"] == DIM
        assert info["engine"]
        assert isinstance(info["engine"], str)
        assert json.loads(json.dumps(info)) == info

    def test_closing_twice(self, letters):
        letters.close()
        letters.close()

    def test_calls_after_closing(self, letters):
        letters.close()
        for call in (
            letters.count,
            lambda: letters.get(["a"]),
            lambda: letters.search(unit_vectors(1, 2)),
            lambda: list(letters.scan()),
            lambda: letters.upsert([record("e")]),
            lambda: letters.delete(ids=["a"]),
        ):
            with pytest.raises(IndexClosedError):
                call()

    def test_one_state(self, letters):
        with letters.one_state():
            assert letters.count() == 4
            assert len(letters.search(unit_vectors(1, 2), 4)) == 4


class TestVectors:
    def test_as_they_were_given(self, engine):
        needs(engine, "vectors")
        records = collection(60)
        engine.upsert(records)
        found = engine.vectors([one.document.id for one in records])
        assert list(found) == [one.document.id for one in records]
        for one in records:
            given, stored = one.vectors, found[one.document.id]
            assert stored.shape == given.shape
            assert stored.dtype == np.float32
            if engine.capabilities.exact_search:
                np.testing.assert_allclose(stored, given, atol=1e-3)
            else:  # compressed: each vector keeps its direction, nearly
                assert ((stored * given).sum(axis=1) > 0.9).all()

    def test_unknown_ids_are_left_out(self, letters):
        needs(letters, "vectors")
        assert sorted(letters.vectors(["a", "no", "b"])) == ["a", "b"]
        assert letters.vectors([]) == {}
        assert sorted(letters.records(["a", "no", "b"])) == ["a", "b"]
        assert letters.records([]) == {}

    def test_records_are_documents_with_their_vectors(self, letters):
        needs(letters, "vectors")
        found = letters.records(["c", "a"])
        vectors = letters.vectors(["c", "a"])
        for name, n in (("a", 0), ("c", 2)):
            assert found[name].document == record(name, n=n).document
            assert (found[name].vectors == vectors[name]).all()
