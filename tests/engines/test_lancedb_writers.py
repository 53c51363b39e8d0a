"""Several writers, killed writers, and readers of a version: over the real LanceDB, in several processes."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from late_interaction.engines import LanceDBEngine, Record
from late_interaction.errors import InvalidRequestError, InvalidVectorsError, UnknownIdError
from tests.engines.helpers import unit_vectors
from tests.engines.lancedb_engines import DIM, child, document, document_ids, engine, record, vectors_of

__all__ = ["engine"]

IDS = [f"d{number}" for number in range(12)]


def encode(documents):
    return [Record(one, vectors_of(one.text)) for one in documents]


def refuse(documents):
    raise AssertionError(documents)


def check(engine):
    """Every document has the vectors of its text, and nothing else is stored."""
    documents = {one.id: one for one in engine.scan()}
    vectors = engine.vectors(list(documents))
    for name, one in documents.items():
        np.testing.assert_allclose(vectors[name], encode([one])[0].vectors, atol=1e-3)
    assert engine.verify().problems == ()
    snapshot = engine._states.last()
    assert len(snapshot.missing_keys(snapshot.rows.keys)) == 0
    return snapshot


WRITE = """
import random
rng = random.Random(sys.argv[2])
for step in range(4):
    chosen = rng.sample([f"d{number}" for number in range(12)], 8)
    engine.upsert([record(name, f"{sys.argv[2]} {step} {name}") for name in chosen])
    engine.update_metadata(chosen, {sys.argv[2]: step})
    engine.delete(ids=chosen[:2])
print("done")
"""


def test_processes_that_write_the_same_documents(engine, tmp_path):
    processes = [child(WRITE, tmp_path / "index", name) for name in ("one", "two")]
    for process in processes:
        out, errors = process.communicate(timeout=120)
        assert out == "done\n", errors
    ids = document_ids(engine)
    assert len(set(ids)) == len(ids) == engine.count()
    snapshot = check(engine)
    assert len(snapshot.blob_keys()) == len(snapshot.rows)


UPDATE = """
half = [f"d{number}" for number in range(12) if (number % 2 == 0) == (sys.argv[2] == "one")]
for step in range(5):
    assert engine.update_metadata([f"d{number}" for number in range(12)], {f"{sys.argv[2]}{step}": True}) == 12
    engine.set_root(half, step)
