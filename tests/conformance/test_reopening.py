"""Closing and opening again, what an engine remembers of its encoder, and collections of other encoders."""

from __future__ import annotations

import threading

import pytest

from late_interaction import Document, Index
from late_interaction.errors import (
    CorruptIndexError,
    IncompatibleEncoderError,
    IndexNotFoundError,
    LateInteractionError,
    MissingEncoderError,
)
from tests.conformance.helpers import DIM, Truth, at_most, collection, ids_of, record, unit_vectors
from tests.conformance.interference import Interrupted
from tests.fakes import WordEncoder

RECORD = {"model": "é", "probe": [0.5, None], "nested": {"a": True}, "n": 1}


class TestReopening:
    def test_everything_is_still_there(self, case, folder):
        engine = case.make(folder, DIM)
        records = collection(70)
        engine.upsert(records[:40])
        engine.upsert(records[40:])
        engine.upsert([record("d3", text="changed")])
        engine.delete(ids=["d5", "d6"])
        engine.record_encoder(RECORD)
        query = unit_vectors(1, 4)
        before = list(engine.scan()), engine.search(query, at_most(engine, 60)), engine.score(query, ["d1", "d2"])
        engine.close()
        engine = case.reopen(folder)
        assert engine.dim == DIM
        assert engine.encoder_record == RECORD
        assert list(engine.scan()) == before[0]
        assert ids_of(engine.search(query, at_most(engine, 60))) == ids_of(before[1])
        assert engine.score(query, ["d1", "d2"]) == pytest.approx(before[2])
        left = [one for one in records if one.document.id not in ("d3", "d5", "d6")]
        Truth(engine, [*left, record("d3")]).check(query, engine.search(query, at_most(engine, 60)))
        engine.close()

    def test_it_can_be_written_to(self, case, folder):
        engine = case.make(folder, DIM)
        engine.upsert([record(name) for name in "abc"])
        engine.close()
        engine = case.reopen(folder)
        engine.upsert([record("d"), record("b", text="changed")])
        assert engine.delete(ids=["a"]) == 1
        engine.close()
        engine = case.reopen(folder)
        assert sorted(ids_of(engine.scan())) == ["b", "c", "d"]
        assert engine.get(["b"])[0].text == "changed"
        found = ids_of(engine.scan())
        assert [name for name in found if name != "b"] == ["c", "d"]
        engine.close()

    def test_an_empty_one(self, case, folder):
        case.make(folder, DIM).close()
        engine = case.reopen(folder)
        assert (engine.dim, engine.count(), engine.encoder_record) == (DIM, 0, None)
        engine.close()

    def test_what_is_not_there(self, case, folder):
        with pytest.raises(IndexNotFoundError):
            case.reopen(folder)


class TestEncoderRecord:
    def test_round_trip(self, engine):
        assert engine.encoder_record is None
        engine.record_encoder(RECORD)
        assert engine.encoder_record == RECORD

    def test_it_is_no_document(self, engine):
        engine.record_encoder(RECORD)
        assert engine.count() == 0
        assert list(engine.scan()) == []
        assert engine.search(unit_vectors(1, 2)) == []

    def test_what_is_returned_may_be_changed(self, engine):
        engine.record_encoder(RECORD)
        engine.encoder_record["nested"]["a"] = False
        assert engine.encoder_record == RECORD


class TestForeignCollections:
    def test_of_another_dimension(self, case, folder):
        case.make(folder, DIM).close()
        with pytest.raises(LateInteractionError, match=str(DIM)):
            case.make(folder, DIM + 1)

    def test_of_an_encoder_of_another_dimension(self, engine):
        other = WordEncoder(DIM + 2)
        with pytest.raises(IncompatibleEncoderError, match=f"{DIM}.*{DIM + 2}"):
            Index(engine=engine, encoder=other)
        assert engine.encoder_record is None

    def test_of_another_encoder(self, case, folder):
        engine = case.make(folder, DIM)
        Index(engine=engine, encoder=WordEncoder(DIM, "one")).add(["a river"])
        engine.close()
        engine = case.reopen(folder)
        with pytest.raises(IncompatibleEncoderError, match="model"):
            Index(engine=engine, encoder=WordEncoder(DIM, "other"))
        assert engine.count() == 1
        assert Index(engine=engine, encoder=WordEncoder(DIM, "one")).search("river", 1)[0].text == "a river"
        engine.close()

    @pytest.mark.parametrize("damaged", [{"fingerprint": 3}, {"source": 1}, {"name": "of another program"}], ids=repr)
    def test_of_another_program(self, engine, damaged):
        engine.record_encoder(damaged)
        with pytest.raises(CorruptIndexError, match="encoder"):
            Index(engine=engine, encoder=WordEncoder(DIM))

    def test_an_encoder_of_the_users_own_is_asked_for(self, case, folder):
        engine = case.make(folder, DIM)
        Index(engine=engine, encoder=WordEncoder(DIM)).add([Document("a river", id="a")])
        engine.close()
        engine = case.reopen(folder)
        index = Index(engine=engine)
        assert index.get(["a"])[0].text == "a river"
        with pytest.raises(MissingEncoderError):
            index.search("river")
        engine.close()


class TestTwoAtTheSameTime:
    """Two `Index` objects that open a new engine with different encoders: one of them is refused."""

    def test_the_other_has_opened_before_this_writes_its_record(self, engine):
        def other_opens(name):
            if name == "record_encoder" and not opened:
                opened.append(Index(engine=engine, encoder=WordEncoder(DIM, "other")))

        opened = []
        with pytest.raises(IncompatibleEncoderError, match="model"):
            Index(engine=Interrupted(engine, other_opens), encoder=WordEncoder(DIM, "one"))
        assert engine.encoder_record["fingerprint"]["model"] == "other"

    def test_of_equal_encoders_both_are_accepted(self, engine):
        def other_opens(name):
            if name == "record_encoder" and not opened:
                opened.append(Index(engine=engine, encoder=WordEncoder(DIM, "one")))

        opened = []
        index = Index(engine=Interrupted(engine, other_opens), encoder=WordEncoder(DIM, "one"))
        assert opened
        index.add(["a river"])
        assert len(opened[0].search("river")) == 1

    def test_in_two_threads_never_both_in_the_end(self, engine):
        """Both find no record, and both have written theirs before either reads it again."""
        barrier = threading.Barrier(2)
        reads = threading.local()

        def meet(name):
            if name == "record_encoder":
                reads.has_written = True
            if getattr(reads, "has_written", False):
                barrier.wait(5)

        outcomes = []

        def open_index(name):
            try:
                outcomes.append(Index(engine=Interrupted(engine, meet), encoder=WordEncoder(DIM, name)))
            except IncompatibleEncoderError as error:
                outcomes.append(error)

        threads = [threading.Thread(target=open_index, args=(name,)) for name in ("one", "other")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["IncompatibleEncoderError", "Index"]


def recorded(encoder, engine):
    """The record that an index over the engine writes for an encoder, which is then forgotten."""
    from tests.conformance.weak_engines import Collection, ServerEngine

    scratch = ServerEngine(Collection(engine.dim))
    Index(engine=scratch, encoder=encoder)
    return scratch.encoder_record
