"""What the local engine answers: scores, hits, order, filters, vectors; against numpy."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest

from late_interaction.documents import Document
from late_interaction.engines import Engine, LocalEngine, Record
from late_interaction.errors import (
    IndexClosedError,
    IndexNotFoundError,
    InvalidDocumentError,
    InvalidRequestError,
    InvalidVectorsError,
)
from tests.engines.helpers import DIM, documents_of, record, stored, true_score, unit_vectors

QUERY = unit_vectors(12345, 4)


def ids(found):
    return [item.id for item in found]


def ranking(records, query=QUERY):
    """The ids of the records and their scores, best first, by the definition."""
    scores = {item.document.id: true_score(query, item.vectors) for item in records}
    return sorted(scores.items(), key=lambda pair: -pair[1])


@pytest.fixture(scope="module")
def library(make_directory):
    """Forty documents of 0 to 9 tokens in several segments, with some replaced and some deleted."""
    records = {}
    with LocalEngine.open(make_directory("library") / "index", dim=DIM) as engine:
        for batch in range(5):
            numbers = range(batch * 8, batch * 8 + 8)
            batch_records = [record(f"d{n}", tokens=n % 10, n=n, even=n % 2 == 0, group=f"g{n % 4}") for n in numbers]
            engine.upsert(batch_records)
            records.update((item.document.id, item) for item in batch_records)
        replaced = [record(f"d{n}", tokens=4, seed=n + 900, n=n, even=n % 2 == 0, group="new") for n in (1, 9, 33)]
        engine.upsert(replaced)
        records.update((item.document.id, item) for item in replaced)
        engine.delete(ids=["d2", "d17"])
        engine.delete(where={"n": {"$in": [5, 38]}})
        for gone in ("d2", "d17", "d5", "d38"):
            del records[gone]
        yield engine, records


def test_it_is_an_engine(engine):
    assert isinstance(engine, Engine)
    assert engine.dim == DIM
    assert engine.read_only is False
    assert engine.path.is_dir()


@pytest.mark.parametrize("k", [1, 2, 10, 35, 36, 37, 1000])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_search_is_maxsim(library, k, seed):
    engine, records = library
    query = unit_vectors(seed, seed)
    expected = ranking(records.values(), query)
    found = engine.search(query, k)
    assert len(found) == min(k, len(records))
    assert len(set(ids(found))) == len(found)
    assert documents_of(engine, found) == [records[match.id].document for match in found]
    for match, (_, score) in zip(found, expected, strict=False):
        assert match.score == pytest.approx(score, abs=1e-3)
        assert match.score == pytest.approx(true_score(query, records[match.id].vectors), abs=1e-3)
        assert isinstance(match.score, float)
    assert [match.score for match in found] == sorted((match.score for match in found), reverse=True)


@pytest.mark.parametrize(
    ("where", "passes"),
    [
        ({"even": True}, lambda n: n % 2 == 0),
        ({"n": {"$lt": 3}}, lambda n: n < 3),
        ({"n": 7}, lambda n: n == 7),
        ({"n": 5}, lambda n: False),  # deleted
        ({"$not": {"even": True}}, lambda n: n % 2 == 1),
        ({}, lambda n: True),
        ({"nope": 1}, lambda n: False),
    ],
)
@pytest.mark.parametrize("k", [1, 5, 100])
def test_exactly_k_hits_of_those_that_pass(library, where, passes, k):
    engine, records = library
    chosen = {key: item for key, item in records.items() if passes(int(key[1:]))}
    expected = ranking(chosen.values())[:k]
    found = engine.search(QUERY, k, where=where)
    np.testing.assert_allclose([match.score for match in found], [score for _, score in expected], atol=1e-3)
    assert set(ids(found)) <= set(chosen)
    assert len(set(ids(found))) == min(k, len(chosen))
    assert engine.count(where=where) == len(chosen)
    assert set(ids(engine.scan(where=where))) == set(chosen)


def test_candidates(library):
    engine, records = library
    candidates = ["d3", "d30", "unknown", "d2", "d1", "d3", "d'; --"]
    living = {"d3", "d30", "d1"}
    found = engine.search(QUERY, 10, candidates=candidates)
    assert sorted(ids(found)) == sorted(living)
    expected = ranking(records[key] for key in living)
    np.testing.assert_allclose([match.score for match in found], [score for _, score in expected], atol=1e-3)
    assert ids(engine.search(QUERY, 1, candidates=candidates)) == ids(found)[:1]
    assert ids(engine.search(QUERY, 10, candidates=(name for name in candidates))) == ids(found)
    assert sorted(ids(engine.search(QUERY, 10, candidates=candidates, where={"even": True}))) == ["d30"]
    assert engine.search(QUERY, 10, candidates=[]) == []
    assert engine.search(QUERY, 10, candidates=["unknown"]) == []


@pytest.mark.parametrize(
    "document_id",
    [
        "plain",
        "it's",
        'quo"te',
        "back\\slash",
        "é",
        "e\u0301",
        "😀",
        "a b\n\tc",
        "%",
        "_",
        "x" * 5000,
        "a\x00b",
        "NULL",
    ],
)
def test_any_string_is_an_id(engine, document_id):
    engine.upsert([record("other"), record(document_id, note=document_id), record("a")])
    assert ids(engine.get([document_id])) == [document_id]
    assert ids(engine.search(QUERY, 5, candidates=[document_id])) == [document_id]
    assert ids(engine.search(QUERY, 5, where={"note": document_id})) == [document_id]
    assert list(engine.vectors([document_id])) == [document_id]
    assert engine.delete(ids=[document_id]) == 1
    assert ids(engine.scan()) == ["other", "a"]


def test_candidate_ids_must_be_strings(engine):
    engine.upsert([record("a")])
    for candidates in ("a", [1], [None], [b"a"], ["\ud800"]):
        with pytest.raises((InvalidRequestError, InvalidDocumentError)):
            engine.search(QUERY, candidates=candidates)


def test_one_document_of_one_token(engine):
    engine.upsert([Record(Document("t", id="only"), np.array([[0.5] + [0.0] * (DIM - 1)]))])
    found = engine.search([[2.0] + [0.0] * (DIM - 1)], k=3)
    assert [(match.id, match.score) for match in found] == [("only", 1.0)]


def test_documents_of_no_tokens_score_zero(engine):
    engine.upsert([record("none", tokens=0), record("also", tokens=0), record("some", tokens=1, seed=5)])
    opposite = -unit_vectors(5, 1)
    assert [(match.id, round(match.score, 2)) for match in engine.search(opposite, 3)] == [
        ("none", 0.0),
        ("also", 0.0),
        ("some", -1.0),
    ]
    assert engine.vectors(["none"])["none"].shape == (0, DIM)


def test_an_index_of_only_empty_documents(engine):
    engine.upsert([record("none", tokens=0)])
    assert [(match.id, match.score) for match in engine.search(QUERY)] == [("none", 0.0)]
    assert bool(engine.verify())


def test_a_query_of_no_tokens_scores_zero(engine):
    engine.upsert([record("a"), record("b")])
    assert [(match.id, match.score) for match in engine.search(np.zeros((0, DIM)), 5)] == [("a", 0.0), ("b", 0.0)]


def test_an_empty_index(engine):
    assert engine.search(QUERY) == []
    assert engine.search(QUERY, where={"a": 1}, candidates=["x"]) == []
    assert engine.search_lexical("text") == []
    assert engine.get(["a"]) == []
    assert engine.vectors(["a"]) == {}
    assert list(engine.scan()) == []
    assert engine.count() == 0
    assert engine.delete(ids=["a"]) == 0
    assert engine.clear() == 0
    assert engine.verify().problems == ()
    engine.compact()
    assert engine.info()["documents"] == 0


def test_of_equal_scores_the_older_comes_first(engine):
    vectors = unit_vectors(1, 2)
    for name in ("b", "a", "d"):
        engine.upsert([record(name, vectors=vectors)])
    engine.upsert([record("c", vectors=vectors), record("e", vectors=vectors)])
    assert ids(engine.search(QUERY, 5)) == ["b", "a", "d", "c", "e"]
    assert ids(engine.search(QUERY, 3)) == ["b", "a", "d"]
    engine.compact()
    assert ids(engine.search(QUERY, 5)) == ["b", "a", "d", "c", "e"]


@pytest.mark.parametrize("k", [0, -1, 1.5, "3", None, True])
def test_k_must_be_a_positive_integer(engine, k):
    engine.upsert([record("a")])
    with pytest.raises(InvalidRequestError, match="k must be"):
        engine.search(QUERY, k)
    with pytest.raises(InvalidRequestError, match="k must be"):
        engine.search_lexical("text", k)


@pytest.mark.parametrize(
    "query",
    [
        np.ones(DIM),
        np.ones((1, 2, DIM)),
        np.ones((1, DIM, DIM)),
        np.ones((2, DIM + 1)),
        np.ones((2, DIM - 1)),
        [],
        3,
        "text",
        None,
        [[1.0] * DIM, [1.0]],
        np.full((1, DIM), np.nan),
        np.full((1, DIM), np.inf),
        [[{1}] * DIM],
    ],
    ids=lambda query: repr(query)[:30],
)
def test_a_query_that_is_no_vectors(engine, query):
    engine.upsert([record("a")])
    with pytest.raises(InvalidVectorsError, match="Query vectors"):
        engine.search(query)


@pytest.mark.parametrize(
    "form",
    [
        lambda query: query.tolist(),
        lambda query: query.astype(np.float64),
        lambda query: np.asfortranarray(query),
        lambda query: query.astype(">f4"),
        lambda query: np.repeat(query, 2, axis=1)[:, ::2],
        lambda query: query[::-1][::-1].copy(),
        lambda query: np.ascontiguousarray(query[::-1])[::-1],  # a view of negative stride
        lambda query: np.ascontiguousarray(query[:, ::-1])[:, ::-1],
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_query_in_any_form(engine, form):
    engine.upsert([record("a")])
    expected = true_score(QUERY, record("a").vectors)
    assert engine.search(form(QUERY), 1)[0].score == pytest.approx(expected, abs=1e-3)


@pytest.mark.filterwarnings("error")
def test_a_query_that_must_not_be_written(engine):
    engine.upsert([record("a")])
    query = QUERY.copy()
    query.flags.writeable = False
    assert engine.search(query, 1)[0].score == pytest.approx(true_score(QUERY, record("a").vectors), abs=1e-3)


def test_a_torch_tensor_is_an_array(engine):
    torch = pytest.importorskip("torch")
    engine.upsert([record("a", vectors=torch.from_numpy(unit_vectors(3, 2)))])
    expected = true_score(QUERY, unit_vectors(3, 2))
    assert engine.search(torch.from_numpy(QUERY), 1)[0].score == pytest.approx(expected, abs=1e-3)


def test_vectors_come_back_as_they_were_rounded(library):
    engine, records = library
    found = engine.vectors([*records, "unknown", "d2", "d3", "d3"])
    assert list(found) == list(records)
    for key, item in records.items():
        assert found[key].dtype == np.float32
        assert np.array_equal(found[key], stored(item.vectors))
    assert engine.vectors([]) == {}


def test_vectors_are_a_copy(engine):
    engine.upsert([record("a")])
    engine.vectors(["a"])["a"][:] = 0
    assert np.array_equal(engine.vectors(["a"])["a"], stored(record("a").vectors))


def test_get_keeps_the_order_asked_for(library):
    engine, _ = library
    assert ids(engine.get(["d30", "d3", "nope", "d30", "d2", "d1"])) == ["d30", "d3", "d30", "d1"]
    assert engine.get([]) == []
    assert engine.get(["d1"])[0].metadata == {"n": 1, "even": False, "group": "new"}


@pytest.mark.parametrize("call", ["get", "vectors"])
@pytest.mark.parametrize("bad", ["abc", [1], [None], [""], ["a", b"b"]], ids=repr)
def test_ids_must_be_a_list_of_strings(engine, call, bad):
    with pytest.raises((InvalidRequestError, InvalidDocumentError)):
        getattr(engine, call)(bad)


def test_documents_come_back_as_they_were(engine):
    metadata = {
        "text": "é 😀 \x00",
        "numbers": [1, 1.0, -0.5, 2**63 - 1, 1e308],
        "nested": {"list": [{"a": None}, True, []], "": {}},
        "_private": "kept",
    }
    document = Document("line\nline\ttab \x00 é 😀", id="a", metadata=metadata, encoded_text="")
    engine.upsert([Record(document, unit_vectors(1, 1))])
    back = engine.get(["a"])[0]
    assert back == document
    assert json.dumps(back.metadata, sort_keys=True) == json.dumps(metadata, sort_keys=True)  # 1 and 1.0 apart
    assert list(engine.scan()) == [document]
    assert documents_of(engine, engine.search(QUERY)) == [document]
    assert back.encoded_text == ""


def test_a_content_id_survives_storage(engine):
    document = Document("text", metadata={"b": [1, 2.0], "a": None}, encoded_text="t")
    assert engine.upsert([Record(document, unit_vectors(1, 1))]) == [document.id]
    assert engine.get([document.id])[0].has_content_id


def test_scan_is_in_the_order_of_addition(engine):
    engine.upsert([record("c"), record("a")])
    engine.upsert([record("b")])
    engine.upsert([record("0")])
    assert ids(engine.scan()) == ["c", "a", "b", "0"]
    engine.delete(ids=["a"])
    engine.upsert([record("a", x=1), record("z", x=1)])
    assert ids(engine.scan()) == ["c", "b", "0", "a", "z"]
    assert ids(engine.scan(where={"x": 1})) == ["a", "z"]
    engine.compact()
    assert ids(engine.scan()) == ["c", "b", "0", "a", "z"]


def test_scan_keeps_to_the_state_it_began_with(engine):
    engine.upsert([record(f"old{n}", version=1) for n in range(50)])
    scan = engine.scan()
    first = next(scan)
    done = threading.Event()

    def write():
        engine.upsert([record(f"old{n}", version=2) for n in range(25)])
        engine.delete(ids=["old40", "old41"])
        engine.upsert([record(f"new{n}") for n in range(10)])
        engine.compact()
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    thread.join(timeout=30)
    assert done.is_set()  # a reader holds up no writer
    seen = [first, *scan]
    assert ids(seen) == [f"old{n}" for n in range(50)]
    assert {document.metadata["version"] for document in seen} == {1}
    assert engine.count() == 58


def test_two_scans_at_once_and_one_left_unfinished(engine):
    engine.upsert([record(f"d{n}") for n in range(5)])
    unfinished = engine.scan()
    next(unfinished)
    pairs = [(one.id, two.id) for one, two in zip(engine.scan(), engine.scan(), strict=True)]
    assert pairs == [(f"d{n}", f"d{n}") for n in range(5)]
    del unfinished
    engine.upsert([record("more")])
    assert engine.count() == 6


def test_an_index_may_be_fed_from_itself(engine):
    engine.upsert([record(f"d{n}") for n in range(5)])
    engine.upsert(record(document.id, tokens=1, copied=True) for document in engine.scan())
    assert engine.count(where={"copied": True}) == engine.count() == 5


def test_info_is_json(engine, root):
    engine.upsert([record(name, tokens=3) for name in "abcde"])
    engine.delete(ids=["a"])
    info = engine.info()
    assert json.loads(json.dumps(info)) == info
    assert (info["documents"], info["dim"], info["segments"], info["deleted_documents"]) == (4, DIM, 1, 1)
    assert info["path"] == str(root)
    assert (info["bits"], info["centroids"], info["exact_tokens"]) == (4, 0, 15)
    assert info["vector_bytes"] >= 15 * DIM * 2


def test_the_record_of_the_encoder(engine, root):
    assert engine.encoder_record is None
    engine.record_encoder({"model": "é", "probe": [0.5, None], "nested": {"a": True}})
    assert engine.encoder_record == {"model": "é", "probe": [0.5, None], "nested": {"a": True}}
    engine.record_encoder({"model": "other"})
    engine.close()
    with LocalEngine.open(root) as again:
        assert again.encoder_record == {"model": "é", "probe": [0.5, None], "nested": {"a": True}}  # the first stays


def test_reopening_finds_everything(engine, root):
    records = [record(f"d{n}", tokens=n, n=n) for n in range(6)]
    engine.upsert(records[:3])
    engine.upsert(records[3:])
    engine.delete(ids=["d0"])
    before = engine.search(QUERY, 10)
    engine.close()
    for dim in (None, DIM):
        with LocalEngine.open(root, dim=dim) as again:
            assert again.dim == DIM
            assert again.search(QUERY, 10) == before
            assert again.count(where={"n": {"$gte": 3}}) == 3
            assert ids(again.search_lexical("text", 10)) == ["d1", "d2", "d3", "d4", "d5"]
            assert bool(again.verify())


@pytest.mark.parametrize("dim", [1, 2, 48, 96, 100, 640])
def test_any_dimension(root, dim):
    with LocalEngine.open(root, dim=dim) as engine:
        records = [record(f"d{n}", tokens=n, dim=dim) for n in range(4)]
        engine.upsert(records)
        query = unit_vectors(9, 3, dim)
        expected = ranking(records, query)
        np.testing.assert_allclose(
            [match.score for match in engine.search(query, 10)], [score for _, score in expected], atol=1e-3
        )


@pytest.mark.parametrize("dim", [0, -1, 1.5, "8", True])
def test_a_dimension_that_is_none(root, dim):
    with pytest.raises(InvalidVectorsError, match="dim must be"):
        LocalEngine.open(root, dim=dim)
    assert not root.exists()


def test_opening_with_another_dimension(engine, root):
    engine.close()
    with pytest.raises(InvalidVectorsError, match=f"dimension {DIM}, not 9"):
        LocalEngine.open(root, dim=9)
    LocalEngine.open(root, dim=DIM).close()  # the failure has kept no lock


@pytest.mark.parametrize("read_only", [True, False])
def test_opening_what_is_not_there(root, read_only):
    with pytest.raises(IndexNotFoundError) as caught:
        LocalEngine.open(root, read_only=read_only)
    assert str(root) in str(caught.value)
    assert isinstance(caught.value, FileNotFoundError)
    with pytest.raises(IndexNotFoundError):
        LocalEngine.open(root, dim=DIM, read_only=True)
    assert not root.exists()


@pytest.mark.parametrize("name", ["a b", "é", "50% off?x=1#top", "quo'te", "-dash", "a/b/c"])
def test_any_path(tmp_path, name):
    with LocalEngine.open(tmp_path / name, dim=DIM) as engine:
        engine.upsert([record("a")])
    with LocalEngine.open(str(tmp_path / name), read_only=True) as engine:
        assert engine.count() == 1


def test_a_relative_path_stays_what_it_was(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with LocalEngine.open("index", dim=DIM) as engine:
        engine.upsert([record("a")])
        monkeypatch.chdir(tmp_path / "elsewhere")
        engine.upsert([record("b")])
        assert len(engine.search(QUERY)) == 2
        assert bool(engine.verify())
    assert (tmp_path / "index").is_dir()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_after_closing(engine):
    engine.upsert([record("a")])
    engine.close()
    engine.close()
    calls = [
        lambda: engine.search(QUERY),
        lambda: engine.search_lexical("text"),
        lambda: engine.get(["a"]),
        lambda: engine.vectors(["a"]),
        lambda: list(engine.scan()),
        engine.count,
        engine.info,
        engine.verify,
        engine.compact,
        lambda: engine.upsert([record("b")]),
        lambda: engine.delete(ids=["a"]),
        lambda: engine.record_encoder({}),
        lambda: engine.encoder_record,
    ]
    for call in calls:
        with pytest.raises(IndexClosedError):
            call()
