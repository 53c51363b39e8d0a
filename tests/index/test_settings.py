"""Settings of a new index: bits, pooling, dim; and what does not depend on the index: device and profile."""

import numpy as np
import pytest

from late_interaction import Document, Index
from late_interaction.encoders import ReducedEncoder
from late_interaction.engines import LocalEngine
from late_interaction.engines.local import compaction
from late_interaction.errors import IncompatibleEncoderError, InvalidRequestError, InvalidVectorsError
from tests.fakes import WordEncoder

TEXTS = [
    f"{a} {b} {c}" for a in ["red", "green", "blue", "black"] for b in ["cat", "dog", "fox"] for c in ["runs", "sits"]
]


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_settings_are_remembered(path, word_encoder):
    with Index.open(path, encoder=word_encoder, bits=2, pooling=2, dim=8) as index:
        index.add([Document(text, id=text) for text in TEXTS])
        before = index.search("red fox", 5)
    with Index.open(path, encoder=word_encoder) as index:
        assert index.search("red fox", 5) == before
        info = index.info()
        assert (info["bits"], info["dim"], info["encoder"]["reduction"]) == (2, 8, {"pooling": 2, "dim": 8})
        assert info["tokens"] == 2 * len(TEXTS)


@pytest.mark.parametrize("same", [{"bits": 2}, {"pooling": 2}, {"dim": 8}])
def test_the_same_settings_may_be_given_again(path, word_encoder, same):
    Index.open(path, encoder=word_encoder, bits=2, pooling=2, dim=8).close()
    Index.open(path, encoder=word_encoder, **same).close()


@pytest.mark.parametrize("other", [{"bits": 4}, {"bits": None}, {"pooling": 3}, {"pooling": 1}, {"dim": 16}])
def test_other_settings_are_refused(path, word_encoder, other):
    Index.open(path, encoder=word_encoder, bits=2, pooling=2, dim=8).close()
    with pytest.raises((InvalidRequestError, InvalidVectorsError), match=r"created with|stays|dimension"):
        Index.open(path, encoder=word_encoder, **other)
    Index.open(path, encoder=word_encoder).close()  # and the lock is free


@pytest.mark.parametrize("bad", [{"bits": 5}, {"bits": "4"}, {"bits": True}, {"pooling": 0}, {"dim": 17}, {"dim": 0}])
def test_impossible_settings_make_no_index(path, word_encoder, bad):
    with pytest.raises(InvalidRequestError):
        Index.open(path, encoder=word_encoder, **bad)
    assert not path.exists()


def test_truncated_scores_are_those_of_truncated_vectors(path):
    encoder = WordEncoder()
    with Index.open(path, encoder=encoder, dim=5) as index:
        index.add([Document(text, id=text) for text in TEXTS])
        query = unit(encoder.encode_queries(["blue dog"])[0][:, :5])
        for hit in index.search("blue dog", 3):
            document = unit(encoder.encode_documents([hit.id])[0][:, :5])
            assert hit.score == pytest.approx((query @ document.T).max(axis=1).sum(), abs=1e-3)


def test_a_pooled_index_explains_words(path, word_encoder):
    with Index.open(path, encoder=word_encoder, pooling=3) as index:
        index.add([Document("red cat runs", id="a")])
        spans = index.explain("cat", "a").spans
    assert [(span.document_word, round(span.similarity, 3)) for span in spans] == [("cat", 1.0)]


def test_reranking_pools_what_it_encodes(path, word_encoder):
    with Index.open(path, encoder=word_encoder, pooling=2) as index:
        index.add([Document(text, id=text) for text in TEXTS])
        stored = index.rerank("red fox", ids=TEXTS[:5])
        fresh = index.rerank("red fox", documents=[Document(text, id=f"new {text}") for text in TEXTS[:5]])
        assert [hit.text for hit in fresh] == [hit.text for hit in stored]
        np.testing.assert_allclose([hit.score for hit in fresh], [hit.score for hit in stored], atol=2e-3)


def test_a_reduced_index_wants_its_encoder(path, word_encoder):
    Index.open(path, encoder=word_encoder, pooling=2).close()
    with pytest.raises(IncompatibleEncoderError):
        Index.open(path, encoder=WordEncoder(name="others"))


def test_compressed_search_keeps_documents(path, word_encoder, monkeypatch):
    monkeypatch.setattr(compaction, "_MIN_TRAINING_TOKENS", 60)
    with Index.open(path, encoder=word_encoder, bits=8) as index:
        index.add([Document(text, id=text, metadata={"color": text.split()[0]}) for text in TEXTS])
        assert index.info()["exact_tokens"] == 0
        assert {hit.id for hit in index.search("green fox", 2)} == {"green fox runs", "green fox sits"}
        assert len(index.search("green fox", 100, where={"color": "blue"})) == 6
        many = index.search_many(["green fox", "", "black dog"], 2)
        assert [len(hits) for hits in many] == [2, 0, 2]
        assert many[0] == index.search("green fox", 2)


