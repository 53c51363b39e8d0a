"""`Index` and its encoder: bad vectors, fingerprints, what is remembered."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from late_interaction import Document, Index
from late_interaction.engines import LocalEngine, Record
from late_interaction.errors import (
    IncompatibleEncoderError,
    InvalidRequestError,
    InvalidVectorsError,
    LateInteractionError,
    MissingEncoderError,
)
from tests.fakes import WordEncoder
from tests.index.helpers import FACTS, WINDOW, random_documents, state


class Faulty(WordEncoder):
    """Encodes well, but for texts with the word "bad"."""

    def __init__(self, fault):
        super().__init__()
        self.fault = fault

    def encode_documents(self, texts):
        encoded = super().encode_documents(texts)
        return self.fault(encoded) if any("bad" in text for text in texts) else encoded

    def encode_queries(self, texts):
        return self.encode_documents(texts)


def _with_last(value):
    def fault(encoded):
        encoded[-1] = value(encoded[-1])
        return encoded

    return fault


FAULTS = {
    "nan": _with_last(lambda vectors: np.where(vectors == vectors[0, 0], np.nan, vectors)),
    "infinity": _with_last(lambda vectors: vectors * np.inf),
    "beyond float16": _with_last(lambda vectors: vectors * 1e6),
    "another dimension": _with_last(lambda vectors: vectors[:, :8]),
    "one vector": _with_last(lambda vectors: vectors[0]),
    "three axes": _with_last(lambda vectors: vectors[None]),
    "words": _with_last(lambda vectors: [["a"] * 16]),
    "nothing for one": _with_last(lambda vectors: None),
    "too few": lambda encoded: encoded[:-1],
    "too many": lambda encoded: [*encoded, encoded[-1]],
    "nothing": lambda encoded: None,
}


class TestEncoders:
    @pytest.fixture
    def faulty(self, path, request):
        with Index.open(path, encoder=Faulty(request.param)) as index:
            index.add(FACTS)
            yield index

    @pytest.mark.parametrize("faulty", FAULTS.values(), ids=FAULTS, indirect=True)
    def test_bad_vectors_write_nothing(self, faulty):
        before = state(faulty)
        with pytest.raises(InvalidVectorsError):
            faulty.add([*random_documents(WINDOW + 7), Document("a bad one", id="nile")])
        assert state(faulty) == before
        assert faulty.verify()
        for call in (
            lambda: faulty.search("bad"),
            lambda: faulty.search_many(["fine", "bad"], mode="hybrid"),
            lambda: faulty.rerank("bad", ids=["nile"]),
            lambda: faulty.rerank("fine", documents=["good", "bad"]),
        ):
            with pytest.raises(InvalidVectorsError):
                call()
        faulty.add(["fine"])

    @pytest.mark.parametrize("encoder", [object(), 5, WordEncoder, {"dim": 16}])
    def test_what_is_no_encoder(self, path, encoder):
        with pytest.raises(LateInteractionError):
            Index.open(path, encoder=encoder)
        assert not path.exists()

    def test_fingerprint_that_is_not_json(self, path):
        class Strange(WordEncoder):
            @property
            def fingerprint(self):
                return {"model": object()}

        with pytest.raises(LateInteractionError):
            Index.open(path, encoder=Strange())

    def test_own_encoder_is_to_be_passed_again(self, path, word_encoder):
        with Index.open(path, encoder=word_encoder) as index:
            index.add(FACTS)
            expected = index.search("nile")
        with Index.open(path) as index:
            for call in (
                lambda: index.search("nile"),
                lambda: index.search("nile", mode="hybrid"),
                lambda: index.add(["more"]),
                lambda: index.rerank("nile", ids=["nile"]),
                lambda: index.explain("nile", "nile"),
            ):
                with pytest.raises(MissingEncoderError, match="encoder="):
                    call()
            assert [hit.id for hit in index.search("nile", mode="lexical")] == ["nile"]
            assert index.get(["nile"]) == FACTS[:1]
            assert list(index.scan(where={"kind": "city"})) == FACTS[2:4]
            assert index.delete(["mute"]) == 1
            assert index.verify()
        with Index.open(path, encoder=WordEncoder()) as index:
            assert index.search("nile") == [hit for hit in expected if hit.id != "mute"]

    def test_minilm_opens_again_by_itself(self, path, minilm):
        with Index.open(path, encoder=minilm) as index:
            index.add(FACTS)
            expected = index.search("longest stream of Egypt", k=2)
            assert expected[0].id == "nile"
        with Index.open(path, read_only=True) as index:
            assert index.search("longest stream of Egypt", k=2) == expected
            assert index.encoder is index.encoder

    @pytest.mark.parametrize("other", [WordEncoder(name="other"), WordEncoder(dim=8)], ids=["other name", "other dim"])
    @pytest.mark.parametrize("read_only", [False, True])
    def test_another_encoder_is_refused(self, path, word_encoder, other, read_only):
        with Index.open(path, encoder=word_encoder) as index:
            index.add(FACTS)
        with pytest.raises(IncompatibleEncoderError, match="another directory") as refused:
            Index.open(path, encoder=other, read_only=read_only)
        assert refused.tb is not None  # which keeps alive what was not closed
        with Index.open(path, encoder=word_encoder) as index:  # the refused one holds no lock
            assert index.search("germany", k=1)[0].id == "berlin"

    @pytest.mark.parametrize("changed", [{"seed": 9}, {"dim": 24}, {"document_length": 60}], ids=str)
    def test_another_model_under_the_remembered_name_is_refused(self, path, tmp_path, changed):
        from tests.checkpoints import stanford

        checkpoint = stanford(tmp_path / "checkpoint")
        with Index.open(path, encoder=checkpoint) as index:
            index.add(["the quick brown fox", "the rain in spain"])
        shutil.rmtree(checkpoint)
        stanford(checkpoint, **changed)
        with Index.open(path) as index:
            for _ in range(2):  # not only the first time
                with pytest.raises(IncompatibleEncoderError):
                    index.search("fox")
            with pytest.raises(IncompatibleEncoderError):
                index.add(["more"])
            assert len(index) == len(index.search("rain fox", mode="lexical")) == 2

    def test_lexical_index_never_loads_the_encoder(self, path, word_encoder, monkeypatch):
        with LocalEngine.open(path, dim=word_encoder.dim) as engine:
            engine.record_encoder({"source": "minilm", "revision": None, "fingerprint": {}})
            vectors = word_encoder.encode_documents([document.text for document in FACTS])
            engine.upsert(map(Record, FACTS, vectors))
        monkeypatch.setattr("late_interaction.index_encoder.shared_encoder", lambda *_, **__: pytest.fail("was loaded"))
        with Index.open(path, read_only=True) as index:
            index.search("nile", mode="lexical")
            index.info()


@pytest.mark.parametrize("fingerprint", ["toy-1", ["toy", 1], None])
def test_a_fingerprint_that_is_no_dict_makes_no_index(path, word_encoder, fingerprint):
    class Strange(WordEncoder):
        @property
        def fingerprint(self):
            return fingerprint

    with pytest.raises(InvalidRequestError, match="must be a dict"):
        Index.open(path, encoder=Strange())
    assert not path.exists()
