"""Writing to the local engine: replacing, deleting, and that a failure leaves nothing behind."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

from late_interaction.documents import Document
from late_interaction.engines import LocalEngine, Record
from late_interaction.engines.local import compaction
from late_interaction.errors import (
    DuplicateIdError,
    InvalidDocumentError,
    InvalidFilterError,
    InvalidRequestError,
    InvalidVectorsError,
    LateInteractionError,
    ReadOnlyIndexError,
)
from tests.engines.helpers import DIM, record, segment_files, state_on_disk, stored, true_score, unit_vectors

QUERY = unit_vectors(12345, 4)


def ids(found):
    return [item.id for item in found]


@pytest.fixture
def filled(engine):
    """An engine with five documents in two segments, one deleted."""
    engine.upsert([record(f"d{n}", n=n) for n in range(3)])
    engine.upsert([record(f"d{n}", n=n) for n in range(3, 6)])
    engine.delete(ids=["d4"])
    return engine


def test_upsert_returns_the_ids_in_order(engine):
    assert engine.upsert([record("b"), record("a"), record("c")]) == ["b", "a", "c"]
    assert engine.upsert(record(name) for name in ("z", "b")) == ["z", "b"]
    assert engine.upsert((record("t"),)) == ["t"]
    assert engine.count() == 5


@pytest.mark.parametrize("empty", [[], (), iter(()), {}])
def test_an_empty_upsert_is_nothing(filled, root, empty):
    before = state_on_disk(root)
    assert filled.upsert(empty) == []
    assert state_on_disk(root) == before


def test_upsert_replaces_everything(engine, root):
    engine.upsert([record("a", text="apple", tokens=3, colour="red", deep={"x": [1, 2]}), record("b", text="banana")])
    vectors = unit_vectors(77, 5)
    engine.upsert([record("a", text="avocado", encoded_text="avocado green", vectors=vectors, shade="dark")])
    assert engine.count() == 2
    document = engine.get(["a"])[0]
    assert document == Document("avocado", id="a", metadata={"shade": "dark"}, encoded_text="avocado green")
    assert np.array_equal(engine.vectors(["a"])["a"], stored(vectors))
    scores = {match.id: match.score for match in engine.search(QUERY, 10)}
    assert scores == pytest.approx(
        {"a": true_score(QUERY, vectors), "b": true_score(QUERY, record("b").vectors)}, abs=1e-3
    )
    assert ids(engine.search_lexical("apple")) == []
    assert ids(engine.search_lexical("green")) == ["a"]
    for gone in ({"colour": "red"}, {"deep.x": 1}, {"colour": {"$exists": True}}, {"deep": {"$exists": True}}):
        assert engine.count(where=gone) == 0
    assert engine.count(where={"shade": "dark"}) == 1
    assert bool(engine.verify())
    rows = [row for row in state_on_disk(root)[1]["fields"] if row[0] != "shade"]
    assert rows == []


def test_replacing_in_the_same_segment_again_and_again(engine):
    for version in range(10):
        engine.upsert([record("a", seed=version, version=version), record("b", seed=100 + version, version=version)])
    assert engine.count() == 2
    assert np.array_equal(engine.vectors(["b"])["b"], stored(unit_vectors(109, 3)))
    assert engine.count(where={"version": 9}) == 2
    assert engine.count(where={"version": {"$lt": 9}}) == 0


class TextBomb(Exception):
    """What the caller's own generator may raise."""


def overflow():
    vectors = unit_vectors(1, 2)
    vectors[1, 3] = 65536.0
    return vectors


def with_value(value):
    vectors = unit_vectors(1, 2)
    vectors[-1, -1] = value
    return vectors


def rec(vectors):
    return Record(Document("bad", id="bad"), vectors)


