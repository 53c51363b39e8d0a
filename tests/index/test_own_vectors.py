"""Token vectors of the caller go in and are searched: of any library, lazily, with or without an encoder."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch

from late_interaction import Document, Index
from late_interaction.errors import (
    DuplicateIdError,
    IncompatibleEncoderError,
    IndexNotFoundError,
    InvalidRequestError,
    InvalidVectorsError,
    MissingEncoderError,
)
from tests.fakes import WordEncoder
from tests.index.helpers import FACTS, state

DIM = 16
IDS = ["a", "b", "c"]


def unit(seed, tokens, dim=DIM):
    vectors = np.random.default_rng(seed).normal(size=(tokens, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


ARRAYS = [unit(number, tokens) for number, tokens in enumerate([3, 5, 3])]


def documents(ids=IDS):
    return [Document(f"text of {name}", id=name) for name in ids]


def maxsim(query, vectors):
    query, vectors = np.asarray(query, np.float64), np.asarray(vectors, np.float16).astype(np.float64)
    return float((query @ vectors.T).max(axis=1).sum())


@pytest.fixture
def own(path):
    """An empty index without an encoder."""
    with Index.open(path, dim=DIM) as index:
        yield index


@pytest.fixture
def filled(own):
    own.add(documents(), vectors=ARRAYS)
    return own


FORMS = {
    "numpy": lambda arrays: arrays,
    "float16": lambda arrays: [array.astype(np.float16) for array in arrays],
    "float64, other order": lambda arrays: [np.asfortranarray(array.astype(np.float64)) for array in arrays],
    "lists of lists": lambda arrays: [array.tolist() for array in arrays],
    "tensors": lambda arrays: [torch.from_numpy(array) for array in arrays],
    "with a gradient": lambda arrays: [torch.from_numpy(array).requires_grad_() for array in arrays],
    "bfloat16": lambda arrays: [torch.from_numpy(array).bfloat16() for array in arrays],
    "lists of tensors": lambda arrays: [list(torch.from_numpy(array).bfloat16()) for array in arrays],
    "tuple": tuple,
    "iterator": iter,
}


@pytest.mark.parametrize("form", FORMS)
def test_what_holds_vectors(own, form):
    assert own.add(documents(), vectors=FORMS[form](ARRAYS)) == IDS
    (query,) = FORMS[form]([unit(9, 4)]) if form not in ("tuple", "iterator") else [unit(9, 4)]
    hits = own.search(query, 3)
    expected = {name: maxsim(unit(9, 4), array) for name, array in zip(IDS, ARRAYS, strict=True)}
    tolerance = 0.05 if "bfloat16" in form or form == "lists of tensors" else 5e-3
    assert {hit.id: hit.score for hit in hits} == pytest.approx(expected, abs=tolerance)
    assert [hit.id for hit in hits] == sorted(expected, key=expected.get, reverse=True)


@pytest.mark.parametrize("form", [np.asarray, torch.from_numpy])
def test_one_array_for_all(own, form):
    stacked = np.stack([unit(number, 4) for number in range(3)])
    own.add(documents(), vectors=form(stacked))
    assert own.search(stacked[1], 1)[0].id == "b"
    found = own.search_many(form(stacked), 1)
    assert [hits[0].id for hits in found] == IDS


def test_vectors_that_are_not_normalized_are_kept_as_given(own):
    own.add(documents(IDS[:1]), vectors=[3 * ARRAYS[0]])
    np.testing.assert_allclose(own.engine.vectors(["a"])["a"], 3 * ARRAYS[0], rtol=1e-2)
    assert own.search(2 * ARRAYS[0])[0].score == pytest.approx(6 * len(ARRAYS[0]), rel=1e-2)
    assert own.search(2 * ARRAYS[0])[0].relevance == 1


def test_no_tokens_and_no_text(own):
    """A document may be nothing but vectors, and may have none."""
    blank = [Document("", id=name) for name in IDS]
    own.add(blank, vectors=[ARRAYS[0], np.empty((0, DIM)), []])
    hits = own.search(ARRAYS[0], 3)
    assert [(hit.id, round(hit.score, 2)) for hit in hits] == [("a", 3.0), ("b", 0.0), ("c", 0.0)]
    assert own.search(np.empty((0, DIM))) == own.search([]) == own.search(" ") == []
    assert own.add([], vectors=[]) == []


class TestRefused:
    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            (unit(1, 2, DIM + 1), r"Vectors of 'b': expected dimension 16, got 17"),
            (unit(1, 2)[0], r"Vectors of 'b': expected shape \(tokens, 16\), got \(16,\)"),
            (unit(1, 2)[None], r"Vectors of 'b': expected shape \(tokens, 16\), got \(1, 2, 16\)"),
            (np.full((1, DIM), np.nan), "Vectors of 'b': holds NaN"),
            (torch.full((1, DIM), torch.inf, dtype=torch.bfloat16), "Vectors of 'b': holds NaN, infinity"),
            (torch.full((1, DIM), 1e300, dtype=torch.float64), "Vectors of 'b': holds NaN, infinity"),
            (torch.ones((1, DIM), dtype=torch.complex64), "Vectors of 'b': not an array of real numbers"),
            (torch.ones((1, DIM), dtype=torch.bool), "Vectors of 'b': not an array of real numbers"),
            (torch.ones((1, DIM), device="meta"), "Vectors of 'b': not an array of numbers"),
            (None, "Vectors of 'b': not an array of real numbers"),
            ([[1.0] * DIM, [1.0]], "Vectors of 'b': not an array of numbers"),
        ],
    )
    @pytest.mark.parametrize("lazy", [False, True])
    def test_bad_vectors_name_the_document_and_nothing_is_added(self, filled, bad, message, lazy):
        before = state(filled)
        vectors = [ARRAYS[0], bad, ARRAYS[2]]
        with pytest.raises(InvalidVectorsError, match=message):
            filled.add(documents(), vectors=iter(vectors) if lazy else vectors)
        assert state(filled) == before

    @pytest.mark.parametrize(
        ("count", "lazy", "message"),
        [
            (2, False, "3 documents and 2 arrays"),
            (4, False, "3 documents and 4 arrays"),
            (2, True, "at least 3 documents and 2 arrays"),
            (4, True, "3 documents and at least 4 arrays"),
            (0, True, "at least 1 documents and 0 arrays"),
        ],
    )
    def test_another_number_of_arrays(self, filled, count, lazy, message):
        before = state(filled)
        vectors = (ARRAYS * 2)[:count]
        with pytest.raises(InvalidVectorsError, match=f"{message}.*Nothing was added"):
            filled.add(documents(), vectors=iter(vectors) if lazy else vectors)
        assert state(filled) == before

    def test_one_array_for_one_document(self, own):
        with pytest.raises(InvalidVectorsError, match=r"1 documents and 3 arrays.*vectors=\[array\]"):
            own.add(documents(IDS[:1]), vectors=ARRAYS[0])
        for bad in ("vectors", 5, np.float32(5)):
            with pytest.raises((InvalidVectorsError, TypeError)):
                own.add(documents(), vectors=bad)

    def test_ids(self, own):
        with pytest.raises(DuplicateIdError):
            own.add([Document("x", id="a"), Document("y", id="a")], vectors=ARRAYS[:2])
        ids = own.add(["same", "same"], vectors=ARRAYS[:2])  # one document, with the vectors of the first
        assert ids[0] == ids[1]
        assert own.search(ARRAYS[0], 1)[0].score == pytest.approx(3, abs=1e-2)

    @pytest.mark.parametrize("bad", [unit(1, 2, 5), unit(1, 2)[0], [[np.nan] * DIM], unit(1, 2)[None]])
    def test_bad_query_vectors(self, filled, bad):
        for call in (filled.search, lambda query: filled.rerank(query, ids=["a"]), lambda q: filled.search_many([q])):
            with pytest.raises(InvalidVectorsError, match="Query vectors"):
                call(bad)


def test_memory_is_bounded(own):
    """Documents and vectors are taken one by one."""
    given = []

    def vectors():
        for number in range(300):
            array = unit(number, 3)
            given.append(weakref.ref(array))
            yield array
            del array
            assert sum(reference() is not None for reference in given) <= 2

    own.add((Document("", id=str(number)) for number in range(300)), vectors=vectors())
    assert len(own) == 300


class TestWithoutAnEncoder:
    def test_open_again(self, path):
        with pytest.raises(IndexNotFoundError):
            Index.open(path)
        with Index.open(path, dim=DIM, bits=2) as index:
            index.add(documents(), vectors=ARRAYS)
        for settings in ({}, {"dim": DIM}, {"read_only": True}):
            with Index.open(path, **settings) as index:
                assert index.search(ARRAYS[1], 1)[0].id == "b"
                assert (index.engine.dim, index.info()["encoder"], index.encoder_name) == (DIM, None, None)
                index.warm_up()
        with pytest.raises(InvalidRequestError, match="dim=16"):
            Index.open(path, dim=8)
        with pytest.raises(InvalidRequestError, match="encoder="):
            Index.open(path, pooling=2)

    @pytest.mark.parametrize("settings", [{"dim": 0}, {"dim": "8"}, {"dim": 8, "pooling": 2}])
    def test_settings_that_make_no_index(self, path, settings):
        with pytest.raises((InvalidRequestError, InvalidVectorsError)):
            Index.open(path, **settings)
        assert not path.exists()
        with pytest.raises(IndexNotFoundError):
            Index.open(path, dim=8, read_only=True)

    def test_what_needs_an_encoder_says_what_to_do(self, filled):
        before = state(filled)
        calls = [
            lambda: filled.add(["a text"]),
            lambda: filled.search("text"),
            lambda: filled.search("text", mode="hybrid"),
            lambda: filled.search_many([ARRAYS[0], "text"]),
            lambda: filled.rerank("text", ids=["a"]),
            lambda: filled.rerank(ARRAYS[0], documents=["not stored"]),
            lambda: filled.explain("text", "a"),
            lambda: filled.encoder,
        ]
        for call in calls:
            with pytest.raises(MissingEncoderError, match=r"vectors=.*search\(vectors\).*lexical.*encoder="):
                call()
        assert state(filled) == before

    def test_what_needs_none(self, filled):
        assert filled.search("text of b", mode="lexical")[0].id == "b"
        assert [hit.id for hit in filled.rerank(ARRAYS[2], ids=IDS, k=1)] == ["c"]
        given = documents()
        hits = filled.rerank(ARRAYS[2], documents=given)
        assert hits[0].document is given[2]
        assert hits[0].score == pytest.approx(3, abs=1e-2)
        assert [hit.id for hit in filled.search(ARRAYS[0], 3, min_relevance=0.9)] == ["a"]
        assert len(filled.search(ARRAYS[0], 2, diversity=0.5)) == 2
        assert [hit.id for hit in filled.search(ARRAYS[0], candidates=["c", "b"], k=9)] != []
        assert filled.update(["a"], metadata={"seen": True}) == 1
        assert filled.search(ARRAYS[0], where={"seen": True})[0].id == "a"

    def test_the_same_document_without_vectors_keeps_them(self, filled):
        before = filled.engine.vectors(IDS)
        filled.add([Document("text of a", id="a", metadata={"n": 1}), documents()[1]])
        assert filled.get(["a"])[0].metadata == {"n": 1}
        after = filled.engine.vectors(IDS)
        assert all((before[name] == after[name]).all() for name in IDS)
        with pytest.raises(MissingEncoderError):
            filled.add([Document("another text", id="a")])
        filled.add([Document("another text", id="a")], vectors=[ARRAYS[1]])
        assert filled.search(ARRAYS[1], 1)[0].score == pytest.approx(5, abs=1e-2)

    def test_the_first_encoder_is_remembered(self, filled, path):
        filled.close()
        with pytest.raises(IncompatibleEncoderError, match=r"dimension 16.*makes 8"):
            Index.open(path, encoder=WordEncoder(8))
        with Index.open(path, encoder=WordEncoder(DIM), read_only=True) as index:
            assert index.info()["encoder"] is None
        with Index.open(path, encoder=WordEncoder(DIM)) as index:
            index.add(["a river"])
            assert index.search("river", 1)[0].text == "a river"
            assert index.search(ARRAYS[0], 1)[0].id == "a"
        with pytest.raises(IncompatibleEncoderError):
            Index.open(path, encoder=WordEncoder(DIM, name="others"))


class TestWithAnEncoder:
    def test_both_in_one_index(self, facts, word_encoder):
        encoded = word_encoder.documents_encoded
        facts.add(documents(), vectors=ARRAYS)
        assert word_encoder.documents_encoded == encoded
        assert facts.search(ARRAYS[1], 1)[0].id == "b"
        assert facts.search("nile", 1)[0].id == "nile"
        (query,) = word_encoder.encode_queries(["river in africa"])
        ours, given = facts.search("river in africa", 4), facts.search(query, 4)
        assert [(hit.id, hit.score, hit.relevance) for hit in ours] == [
            (hit.id, hit.score, hit.relevance) for hit in given
        ]

    def test_given_vectors_win(self, facts):
        facts.add([FACTS[0]], vectors=[ARRAYS[0]])
        assert facts.search(ARRAYS[0], 1)[0].score == pytest.approx(3, abs=1e-2)

    def test_a_reduced_encoder(self, path):
        with Index.open(path, encoder=WordEncoder(DIM), dim=8, pooling=2) as index:
            index.add(["one two three", "four"], vectors=[unit(1, 3, 8), unit(2, 1, 8)])
            assert index.info()["tokens"] == 4  # what is given is not pooled
            with pytest.raises(InvalidVectorsError, match="dimension 8, got 16"):
                index.add(["five"], vectors=[unit(1, 3)])
            index.add(["six"])
            assert index.search("six", 1)[0].text == "six"

    def test_progress(self, index, capfd):
        index.add(documents(), vectors=ARRAYS, progress=True)
        assert "3/3" in capfd.readouterr().err
