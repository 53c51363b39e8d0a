"""Scores and relevance of the models of sentence-transformers, and which are refused."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from late_interaction import Cascade, Document
from late_interaction.errors import InvalidRequestError, TruncationWarning


def test_a_cross_encoder_decides_relevance_by_its_activation(index, cross_encoder):
    import torch

    pairs = [("w1", hit.text) for hit in index.search("w1", 6)]
    logits = dict(
        zip([text for _, text in pairs], cross_encoder.predict(pairs, activation_fn=torch.nn.Identity()), strict=True)
    )
    given = cross_encoder.activation_fn
    for activation in (torch.nn.Sigmoid(), torch.nn.Identity()):
        cross_encoder.activation_fn = activation
        try:
            hits = Cascade(index, [("late", 6), (cross_encoder, 6)]).search("w1")
        finally:
            cross_encoder.activation_fn = given
        for hit in hits:
            relevance = 1 / (1 + math.exp(-logits[hit.text]))
            assert hit.relevance == pytest.approx(relevance, abs=1e-5)
            assert hit.score == pytest.approx(
                relevance if type(activation) is torch.nn.Sigmoid else logits[hit.text], abs=1e-5
            )


def test_relevance_of_vectors(index, sentence_transformer, sparse_encoder):
    for hit in Cascade(index, [(sentence_transformer, 20)]).search("w1"):
        assert hit.relevance == pytest.approx(min(1, max(0, hit.score)))
    for hit in Cascade(index, [("late", 5), (sparse_encoder, 5)]).search("w1"):
        assert hit.relevance == pytest.approx(hit.score / (1 + hit.score))


def test_reports_have_the_kinds_of_models(index, sentence_transformer, sparse_encoder, cross_encoder):
    cascade = Cascade(index, [("late", 6), (sparse_encoder, 5), (sentence_transformer, 4), (cross_encoder, 3)])
    assert [report.stage for report in cascade.search("w1").stages] == [
        *("late", "sparse-encoder", "sentence-transformer", "cross-encoder"),
    ]
    with pytest.raises(InvalidRequestError, match="needs a text"):
        cascade.search(index.encoder.encode_queries(["w1"])[0])


def test_models_that_do_not_fit_are_refused(index, cross_encoder, checkpoints, pylate_checkpoint):
    from sentence_transformers import CrossEncoder, MultiVectorEncoder

    from tests.checkpoints import cross_encoder as with_labels

    with pytest.raises(InvalidRequestError, match="cannot be a 'cross-encoder' stage"):
        Cascade(index, [(cross_encoder, 10)])
    three = CrossEncoder(str(with_labels(checkpoints / "three-labels", labels=3)), device="cpu")
    with pytest.raises(InvalidRequestError, match=r"must have one output.* got 3"):
        Cascade(index, [("late", 10), (three, 10)])
    with pytest.raises(InvalidRequestError, match="is a MultiVectorEncoder"):
        Cascade(index, [(MultiVectorEncoder(str(pylate_checkpoint), device="cpu"), 10)])


def test_a_cross_encoder_warns_once_of_long_pairs(index, cross_encoder):
    limit = cross_encoder.max_seq_length
    index.add([Document("w1 " * limit, id="long"), Document("w1 " * (limit // 2 - 9), id="fits")])
    cascade = Cascade(index, [("late", 9), (cross_encoder, 9)])
    with warnings.catch_warnings():
        warnings.simplefilter("error", TruncationWarning)
        for _ in range(2):  # an error at each search, or the second would be cut silently
            with pytest.raises(TruncationWarning):
                cascade.search("w1", candidates=["long"])
        cascade.search("w1", candidates=["fits"])
    with pytest.warns(TruncationWarning, match=f"reads {limit} tokens .* 1 are longer, first 'long'") as given:
        cascade.search_many(["w1", "w2", "w1"], candidates=["long", "fits"])
    assert [(one.message.count, one.message.first, one.filename) for one in given] == [(1, "long", __file__)]


def test_a_sparse_encoder_warns_of_long_texts(index, sparse_encoder):
    limit = sparse_encoder.max_seq_length
    index.add([Document("w1 " * limit, id="long")])
    for stages in ([(sparse_encoder, 9)], [("late", 9), (sparse_encoder, 9)]):
        with pytest.warns(TruncationWarning, match=f"1 document is longer than the encoder reads .{limit} tokens"):
            Cascade(index, stages).search("w1", candidates=["long", "d1"])
    with pytest.warns(TruncationWarning, match="1 query is longer"):
        Cascade(index, [("late", 9), (sparse_encoder, 9)]).search("w1 " * limit, candidates=["d1"])


def test_long_texts_do_not_change_scores_of_others(index, cross_encoder):
    """Batches are of similar length; scores come back in the order of the candidates."""
    words = [" ".join(["w1", "w2", "w3"] * number) for number in (1, 60, 2, 40, 3)]
    index.add([Document(text, id=f"x{number}") for number, text in enumerate(words * 9)][: len(words)])
    hits = Cascade(index, [("late", 125), (cross_encoder, 125)]).search("w1 w2")
    expected = cross_encoder.predict([("w1 w2", hit.text) for hit in hits])
    assert [hit.score for hit in hits] == pytest.approx(expected.tolist(), abs=1e-5)


def test_models_that_read_images_open_no_text(index, cross_encoder, sparse_encoder, monkeypatch):
    """A plain string that looks like a file name or URL would be opened; the text in a dict is not."""
    given = []

    def predict(pairs, **_):
        given.extend(text for pair in pairs for text in pair)
        return np.zeros(len(pairs))

    def encode(texts, *, original=sparse_encoder.encode_document, **options):
        given.extend(texts)
        return original([text["text"] for text in texts], **options)

    index.add([Document("https://example.org/page.png", id="address")])
    monkeypatch.setattr(cross_encoder, "predict", predict)
    monkeypatch.setattr(sparse_encoder, "encode_document", encode)
    for model in (cross_encoder, sparse_encoder):
        monkeypatch.setattr(model, "supports", lambda modality: modality in ("text", "image"))
        Cascade(index, [("late", 125), (model, 125)]).search("w1", candidates=["address"])
    assert given == [{"text": "w1"}, {"text": "https://example.org/page.png"}, {"text": "https://example.org/page.png"}]
