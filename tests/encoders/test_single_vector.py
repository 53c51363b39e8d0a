"""Encoders with one vector for each text, against the model itself and the mean of token vectors."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from late_interaction import Document, Index
from late_interaction.encoders import PooledEncoder, SingleVectorEncoder, has_limits, load_encoder, reads_images
from late_interaction.errors import (
    IncompatibleEncoderError,
    InvalidRequestError,
    MissingEncoderError,
    TruncationWarning,
    UnsupportedCheckpointError,
)
from tests.checkpoints import bare_bert, single_vector
from tests.encoders import texts
from tests.fakes import ColourEncoder, WordEncoder

TEXTS = list(texts.TEXTS.values())
LONG = texts.TEXTS["too long"]
PROMPTS = {"query": "search: ", "document": "text: "}


@pytest.fixture(scope="module")
def folder(checkpoints):
    return single_vector(checkpoints / "single-vector", prompts=PROMPTS)


@pytest.fixture(scope="module")
def model(folder):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu")


@pytest.fixture(scope="module")
def encoder(folder):
    return SingleVectorEncoder(folder, device="cpu")


def test_vectors_are_those_of_the_model_with_its_prompts(encoder, model):
    for encode, expected in (
        (encoder.encode_queries, model.encode([f"search: {text}" for text in TEXTS])),
        (encoder.encode_documents, model.encode([f"text: {text}" for text in TEXTS])),
    ):
        encoded = encode(TEXTS)
        assert [vectors.shape for vectors in encoded] == [(1, encoder.dim)] * len(TEXTS)
        assert {vectors.dtype for vectors in encoded} == {np.dtype(np.float32)}
        assert np.concatenate(encoded) == pytest.approx(expected, abs=1e-5)
        assert np.linalg.norm(np.concatenate(encoded), axis=1) == pytest.approx(1, abs=1e-5)
    assert encoder.encode_queries([]) == []


def test_minilm_is_the_model_as_published():
    from sentence_transformers import SentenceTransformer

    from late_interaction.encoders.minilm_package import minilm_folder

    published = SentenceTransformer(str(minilm_folder()), device="cpu")
    vectors = SingleVectorEncoder("minilm", device="cpu").encode_documents(["Paris is in France.", "The Nile."])
    assert np.concatenate(vectors) == pytest.approx(published.encode(["Paris is in France.", "The Nile."]), abs=1e-5)


def test_any_thread_may_call(model):
    encoders = [SingleVectorEncoder(model), SingleVectorEncoder(model)]  # of one model: one mutex
    expected = np.concatenate(encoders[0].encode_documents(TEXTS))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: encoders[number % 2].encode_documents(TEXTS), range(12)))
    for vectors in found:
        assert np.concatenate(vectors) == pytest.approx(expected, abs=1e-5)


def test_truncated_texts_are_named(encoder, tmp_path):
    assert has_limits(encoder)
    assert encoder.document_length == 64
    assert encoder.truncated(["short", LONG, "", LONG[:70]], "document") == [1]
    with Index.open(tmp_path / "index", encoder=encoder) as index:
        with pytest.warns(TruncationWarning, match="1 document is longer than the encoder reads \\(64 tokens\\)"):
            index.add([Document(LONG, id="long"), Document("short", id="short")])
        assert index.info()["truncated_documents"] == 1


def test_an_index_of_single_vectors_ranks_by_cosine(encoder, model, tmp_path):
    with Index.open(tmp_path / "index", encoder=encoder, bits=None) as index:
        index.add([Document(text, id=str(number)) for number, text in enumerate(TEXTS) if text.strip()])
        hits = index.search("lazy dogs", k=len(TEXTS))
    query = model.encode_query("lazy dogs")
    cosines = {hit.id: float(model.encode_document(TEXTS[int(hit.id)]) @ query) for hit in hits}
    assert [hit.score for hit in hits] == pytest.approx(list(cosines.values()), abs=2e-3)
    assert hits[0].score == max(hit.score for hit in hits)


def test_indexes_of_single_vectors_and_of_token_vectors_refuse_each_other(tmp_path):
    single, late = SingleVectorEncoder("minilm", device="cpu"), load_encoder("minilm")
    Index.open(tmp_path / "single", encoder=single).close()
    Index.open(tmp_path / "late", encoder=late).close()
    Index.open(tmp_path / "pooled", encoder=PooledEncoder(late)).close()
    for name, others in (
        ("single", [late, PooledEncoder(late)]),
        ("late", [single, PooledEncoder(late)]),
        ("pooled", [single, late]),
    ):
        for other in others:
            with pytest.raises(IncompatibleEncoderError):
                Index.open(tmp_path / name, encoder=other)
    Index.open(tmp_path / "single", encoder=SingleVectorEncoder("minilm", device="cpu")).close()
    with Index.open(tmp_path / "single") as index, pytest.raises(MissingEncoderError, match="Pass it"):
        index.search("a query")


def test_an_encoder_of_another_checkpoint_is_refused(encoder, checkpoints, tmp_path):
    Index.open(tmp_path / "index", encoder=encoder).close()
    other = SingleVectorEncoder(single_vector(checkpoints / "other-single-vector", seed=5, prompts=PROMPTS))
    with pytest.raises(IncompatibleEncoderError, match="probe"):
        Index.open(tmp_path / "index", encoder=other)
    same = SingleVectorEncoder(single_vector(checkpoints / "same-single-vector", prompts=PROMPTS))  # a moved folder
    Index.open(tmp_path / "index", encoder=same).close()


def test_fingerprints_are_json(encoder):
    assert json.loads(json.dumps(encoder.fingerprint)) == encoder.fingerprint


def test_pickled_by_name_only(encoder, model):
    copy = pickle.loads(pickle.dumps(encoder))
    assert copy.encode_queries(["a"])[0] == pytest.approx(encoder.encode_queries(["a"])[0], abs=1e-6)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(SingleVectorEncoder(model))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "evil.Module"}, "names the class 'evil.Module'"),
        ({"path": "../elsewhere"}, "outside the checkpoint"),
    ],
)
def test_a_folder_runs_no_code_of_its_own(checkpoints, tmp_path, change, message):
    folder = single_vector(tmp_path / "model")
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([*modules, {**modules[-1], **change}]))
    with pytest.raises(UnsupportedCheckpointError, match=message):
        SingleVectorEncoder(folder)


def test_other_checkpoints_are_refused(pylate_checkpoint, tmp_path):
    for folder in (pylate_checkpoint, bare_bert(tmp_path / "bert")):
        with pytest.raises(UnsupportedCheckpointError, match="not a single-vector model"):
            SingleVectorEncoder(folder)
    with pytest.raises(UnsupportedCheckpointError, match="There is no folder"):
        SingleVectorEncoder(tmp_path / "missing")


@pytest.mark.parametrize("model", [WordEncoder(), None, 3])
def test_other_objects_are_refused(model):
    with pytest.raises(InvalidRequestError, match=r"takes a sentence_transformers\.SentenceTransformer"):
        SingleVectorEncoder(model)


def test_pooled_vectors_are_normalized_means():
    words = WordEncoder()
    pooled = PooledEncoder(words)
    texts = ["one two two", "one", ""]
    for encode, of_words in (
        (pooled.encode_documents, words.encode_documents),
        (pooled.encode_queries, words.encode_queries),
    ):
        encoded = encode(texts)
        assert [len(vectors) for vectors in encoded] == [1, 1, 0]
        for vectors, tokens in zip(encoded[:2], of_words(texts), strict=False):
            mean = tokens.sum(axis=0) / np.linalg.norm(tokens.sum(axis=0))
            assert vectors[0] == pytest.approx(mean, abs=1e-6)
    assert not has_limits(pooled)
    assert not reads_images(pooled)


def test_pooled_pages():
    from PIL import Image

    colours = ColourEncoder()
    pooled = PooledEncoder(colours)
    assert reads_images(pooled)
    page = Image.new("RGB", (64, 64), (255, 0, 0))
    [vectors], [patches] = pooled.encode_images([page]), colours.encode_images([page])
    assert vectors[0] == pytest.approx(patches.mean(axis=0) / np.linalg.norm(patches.mean(axis=0)), abs=1e-6)


def test_pooled_twice_is_refused(encoder):
    for single in (encoder, PooledEncoder(WordEncoder())):
        with pytest.raises(InvalidRequestError, match="one vector of each text already"):
            PooledEncoder(single)
    with pytest.raises(InvalidRequestError, match="not str"):
        PooledEncoder("minilm")