BAD_RECORDS = {
    "nan": (lambda: rec(with_value(np.nan)), InvalidVectorsError),
    "infinity": (lambda: rec(with_value(np.inf)), InvalidVectorsError),
    "minus infinity": (lambda: rec(with_value(-np.inf)), InvalidVectorsError),
    "half precision overflow": (lambda: rec(overflow()), InvalidVectorsError),
    "negative overflow": (lambda: rec(-overflow()), InvalidVectorsError),
    "rounds to infinity": (lambda: rec(with_value(65520.0)), InvalidVectorsError),
    "beyond single precision": (lambda: rec(np.full((1, DIM), 1e300)), InvalidVectorsError),
    "dimension + 1": (lambda: rec(unit_vectors(1, 2, DIM + 1)), InvalidVectorsError),
    "dimension 0": (lambda: rec(np.zeros((2, 0))), InvalidVectorsError),
    "empty of another dimension": (lambda: rec(np.zeros((0, DIM - 1))), InvalidVectorsError),
    "one axis": (lambda: rec(np.ones(DIM)), InvalidVectorsError),
    "three axes": (lambda: rec(np.ones((1, 1, DIM))), InvalidVectorsError),
    "three axes, the second right": (lambda: rec(np.ones((1, DIM, 2))), InvalidVectorsError),
    "no axis": (lambda: rec(np.float32(1)), InvalidVectorsError),
    "an empty list": (lambda: rec([]), InvalidVectorsError),
    "None": (lambda: rec(None), InvalidVectorsError),
    "words": (lambda: rec([["a"] * DIM]), InvalidVectorsError),
    "ragged": (lambda: rec([[1.0] * DIM, [1.0]]), InvalidVectorsError),
    "objects": (lambda: rec([[object()] * DIM]), InvalidVectorsError),
    "the same id": (lambda: record("new0"), DuplicateIdError),
    "an id that is no string": (lambda: record(7, seed=1), InvalidDocumentError),
    "metadata that is no JSON": (lambda: record("x", when={1}), InvalidDocumentError),
    "its own error": (lambda: (_ for _ in ()).throw(TextBomb("stop")), TextBomb),
    "an interrupt": (lambda: (_ for _ in ()).throw(KeyboardInterrupt()), KeyboardInterrupt),
}


@pytest.mark.parametrize("place", ["first", "middle", "last"])
@pytest.mark.parametrize("name", BAD_RECORDS)
@pytest.mark.filterwarnings("error")
def test_one_bad_record_and_nothing_is_written(filled, root, name, place):
    make, error = BAD_RECORDS[name]
    before = state_on_disk(root)
    answers = filled.search(QUERY, 10), list(filled.scan())
    position = {"first": 0, "middle": 2, "last": 4}[place]

    def records():
        for number in range(4):
            if number == position:
                yield make()
            yield record("d1" if number == 3 else f"new{number}", tokens=50)  # replaces d1, too
        if position == 4:
            yield make()

    with pytest.raises(error) as caught:
        filled.upsert(records())
    if isinstance(caught.value, InvalidVectorsError):
        assert "'bad'" in str(caught.value)
    if isinstance(caught.value, LateInteractionError):
        assert len(str(caught.value)) > 20
    assert state_on_disk(root) == before
    assert (filled.search(QUERY, 10), list(filled.scan())) == answers
    assert filled.verify().problems == ()
    assert filled.upsert([record("new0")]) == ["new0"]  # and the engine goes on
    assert filled.count() == 6


@pytest.mark.parametrize("thing", [Document("text"), "text", ("id", "vectors"), None, 3])
def test_what_is_no_record_writes_nothing(filled, root, thing):
    before = state_on_disk(root)
    with pytest.raises((LateInteractionError, TypeError, AttributeError)):
        filled.upsert([record("new"), thing])
    assert state_on_disk(root) == before


@pytest.mark.parametrize("thing", [None, 3, record("a")])
def test_what_is_no_iterable_writes_nothing(filled, root, thing):
    before = state_on_disk(root)
    with pytest.raises((LateInteractionError, TypeError)):
        filled.upsert(thing)
    assert state_on_disk(root) == before


@pytest.mark.filterwarnings("error")
def test_complex_numbers_are_refused(filled, root):
    before = state_on_disk(root)
    with pytest.raises(InvalidVectorsError):
        filled.upsert([rec(np.ones((1, DIM)) * 1j)])
    assert state_on_disk(root) == before


def test_the_greatest_half_precision_number_is_fine(engine):
    engine.upsert([rec(with_value(65504.0)), record("b", vectors=with_value(-65504.0))])
    assert engine.vectors(["bad"])["bad"][-1, -1] == 65504.0
    assert engine.search(np.eye(1, DIM, DIM - 1) * 100, 1)[0].score == pytest.approx(6_550_400)


def test_metadata_that_is_changed_later_cannot_poison_the_index(filled):
    metadata = {"a": 1}
    document = Document("text", id="changed", metadata=metadata)
    metadata["a"] = math.nan
    try:
        filled.upsert([Record(document, unit_vectors(1, 1))])
    except LateInteractionError:
        assert filled.count() == 5
    assert len(list(filled.scan())) == filled.count()


def test_inputs_are_not_changed(engine):
    vectors = unit_vectors(3, 4).astype(np.float64)
    metadata = {"b": [1, (2, 3)], "a": {"x": 1.0}}
    query = QUERY.copy()
    engine.upsert([Record(Document("t", id="a", metadata=metadata), vectors)])
    vectors_before = vectors.copy()
    engine.search(query, where={"a.x": 1})
    assert metadata == {"b": [1, (2, 3)], "a": {"x": 1.0}}
    assert np.array_equal(vectors, vectors_before)
    assert np.array_equal(query, QUERY)
    vectors[:] = 0  # and the engine has kept none of the caller's arrays
    assert np.array_equal(engine.vectors(["a"])["a"], stored(vectors_before))