def test_profile_names_the_stages(path, word_encoder, capsys):
    with Index.open(path, encoder=word_encoder) as index:
        index.add(TEXTS)
        capsys.readouterr()
        assert index.search("red fox", 3, profile=True) == index.search("red fox", 3)
    printed = capsys.readouterr()
    assert [line.split()[-1] for line in printed.err.splitlines()] == ["ms"] * len(printed.err.splitlines())
    assert "encode" in printed.err
    assert "fetch" in printed.err
    assert printed.out == ""


def test_warming_up_changes_nothing(path, word_encoder):
    with Index.open(path, encoder=word_encoder) as index:
        index.warm_up()
        index.add(TEXTS)
        index.warm_up()
        assert len(index) == len(TEXTS)


def test_an_unknown_device_is_an_error(path, word_encoder):
    with pytest.raises(InvalidRequestError, match="device"):
        Index.open(path, encoder=word_encoder, device="abacus")
    assert not path.exists()


@pytest.mark.parametrize("other", [{"pooling": 3}, {"pooling": 1}, {"dim": 16}, {"dim": 4}])
def test_other_settings_than_a_reduced_encoders_are_refused(path, word_encoder, other):
    encoder = ReducedEncoder(word_encoder, pooling=2, dim=8)
    with pytest.raises(InvalidRequestError, match=r"ReducedEncoder with .*pooling.*got"):
        Index.open(path, encoder=encoder, **other)
    assert not path.exists()
    Index.open(path, encoder=encoder, pooling=2, dim=8).close()
    with Index.open(path, encoder=word_encoder, pooling=2) as index:  # and they are remembered
        assert index.info()["encoder"]["reduction"] == {"pooling": 2, "dim": 8}
    with pytest.raises((InvalidRequestError, IncompatibleEncoderError)):
        Index.open(path, encoder=ReducedEncoder(word_encoder, pooling=3, dim=8))


def test_a_reduced_encoder_is_not_reduced_again(word_encoder):
    with pytest.raises(InvalidRequestError, match=r"encoder\.encoder"):
        ReducedEncoder(ReducedEncoder(word_encoder, pooling=2), pooling=2)


class TestAnIndexWithoutAnEncoder:
    """As it is left by a crash while it was created, or made with `LocalEngine` alone."""

    @pytest.fixture(autouse=True)
    def _engine(self, path):
        LocalEngine.open(path, dim=8).close()

    def test_pooling_needs_an_encoder(self, path, word_encoder):
        with pytest.raises(InvalidRequestError, match="encoder="):
            Index.open(path, pooling=2)
        with Index.open(path, encoder=word_encoder, pooling=2, dim=8) as index:
            assert index.info()["encoder"]["reduction"] == {"pooling": 2, "dim": 8}
        with pytest.raises(InvalidRequestError, match="pooling=2"):
            Index.open(path, encoder=word_encoder, pooling=3)

    @pytest.mark.parametrize("other", [{"dim": 4}, {"dim": 16}, {}])
    def test_another_dimension_is_refused(self, path, word_encoder, other):
        with pytest.raises((InvalidRequestError, IncompatibleEncoderError), match="dim"):
            Index.open(path, encoder=word_encoder, **other)


class Faulty(WordEncoder):
    """Gives vectors that cannot be used for texts with the word "bad"."""

    def __init__(self, fault):
        super().__init__()
        self.fault = fault

    def encode_documents(self, texts):
        encoded = super().encode_documents(texts)
        return [self.fault(one) if "bad" in text else one for text, one in zip(texts, encoded, strict=True)]


FAULTS = {
    "nan": lambda vectors: np.where(vectors == vectors[0, 0], np.nan, vectors),
    "infinity": lambda vectors: vectors * np.inf,
    "huge": lambda vectors: vectors.astype(np.float64) * 1e200,
    "another dimension": lambda vectors: vectors[:, :8],
    "the dimension that is kept": lambda vectors: vectors[:, :4],
    "one vector": lambda vectors: vectors[0],
    "three axes": lambda vectors: vectors[None],
    "words": lambda vectors: [["a"] * 16],
    "complex numbers": lambda vectors: vectors * 1j,
    "ragged": lambda vectors: [[1.0], [1.0, 2.0]],
    "nothing": lambda vectors: None,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("settings", [{}, {"pooling": 2}, {"dim": 4}, {"pooling": 2, "dim": 4}], ids=str)
def test_bad_vectors_are_refused_by_name(path, fault, settings):
    with Index.open(path, encoder=Faulty(fault), **settings) as index:
        index.add([Document("a fine text of words", id="fine")])
        with pytest.raises(InvalidVectorsError, match="'culprit'"):
            index.add([*TEXTS, Document("some bad text of words", id="culprit"), *map(str.upper, TEXTS)])
        with pytest.raises(InvalidVectorsError, match="'culprit'"):
            index.rerank("text", documents=["good", Document("some bad text of words", id="culprit")])
        assert [document.id for document in index.scan()] == ["fine"]
