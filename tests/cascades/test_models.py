"""Scores and relevance of the models of sentence-transformers, and which are refused."""

from __future__ import annotations

import math

import pytest

from late_interaction import Cascade
from late_interaction.errors import InvalidRequestError


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
