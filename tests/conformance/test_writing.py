"""`upsert`, `delete` and `clear`: what there is afterwards, also after an error."""

from __future__ import annotations

import numpy as np
import pytest

from late_interaction import Document
from late_interaction.engines import Record
from late_interaction.errors import (
    DuplicateIdError,
    InvalidDocumentError,
    InvalidRequestError,
    InvalidVectorsError,
)
from tests.conformance.helpers import (
    DIM,
    Truth,
    at_most,
    collection,
    ids_of,
    needs,
    needs_operators,
    record,
    unit_vectors,
)


def texts(engine):
    return {document.id: document.text for document in engine.scan()}


class TestUpsert:
    def test_returns_the_ids_in_order(self, engine):
        assert engine.upsert([record(name) for name in "cab"]) == ["c", "a", "b"]
        assert engine.upsert([]) == []
        assert engine.count() == 3

    def test_takes_any_iterable(self, engine):
        assert engine.upsert(record(str(number)) for number in range(9)) == [str(number) for number in range(9)]
        assert engine.count() == 9

    def test_replaces_text_metadata_and_vectors(self, engine):
        engine.upsert([record("a", text="old", color="red"), record("b")])
        new = record("a", text="new", vectors=unit_vectors(99, 5), size=2)
        assert engine.upsert([new]) == ["a"]
        assert engine.get(["a"]) == [new.document]
        assert engine.count() == 2
        query = unit_vectors(98, 4)
        Truth(engine, [new]).check(query, engine.search(query, 1, candidates=["a"]))
        assert engine.count(where={"color": "red"}) == 0

    def test_the_same_again_changes_nothing(self, engine):
        records = collection(7)
        engine.upsert(records)
        engine.upsert(records)
        assert engine.count() == 7
        assert sorted(texts(engine)) == sorted(one.document.id for one in records)

    def test_what_is_written_is_visible_at_once(self, engine):
        for number in range(6):
            engine.upsert([record(f"d{number}")])
            assert engine.count() == number + 1
            assert ids_of(engine.get([f"d{number}"])) == [f"d{number}"]
            assert f"d{number}" in ids_of(engine.search(record(f"d{number}").vectors, at_most(engine, 10)))

    def test_keeps_no_array_of_the_caller(self, engine):
        vectors = unit_vectors(1, 3)
        query = unit_vectors(2, 2)
        engine.upsert([record("a", vectors=vectors)])
        before = engine.score(query, ["a"])
        vectors[:] = 0
        assert engine.score(query, ["a"]) == before

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_vectors_of_any_floating_type(self, engine, dtype):
        given = record("a", vectors=unit_vectors(3, 4).astype(dtype))
        engine.upsert([given])
        query = unit_vectors(4, 2)
        Truth(engine, [given]).check(query, engine.search(query, 1))

    def test_of_a_document_that_is_changed_afterwards(self, engine):
        metadata = {"tags": ["a"]}
        document = Document("x", id="a", metadata=metadata)
        engine.upsert([Record(document, unit_vectors(5, 2))])
        document.metadata["tags"].append("b")
        metadata["tags"].append("c")
        assert engine.get(["a"])[0].metadata == {"tags": ["a"]}
        engine.get(["a"])[0].metadata["tags"].append("d")
        assert engine.get(["a"])[0].metadata == {"tags": ["a"]}


class TestReplacing:
    def test_deletes_what_passes_before_adding(self, engine):
        engine.upsert([record(f"old{number}", source="x") for number in range(5)] + [record("other", source="y")])
        ids = engine.upsert([record("old1", source="x"), record("new", source="x")], replacing={"source": "x"})
        assert ids == ["old1", "new"]
        assert sorted(texts(engine)) == ["new", "old1", "other"]

    def test_without_records_deletes_alone(self, engine):
        engine.upsert([record("a", source="x"), record("b", source="y")])
        assert engine.upsert([], replacing={"source": "x"}) == []
        assert sorted(texts(engine)) == ["b"]

    def test_of_nothing_adds_alone(self, engine):
        engine.upsert([record("a", source="x")])
        engine.upsert([record("b", source="y")], replacing={"source": "z"})
        assert sorted(texts(engine)) == ["a", "b"]


BAD_VECTORS = {
    "another dimension": np.ones((2, DIM + 1), np.float32),
    "one axis": np.ones(DIM, np.float32),
    "three axes": np.ones((1, 2, DIM), np.float32),
    "NaN": np.full((1, DIM), np.nan, np.float32),
    "infinity": np.full((1, DIM), np.inf, np.float32),
    "beyond float16": np.full((1, DIM), 1e6, np.float32),
    "strings": np.full((1, DIM), "x"),
    "complex": np.full((1, DIM), 1j),
}