"""


def test_no_change_of_metadata_is_lost(engine, tmp_path):
    engine.upsert(encode(map(document, IDS)))
    for process in [child(UPDATE, tmp_path / "index", name) for name in ("one", "two")]:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    wanted = {f"{name}{step}": True for name in ("one", "two") for step in range(5)}
    assert all(one.metadata == wanted for one in engine.scan())
    assert set(engine.roots_of(IDS).values()) == {4}


ADD = """
print("ready", flush=True)
engine.upsert((record(f"n{number}", tokens=20) for number in range(3000)), replacing={"old": True})
print("done", flush=True)
"""


@pytest.mark.parametrize(
    "seconds", [0.2, None, *(pytest.param(step / 10, marks=pytest.mark.slow) for step in range(20))]
)
def test_a_killed_writer_leaves_all_or_nothing(engine, tmp_path, seconds):
    """At None, it is not killed."""
    engine.upsert([record("held"), record("gone", old=True)])
    process = child(ADD, tmp_path / "index")
    assert process.stdout.readline() == "ready\n"
    if seconds is not None:
        time.sleep(seconds)
        process.kill()
    process.communicate(timeout=120)
    ids = set(document_ids(engine))
    after = {"held", *(f"n{number}" for number in range(3000))}
    assert ids == after if seconds is None else ids in ({"held", "gone"}, after)
    with LanceDBEngine(tmp_path / "index") as again:
        assert set(document_ids(again)) == ids
        again.upsert([record("new")])
    assert engine.verify().problems == ()
    assert document_ids(engine)[-1] == "new"


def test_what_others_write_is_seen_at_once(engine, tmp_path):
    with LanceDBEngine(tmp_path / "index") as other:
        for number in range(3):
            engine.upsert([record(f"d{number}")])
            assert document_ids(other) == document_ids(engine)
            assert len(other.search(unit_vectors(1, 2), 5)) == number + 1
        other.delete(ids=["d1"])
        assert engine.get(["d1"]) == []
        assert "d1" not in {match.id for match in engine.search(unit_vectors(1, 2), 5)}


class TestOneState:
    def test_reads_of_one_version(self, engine, tmp_path):
        engine.upsert([record(name, word="old") for name in "abc"])
        with LanceDBEngine(tmp_path / "index") as other, engine.one_state():
            found = engine.search(unit_vectors(1, 2), 3)
            other.upsert([record("a", "another"), record("d")])
            other.delete(ids=["b"])
            assert document_ids(engine) == ["a", "b", "c"]
            assert [one.text for one in engine.get(["a"])] == ["text of a"]
            assert engine.search(unit_vectors(1, 2), 3) == found
            assert engine.fetch(found).keys() == {"a", "b", "c"}
            assert engine.count(where={"word": "old"}) == 3
            assert [match.id for match in engine.search_lexical("another", 3)] == []
            assert engine.vectors(["b"]).keys() == {"b"}
            seen = []
            thread = threading.Thread(target=lambda: seen.append(engine.count()))
            thread.start()
            thread.join()
            assert seen == [3]
        assert document_ids(engine) == ["c", "a", "d"]

    def test_nothing_is_written_inside(self, engine):
        engine.upsert([record("a")])
        with engine.one_state():
            for write in (
                lambda: engine.upsert([record("b")]),
                lambda: engine.delete(ids=["a"]),
                engine.clear,
                engine.compact,
                lambda: engine.update_metadata(["a"], {"n": 1}),
            ):
                with pytest.raises(InvalidRequestError, match="one_state"):
                    write()
        assert document_ids(engine) == ["a"]

    def test_also_while_others_compact(self, engine, tmp_path):
        engine.upsert([record(f"d{number}") for number in range(200)])
        with LanceDBEngine(tmp_path / "index") as other:
            scan = engine.scan()
            ids = [next(scan).id]
            other.delete(ids=[f"d{number}" for number in range(100, 200)])
            other.compact()
            assert ids + [one.id for one in scan] == [f"d{number}" for number in range(200)]
        assert engine.count() == 100

    def test_two_engines_do_not_mix(self, engine, tmp_path):
        with LanceDBEngine(tmp_path / "other", dim=DIM) as other, engine.one_state():
            other.upsert([record("a")])
            assert (engine.count(), other.count()) == (0, 1)


class TestKeeping:
    """Documents that are written again without vectors keep the stored ones."""

    @pytest.fixture
    def filled(self, engine):
        engine.upsert(encode(map(document, IDS)))
        return engine

    def test_texts_change_and_vectors_stay(self, filled):
        keys = dict(zip(document_ids(filled), filled._states.last().rows.keys.tolist(), strict=True))
        given = [document(name, n=1) for name in IDS[::2]]
        assert filled.upsert_keeping([*given, *encode([document("new")])], refuse) == [*IDS[::2], "new"]
        assert document_ids(filled) == [*IDS[1::2], *IDS[::2], "new"]
        assert [one.metadata for one in filled.get(IDS[:2])] == [{"n": 1}, {}]
        after = dict(zip(document_ids(filled), filled._states.last().rows.keys.tolist(), strict=True))
        assert {name: after[name] for name in IDS} == keys
        check(filled)

    def test_other_texts_are_encoded(self, filled):
        asked = []

        def counted(documents):
            asked.extend(one.id for one in documents)
            return encode(documents)

        filled.upsert_keeping([document("d1", "other"), document("d2"), document("unknown")], counted)
        assert asked == ["d1", "unknown"]
        check(filled)

    def test_replacing_keeps_the_vectors_of_what_comes_again(self, filled):
        filled.update_metadata(IDS[:4], {"kind": "x"})
        filled.upsert_keeping([document("d1"), document("d2", kind="x")], refuse, replacing={"kind": "x"})
        assert sorted(document_ids(filled)) == sorted(set(IDS) - {"d0", "d3"})
        check(filled)

    @pytest.mark.parametrize("story", ["deleted", "replaced", "changed metadata"])
    @pytest.mark.parametrize("moment", ["before", "during"])
    def test_others_write_before_the_commit(self, filled, tmp_path, monkeypatch, story, moment):
        other = LanceDBEngine(tmp_path / "index")

        def write():
            if story == "deleted":
                other.delete(ids=["d1"])
            elif story == "replaced":
                other.upsert(encode([document("d1", "another text")]))
            else:
                other.update_metadata(["d1"], {"other": 1})

        if moment == "during":  # after the stored vectors were looked up, immediately before the commit
            retrying = filled._database.retrying

            def interrupted(request):
                monkeypatch.undo()
                write()
                return retrying(request)

            monkeypatch.setattr(filled._database, "retrying", interrupted)
            given = [document("d1", n=1), document("d2", n=1)]
        else:

            def given():
                yield document("d1", n=1)
                write()
                yield document("d2", n=1)

            given = given()
        filled.upsert_keeping(given, encode)
        assert [one.metadata for one in filled.get(["d1", "d2"])] == [{"n": 1}, {"n": 1}]
        assert filled.get(["d1"])[0].text == "text of d1"
        snapshot = check(filled)
        assert len(snapshot.blob_keys()) == len(snapshot.rows)
        other.close()

    def test_encode_must_return_what_it_was_given(self, filled):
        for wrong in (lambda documents: [], lambda documents: encode(documents[::-1])):
            with pytest.raises(InvalidVectorsError, match="encode"):
                filled.upsert_keeping([document("x"), document("y")], wrong)
        assert document_ids(filled) == IDS

    def test_upsert_takes_no_documents_without_vectors(self, filled):
        with pytest.raises(InvalidVectorsError, match="'d1'"):
            filled.upsert([document("d1")])


class TestUpdatingDocuments:
    @pytest.fixture
    def filled(self, engine):
        engine.upsert([Record(one.document, one.vectors, root=1) for one in encode(map(document, IDS))])
        return engine

    def vectors(self, engine):
        return {name: vectors.tobytes() for name, vectors in engine.vectors(document_ids(engine)).items()}

    def test_everything_but_the_vectors_changes(self, filled):
        before = self.vectors(filled)
        new = [document(name, f"other {name}", m=[name]) for name in ("d3", "d4")]
        assert filled.update_documents(iter(new), 2) == 2
        assert filled.get(["d3", "d4"]) == new
        assert document_ids(filled) == IDS
        assert filled.roots_of(["d3", "d4", "d5", "no"]) == {"d3": 2, "d4": 2, "d5": 1}
        assert [one.id for one in filled.scan(where={"m": "d3"})] == ["d3"]
        assert [match.id for match in filled.search_lexical("other", 5, where={"m": "d4"})] == ["d4"]
        assert self.vectors(filled) == before

    def test_ids_change_too(self, filled):
        before = self.vectors(filled)
        new = [document("d1", "x"), document("d2", "y"), document("new", "z"), document("d4", "same")]
        stored_ids = {"d1": "d2", "d2": "d1", "new": "d3"}
        assert filled.update_documents(new, 5, stored_ids=stored_ids) == 4
        after = self.vectors(filled)
        assert after.keys() == {*IDS, "new"} - {"d3"}
        for name in after:
            assert after[name] == before[stored_ids.get(name, name)]
        assert filled.update_documents([document("d5", "v")], None, stored_ids={"d5": "d6"}) == 1
        assert self.vectors(filled).keys() == {*IDS, "new"} - {"d3", "d6"}
        assert self.vectors(filled)["d5"] == before["d6"]
        snapshot = filled._states.last()
        assert len(snapshot.blob_keys()) == len(snapshot.rows)

    def test_unknown_ids_change_nothing(self, filled):
        before = list(filled.scan())
        with pytest.raises(UnknownIdError, match="no"):
            filled.update_documents([document("d1", "x"), document("no")], 2)
        with pytest.raises(UnknownIdError, match="no"):
            filled.update_documents([document("d1", "x")], 2, stored_ids={"d1": "no"})
        with pytest.raises(InvalidRequestError, match="stored_ids"):
            filled.update_documents([document("d1")], 2, stored_ids={"d2": "d3"})
        assert filled.update_documents([], 2) == 0
        assert list(filled.scan()) == before

    def test_roots(self, filled):
        filled.record_roots({"1": {"path": "/x"}})
        assert filled.roots == {"1": {"path": "/x"}}
        filled.set_root(["d1", "d2", "no"], None)
        filled.set_root(["d3"], 7)
        assert filled.roots_of(["d1", "d3", "d4"]) == {"d1": None, "d3": 7, "d4": 1}
        assert [one.id for one in filled.scan(root=7)] == ["d3"]
        assert [one.id for one in filled.scan(root=1, where={"n": 1})] == []
        assert filled.verify().problems == ()
