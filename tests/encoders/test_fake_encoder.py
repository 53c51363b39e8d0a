"""The fake that other tests lean on keeps the promises of the protocol."""

from __future__ import annotations

import numpy as np
import pytest

from late_interaction.encoders import Encoder, SpanEncoder
from late_interaction.errors import InvalidRequestError
from tests.fakes import WordEncoder


def test_it_is_an_encoder(word_encoder):
    assert isinstance(word_encoder, Encoder)
    assert isinstance(word_encoder, SpanEncoder)
    assert word_encoder.dim == 16


def test_equal_words_match_and_others_do_not(word_encoder):
    [query] = word_encoder.encode_queries(["red Apples"])
    [document] = word_encoder.encode_documents(["APPLES, and pears."])
    assert (query.shape, document.shape) == ((2, 16), (3, 16))
    assert query.dtype == document.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(document, axis=1), 1, atol=1e-6)
    similarities = query @ document.T
    assert similarities[1, 0] == pytest.approx(1)
    assert np.abs(np.delete(similarities, 3)).max() < 0.9


def test_it_is_the_same_in_every_process():
    np.testing.assert_allclose(WordEncoder(dim=3).vector("word"), [-0.3213526, -0.6296372, -0.7073115], atol=1e-6)


def test_spans(word_encoder):
    text = " Two words! "
    assert word_encoder.token_spans(text, "query") == [(1, 4), (5, 10)]
    assert len(word_encoder.encode_documents([text])[0]) == 2


def test_it_counts(word_encoder):
    word_encoder.encode_queries(["a", "b"])
    word_encoder.encode_documents(["c"])
    word_encoder.encode_documents([])
    counted = (word_encoder.queries_encoded, word_encoder.documents_encoded, word_encoder.texts_encoded)
    assert counted == (2, 1, 3)


def test_no_words_no_vectors(word_encoder):
    assert word_encoder.encode_documents(["?!"])[0].shape == (0, 16)
    assert word_encoder.encode_queries([]) == []


def test_what_is_no_text_is_refused(word_encoder):
    with pytest.raises(InvalidRequestError):
        word_encoder.encode_queries([None])


def test_names_tell_encoders_apart():
    one, other = WordEncoder(), WordEncoder(name="others")
    assert one.fingerprint != other.fingerprint
    assert one.fingerprint == WordEncoder().fingerprint
    assert not np.allclose(one.vector("word"), other.vector("word"))