@pytest.mark.parametrize(
    "form",
    [
        lambda vectors: vectors.tolist(),
        lambda vectors: vectors.astype(np.float16),
        lambda vectors: np.asfortranarray(vectors),
        lambda vectors: vectors.astype(">f8"),
        lambda vectors: np.ascontiguousarray(vectors[::-1])[::-1],
        lambda vectors: np.repeat(vectors, 3, axis=0)[::3],
        lambda vectors: np.repeat(vectors, 2, axis=1)[:, ::2],
    ],
)
def test_vectors_in_any_form(engine, form):
    vectors = unit_vectors(3, 4)
    engine.upsert([record("a", vectors=form(vectors)), record("b")])
    assert np.array_equal(engine.vectors(["a"])["a"], stored(vectors))
    assert np.array_equal(engine.vectors(["b"])["b"], stored(record("b").vectors))


def test_upsert_streams(engine, root):
    """Records are taken one at a time: while the fifth is made, the first are already in a file."""
    alive = []

    def records():
        for number in range(200):
            yield record(f"d{number}", tokens=100)
            if number == 150:
                alive.append(sum(path.stat().st_size for path in segment_files(root)))

    engine.upsert(records())
    assert alive[0] > 100 * 100 * DIM * 2
    assert engine.count() == 200


def test_nothing_is_seen_before_the_commit(engine, root):
    engine.upsert([record("old")])
    seen = []
    with LocalEngine.open(root, read_only=True) as reader:

        def records():
            for number in range(3):
                yield record(f"new{number}")
                seen.append((engine.count(), reader.count(), len(engine.search(QUERY)), len(reader.search(QUERY))))

        engine.upsert(records())
        assert seen == [(1, 1, 1, 1)] * 3
        assert (engine.count(), reader.count(), len(reader.search(QUERY))) == (4, 4, 4)


def test_delete_by_ids(filled):
    assert filled.delete(ids=["d0", "unknown", "d0", "d4"]) == 1
    assert filled.delete(ids=["d0"]) == 0
    assert filled.delete(ids=(name for name in ("d1", "d5"))) == 2
    assert filled.delete(ids=[]) == 0
    assert filled.delete(ids={"d2"}) == 1
    assert ids(filled.scan()) == ids(filled.search(QUERY)) == ["d3"]
    assert bool(filled.verify())


def test_delete_by_filter(filled):
    assert filled.delete(where={"n": {"$in": [0, 3, 4, 77]}}) == 2
    assert filled.delete(where={"n": {"$in": [0, 3, 4, 77]}}) == 0
    assert ids(filled.scan()) == ["d1", "d2", "d5"]
    assert filled.count(where={"n": 0}) == 0
    assert filled.delete(where={"$or": [{"n": 10_000 + n} for n in range(3_000)] + [{"n": 5}]}) == 1
    assert filled.clear() == 2
    assert filled.count() == 0
    assert filled.search(QUERY) == []
    assert bool(filled.verify())


def test_what_was_deleted_is_gone_everywhere(filled, root):
    filled.delete(ids=["d0"])
    filled.delete(where={"n": 5})
    filled.close()
    with LocalEngine.open(root) as engine:
        assert sorted(ids(engine.search(QUERY, 10))) == ["d1", "d2", "d3"]
        assert sorted(ids(engine.search_lexical("text", 10))) == ["d1", "d2", "d3"]
        assert engine.get(["d0", "d5", "d4"]) == []
        assert engine.vectors(["d0", "d5", "d4"]) == {}
        assert engine.search(QUERY, candidates=["d0", "d5", "d4"]) == []
        assert engine.search(QUERY, where={"n": {"$in": [0, 4, 5]}}) == []
    assert {row[0] for row in state_on_disk(root)[1]["fields"]} == {"n"}
    assert len(state_on_disk(root)[1]["fields"]) == 3


def test_a_deleted_document_can_come_back(filled):
    filled.delete(ids=["d0"])
    filled.upsert([record("d0", seed=999, n=0)])
    assert np.array_equal(filled.vectors(["d0"])["d0"], stored(unit_vectors(999, 3)))
    assert ids(filled.scan())[-1] == "d0"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, InvalidRequestError),
        ({"ids": None, "where": None}, InvalidRequestError),
        ({"ids": ["d0"], "where": {"n": 1}}, InvalidRequestError),
        ({"ids": [], "where": {}}, InvalidRequestError),
        ({"ids": "d0"}, InvalidRequestError),
        ({"ids": ["d0", 1]}, InvalidDocumentError),
        ({"ids": ["d0", ""]}, InvalidDocumentError),
        ({"ids": ["d0", "\ud800"]}, InvalidDocumentError),
        ({"ids": ["d0", None]}, InvalidDocumentError),
        ({"where": {"n": {"$near": 1}}}, InvalidFilterError),
        ({"where": "n = 1"}, InvalidFilterError),
        ({"where": []}, InvalidFilterError),
    ],
)
def test_delete_that_cannot_be_understood(filled, root, arguments, error):
    before = state_on_disk(root)
    with pytest.raises(error):
        filled.delete(**arguments)
    assert state_on_disk(root) == before