class TestErrors:
    @pytest.mark.parametrize("kind", BAD_VECTORS)
    def test_bad_vectors(self, engine, kind):
        engine.upsert([record("held")])
        with pytest.raises(InvalidVectorsError, match="bad"):
            engine.upsert([record("bad", vectors=BAD_VECTORS[kind])])
        assert sorted(texts(engine)) == ["held"]

    def test_two_records_of_one_id(self, engine):
        with pytest.raises(DuplicateIdError, match="twin"):
            engine.upsert([record("twin", text="one"), record("b"), record("twin", text="two")])
        assert texts(engine).get("twin") in (None, "one")

    def test_two_records_of_one_id_far_apart(self, engine):
        many = [record(f"d{number}") for number in range(20)]
        with pytest.raises(DuplicateIdError, match="d0"):
            engine.upsert([*many, record("d0", text="two")])
        assert texts(engine).get("d0") in (None, "text of d0")

    def test_the_error_of_the_iterable_comes_out(self, engine):
        def failing():
            yield record("a")
            raise OSError("of the caller")

        with pytest.raises(OSError, match="of the caller"):
            engine.upsert(failing())

    def test_the_same_call_again_completes_what_failed(self, engine):
        engine.upsert([record("x1", source="x"), record("x2", source="x"), record("held")])
        new = [record(f"n{number}", source="x") for number in range(10)]

        def failing():
            yield from new[:7]
            raise OSError("the network is gone")

        with pytest.raises(OSError, match="network"):
            engine.upsert(failing(), replacing={"source": "x"})
        assert set(texts(engine)) <= {"x1", "x2", "held", *(one.document.id for one in new)}
        assert "held" in texts(engine)
        engine.upsert(new, replacing={"source": "x"})
        assert sorted(texts(engine)) == sorted(["held", *(one.document.id for one in new)])
        assert engine.count() == 11
        query = unit_vectors(6, 3)
        Truth(engine, new).check(query, engine.search(query, 10, where={"source": "x"}))

    def test_all_or_nothing(self, engine):
        needs(engine, "atomic_upsert")
        engine.upsert([record("x1", source="x"), record("held")])
        before = list(engine.scan())

        def failing():
            yield from (record(f"n{number}") for number in range(50))
            raise OSError("of the caller")

        with pytest.raises(OSError, match="of the caller"):
            engine.upsert(failing(), replacing={"source": "x"})
        with pytest.raises(DuplicateIdError):
            engine.upsert([record("a"), record("b"), record("a")], replacing={"source": "x"})
        with pytest.raises(InvalidVectorsError):
            engine.upsert([record("a"), record("bad", vectors=BAD_VECTORS["NaN"])], replacing={"source": "x"})
        assert list(engine.scan()) == before


class TestDelete:
    def test_by_ids(self, engine):
        engine.upsert([record(name) for name in "abcd"])
        assert engine.delete(ids=["a", "unknown", "c", "a"]) == 2
        assert sorted(texts(engine)) == ["b", "d"]
        assert engine.delete(ids=["a"]) == 0
        assert engine.delete(ids=[]) == 0
        assert engine.delete(ids=iter(["b"])) == 1
        assert engine.count() == 1

    def test_what_is_deleted_is_in_no_answer(self, engine):
        engine.upsert([record(name, kind="x") for name in "abcd"])
        found = engine.search(unit_vectors(1, 2), 4)
        engine.delete(ids=["b"])
        assert "b" not in ids_of(engine.search(unit_vectors(1, 2), 4))
        assert "b" not in ids_of(engine.search(unit_vectors(1, 2), 4, candidates=["a", "b"]))
        assert list(engine.score(unit_vectors(1, 2), ["b", "a"])) == ["a"]
        assert ids_of(engine.get(["b", "a"])) == ["a"]
        assert sorted(engine.fetch(found)) == ["a", "c", "d"]
        assert engine.count(where={"kind": "x"}) == 3

    def test_by_filter(self, engine):
        engine.upsert([record(str(number), even=number % 2 == 0) for number in range(9)])
        assert engine.delete(where={"even": True}) == 5
        assert sorted(texts(engine)) == ["1", "3", "5", "7"]
        assert engine.delete(where={"even": True}) == 0

    @pytest.mark.parametrize("where", [{}, {"$and": [{}, {}]}])
    def test_a_filter_that_everything_passes_is_refused(self, engine, where):
        engine.upsert([record("a")])
        with pytest.raises(InvalidRequestError, match="clear"):
            engine.delete(where=where)
        assert engine.count() == 1

    def test_a_negated_empty_list_is_refused(self, engine):
        needs_operators(engine, "$nin")
        engine.upsert([record("a")])
        with pytest.raises(InvalidRequestError, match="clear"):
            engine.delete(where={"n": {"$nin": []}})
        assert engine.count() == 1

    def test_neither_ids_nor_filter_and_both(self, engine):
        engine.upsert([record("a")])
        with pytest.raises(InvalidRequestError):
            engine.delete()
        with pytest.raises(InvalidRequestError):
            engine.delete(ids=["a"], where={"n": 1})
        with pytest.raises(InvalidRequestError):
            engine.delete(ids="a")
        with pytest.raises(InvalidDocumentError):
            engine.delete(ids=[1])
        assert engine.count() == 1

    def test_clear(self, engine):
        assert engine.clear() == 0
        engine.record_encoder({"model": "x"})
        engine.upsert(collection(30))
        assert engine.clear() == 30
        assert engine.count() == 0
        assert list(engine.scan()) == []
        assert engine.search(unit_vectors(1, 2), 3) == []
        assert engine.encoder_record == {"model": "x"}
        engine.upsert([record("d1")])
        assert ids_of(engine.search(unit_vectors(1, 2), 3)) == ["d1"]
