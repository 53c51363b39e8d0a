"""Token vectors of every kind of checkpoint against an independent forward pass."""

from __future__ import annotations

import socket
import sys
import zlib
from contextlib import contextmanager

import numpy as np
import pytest

from late_interaction.encoders import Encoder, SpanEncoder, TextEncoder
from late_interaction.errors import InvalidRequestError
from tests.encoders.conftest import encode
from tests.encoders.texts import TEXTS

TASKS = ("query", "document")
TOLERANCE = 1e-5


def assert_close(actual, expected):
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE)


@contextmanager
def ids_read(encoder):
    """A list that fills with the token ids of every batch the transformer reads: (ids, attention mask) each."""
    batches = []

    def record(module, inputs):
        features = inputs[0]
        batches.append((features["input_ids"].tolist(), features["attention_mask"].tolist()))

    handle = encoder._model[0].register_forward_pre_hook(record)
    try:
        yield batches
    finally:
        handle.remove()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", TEXTS)
def test_token_ids(case, task, name):
    expected = case.oracle.read(TEXTS[name], task)
    with ids_read(case.encoder) as batches:
        case.encode([TEXTS[name]], task)
    [([ids], [attended])] = batches
    assert ids == [token.id for token in expected]
    assert attended == [int(token.attended) for token in expected]


@pytest.mark.parametrize("task", TASKS)
def test_vectors(case, task):
    encoded = case.encode(list(TEXTS.values()), task)
    assert len(encoded) == len(TEXTS)
    for vectors, text in zip(encoded, TEXTS.values(), strict=True):
        assert isinstance(vectors, np.ndarray)
        assert vectors.dtype == np.float32
        assert vectors.shape[1] == case.encoder.dim
        assert_close(vectors, case.oracle.encode(text, task))
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=TOLERANCE)


def test_encoders_have_the_shape_of_the_protocol(case):
    assert isinstance(case.encoder, TextEncoder)
    assert isinstance(case.encoder, Encoder)
    assert isinstance(case.encoder, SpanEncoder)


def test_the_oracle_can_tell_texts_and_tasks_apart(case):
    """Random weights that gave nearly the same vector to every token would prove nothing."""
    vectors = case.oracle.encode(TEXTS["plain"], "document")
    assert np.median(vectors @ vectors.T) < 0.95
    [query], [document] = case.encode([TEXTS["plain"]], "query"), case.encode([TEXTS["plain"]], "document")
    assert query.shape != document.shape


def test_minilm(minilm):
    assert minilm.dim == 384
    sentence = "Commas, dots. And (brackets)!"
    [query], [document] = minilm.encode_queries([sentence]), minilm.encode_documents([sentence])
    punctuation = 5
    assert len(query) == len(document) + punctuation
    [near], [far] = (
        minilm.encode_documents(["A cat sat on the mat."]),
        minilm.encode_documents(["Stocks fell sharply."]),
    )
    [query] = minilm.encode_queries(["kitten on a rug"])
    assert (query @ near.T).max(1).sum() > (query @ far.T).max(1).sum()


@pytest.mark.parametrize("task", TASKS)
def test_no_texts(case, task):
    assert list(case.encode([], task)) == []


@pytest.mark.parametrize("task", TASKS)
def test_white_space_around_does_not_count(case, task):
    plain, padded = case.encode(["two words", " \n two words\t\u3000"], task)
    assert_close(padded, plain)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("bad", [None, 5, b"bytes", ["nested"], {"text": "dict"}, ("a", "b"), np.zeros(3)])
def test_what_is_not_a_string_is_refused(case, task, bad):
    with pytest.raises(InvalidRequestError, match=type(bad).__name__):
        case.encode(["fine", bad], task)


@pytest.mark.parametrize("task", TASKS)
def test_a_lone_surrogate_is_refused(minilm, task):
    """No text in UTF-8 has one, but ``json.loads`` makes them; tokenizers raise a TypeError that names no text."""
    with pytest.raises(InvalidRequestError):
        encode(minilm, ["fine", "a\ud800b"], task)


@pytest.mark.parametrize("task", TASKS)
def test_the_list_of_texts_is_left_alone(case, task):
    texts = ["  b ", "a longer text", ""]
    case.encode(texts, task)
    assert texts == ["  b ", "a longer text", ""]


# A text is only ever text.

_events = []
_watching = False


def _audit(event, arguments):
    if _watching and event in {"open", "socket.connect", "socket.getaddrinfo", "socket.gethostbyname"}:
        _events.append((event, str(arguments[0]) if event == "open" else ""))


@contextmanager
def watched():
    """A list of the files and connections that Python opens inside the block."""
    global _watching
    if not hasattr(sys, "_late_interaction_tests_watch"):
        sys.addaudithook(_audit)  # for good: a hook cannot be removed
        sys._late_interaction_tests_watch = True
    _events.clear()
    _watching = True
    try:
        yield _events
    finally:
        _watching = False


def png():
    """A whole image of one pixel."""

    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (1).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    pixel = zlib.compress(b"\0\xff\0\0")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")


@pytest.fixture
def image_file(tmp_path):
    path = tmp_path / "pixel.png"
    path.write_bytes(png())
    return path


@pytest.mark.parametrize("task", TASKS)
def test_urls_and_paths_are_text(case, task, image_file, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a text was taken for an address")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    texts = ["https://127.0.0.1:9/x.png", str(image_file), f"file://{image_file}", "data:image/png;base64,iVBORw0KGgo="]
    with watched() as events:
        one_by_one = [case.encode([text], task)[0] for text in texts]
        together = case.encode(texts, task)
    assert not [path for event, path in events if event != "open" or "pixel.png" in path]
    for text, alone, batched in zip(texts, one_by_one, together, strict=True):
        expected = case.oracle.encode(text, task)
        assert_close(alone, expected)
        assert_close(batched, expected)


@pytest.mark.parametrize("task", TASKS)
def test_the_model_is_told_that_a_text_is_text(pylate_checkpoint, task, monkeypatch):
    """Text models never look; an image-capable one fetches a bare string that looks like the URL of an image."""
    from sentence_transformers import MultiVectorEncoder

    model = MultiVectorEncoder(str(pylate_checkpoint))
    given = []
    original = model.preprocess
    monkeypatch.setattr(model, "preprocess", lambda inputs, **rest: (given.extend(inputs), original(inputs, **rest))[1])
    encoder = TextEncoder(model)
    url = "https://127.0.0.1:9/x.png"
    encoder.encode_queries([url]) if task == "query" else encoder.encode_documents([url])
    encoder.token_spans(url, task)
    assert given == [{"text": url}] * 2