def test_read_only_refuses_to_write(filled, root):
    before = state_on_disk(root)
    with LocalEngine.open(root, read_only=True) as reader:
        assert reader.read_only
        for call in (
            lambda: reader.upsert([record("new")]),
            lambda: reader.delete(ids=["d0"]),
            lambda: reader.clear(),
            lambda: reader.record_encoder({"a": 1}),
        ):
            with pytest.raises(ReadOnlyIndexError, match="read_only"):
                call()
        with pytest.raises(ReadOnlyIndexError):
            reader.compact()
    assert state_on_disk(root) == before


@pytest.mark.parametrize("failing", ["add_segment", "add", "finish"])
def test_a_full_disk_leaves_the_last_state(filled, root, monkeypatch, failing):
    from late_interaction.engines.local.catalog import writer

    def no_room(*_):
        raise OSError(28, "No space left on device")

    before = state_on_disk(root)
    with monkeypatch.context() as patch:
        patch.setattr(writer.Writer, failing, no_room)
        with pytest.raises(OSError, match="No space"):
            filled.upsert([record("new"), record("d1", seed=3)])
    after = state_on_disk(root)
    assert (after[0], after[1], after[2]) == (before[0], before[1], before[2])
    assert bool(filled.verify())
    filled.upsert([record("new")])
    filled.close()
    with LocalEngine.open(root) as engine:
        assert engine.count() == 6
        assert len(state_on_disk(root)[4]) == engine.info()["segments"]


def test_an_upsert_that_raises_has_not_been_committed(engine, monkeypatch, caplog):
    """Merging small segments is housekeeping: where it fails, the documents are still added, and no error says not."""
    for number in range(15):
        engine.upsert([record(f"d{number}")])

    def no_room(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(compaction, "_merge", no_room)
        assert engine.upsert([record("last")]) == ["last"]
    assert (engine.count(), engine.info()["segments"]) == (16, 16)
    assert "No space left" in caplog.text
    engine.upsert([record("one more")])  # tries again
    assert (engine.count(), engine.info()["segments"]) == (17, 1)


def test_writers_in_many_threads(engine):
    errors = []

    def write(worker):
        try:
            for number in range(6):
                engine.upsert([record(f"w{worker}-{number}", worker=worker), record("shared", seed=worker)])
            engine.delete(ids=[f"w{worker}-0"])
        except BaseException as error:  # noqa: BLE001  # reported below
            errors.append(error)

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(ids(engine.scan())) == sorted(
        ["shared"] + [f"w{worker}-{number}" for worker in range(5) for number in range(1, 6)]
    )
    assert bool(engine.verify())
    assert len(engine.search(QUERY, 100)) == 26


def test_more_text_than_is_kept_in_memory(engine, root):
    """Rows beyond a megabyte wait in a file without a name."""
    texts = {f"d{number}": f"{number} " * 200_000 for number in range(8)}
    added = [record(name, text=text, n=number) for number, (name, text) in enumerate(texts.items())]
    assert engine.upsert(iter(added)) == list(texts)
    assert {document.id: document.text for document in engine.scan()} == texts
    assert [document.id for document in engine.scan(where={"n": {"$gte": 5}})] == ["d5", "d6", "d7"]
    assert engine.verify()
    assert not [path for path in root.iterdir() if path.name.startswith("tmp")]


def test_an_interrupted_deletion_holds_nothing_back_while_its_exception_is_kept(engine, monkeypatch):
    """As ``sys.last_value`` of a notebook keeps it, with the cursors of all its frames."""
    from late_interaction.engines.local.catalog import connections, stored_words

    def interrupt(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return decompressed(*arguments)

    calls, decompressed = [], stored_words._decompressed
    monkeypatch.setattr(connections, "_BUSY_TIMEOUT_MS", 500)  # before any connection of the writes below
    engine.upsert([record(f"d{n}", n=n) for n in range(4)])
    engine._opened.catalog._connections._close_idle()
    monkeypatch.setattr(stored_words, "_decompressed", interrupt)
    with pytest.raises(KeyboardInterrupt) as kept:
        engine.delete(where={"n": {"$gte": 1}})
    monkeypatch.undo()
    assert engine.upsert([record("later")]) == ["later"]
    assert engine.count() == 5
    del kept
