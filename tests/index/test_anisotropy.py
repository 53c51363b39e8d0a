"""Explanations, heatmaps, diversity and pooling with encoders whose vectors have a strong common direction."""

from __future__ import annotations

from pydoc_data.topics import topics

import numpy as np
import pytest

from late_interaction import Document, Index
from late_interaction.encoders import ReducedEncoder
from late_interaction.engines.background import Background
from late_interaction.explanations.centering import Centering
from late_interaction.readers import read_paths, split_text
from tests.anisotropic import STRENGTHS, Anisotropic, AnisotropicPages, mix
from tests.fakes import ColourEncoder, WordEncoder

TOPICS = [
    "assignment",
    "class",
    "exceptions",
    "formatstrings",
    "for",
    "import",
    "integers",
    "lambda",
    "return",
    "try",
    "with",
]
QUERIES = [
    "How do I make sure a file is closed after an error?",
    "assign several names at once",
    "format a number with two decimals",
    "load a module from a package",
    "anonymous functions",
    "loop over the items of a list",
    "inherit from another class",
    "write numbers in base two",
]


def recall(found, true):
    return np.mean([len(set(one) & set(other)) / len(other) for one, other in zip(found, true, strict=True)])


def ranked(queries, documents, k=10):
    scores = [[float((query @ vectors.T).max(axis=1).sum()) for vectors in documents] for query in queries]
    return [sorted(range(len(documents)), key=lambda at: -of_one[at])[:k] for of_one in scores]


@pytest.fixture(scope="module")
def passages():
    return [passage for topic in TOPICS for passage in split_text(topics[topic], max_chars=500)[:7]]


class Cached:
    """The vectors of the offline encoder, made once for all tests of this file."""

    dim, fingerprint = 384, {"model": "minilm, cached"}

    def __init__(self, encoder, passages):
        self.token_spans = encoder.token_spans
        self._encoder = encoder
        self._documents = dict(zip(passages, encoder.encode_documents(passages), strict=True))

    def encode_queries(self, texts):
        return self._encoder.encode_queries(texts)

    def encode_documents(self, texts):
        return [self._documents[text] for text in texts]


@pytest.fixture(scope="module")
def cached(minilm, passages):
    return Cached(minilm, passages)


@pytest.fixture(scope="module")
def indexes(tmp_path_factory, cached, passages):
    """The same passages in an index for each mean cosine."""
    folder = tmp_path_factory.mktemp("anisotropy")
    encoders = {0.07: cached, **{cosine: Anisotropic(cached, strength) for cosine, strength in STRENGTHS.items()}}
    opened = {cosine: Index.open(folder / str(cosine), encoder=encoder) for cosine, encoder in encoders.items()}
    for index in opened.values():
        index.add([Document(passage, id=str(number)) for number, passage in enumerate(passages)])
    yield opened
    for index in opened.values():
        index.close()


def spans_of(index, hits):
    found = {}
    for query, ids in hits.items():
        for name, explanation in index.explain_many(query, ids).items():
            for number, span in enumerate(explanation.spans):
                found[query, name, number] = span
    return found


@pytest.mark.parametrize("cosine", STRENGTHS)
def test_matched_words_are_the_same(indexes, cosine):
    hits = {query: [hit.id for hit in indexes[0.07].search(query, k=3)] for query in QUERIES}
    expected, found = spans_of(indexes[0.07], hits), spans_of(indexes[cosine], hits)
    pairs = [(expected[key], found[key]) for key in expected.keys() & found.keys()]
    assert len(pairs) > 100
    # The others are ties within the noise of the coefficient, as of "a" with "the" and "an".
    assert np.mean([one.document_word == other.document_word for one, other in pairs]) >= 0.9
    assert np.quantile([abs(one.similarity - other.similarity) for one, other in pairs], 0.95) < 0.03


@pytest.mark.parametrize("cosine", STRENGTHS)
def test_the_score_of_an_explanation_is_that_of_the_search(indexes, cosine):
    hit = indexes[cosine].search(QUERIES[0], k=1)[0]
    assert indexes[cosine].explain(QUERIES[0], hit.id).score == pytest.approx(hit.score, abs=1e-2)


def test_diverse_hits_are_the_same(tmp_path, indexes, cached, passages):
    """Without noise in the coefficient, which changes the ranking itself."""
    diverse, plain = (
        [[hit.id for hit in indexes[0.07].search(query, k=5, diversity=weight)] for query in QUERIES]
        for weight in (0.5, None)
    )
    assert recall(plain, diverse) < 0.8  # diversity has an effect
    for strength in (0.95,):
        with Index.open(tmp_path / str(strength), encoder=Anisotropic(cached, strength, jitter=0)) as index:
            index.add([Document(passage, id=str(number)) for number, passage in enumerate(passages)])
            found = [[hit.id for hit in index.search(query, k=5, diversity=0.5)] for query in QUERIES]
        assert recall(found, diverse) >= 0.9


@pytest.mark.parametrize("factor", [2, 3])
def test_pooling_loses_no_more(cached, passages, factor):
    lost = {}
    for cosine, encoder in {0.07: cached, 0.95: Anisotropic(cached, STRENGTHS[0.95])}.items():
        queries, whole = encoder.encode_queries(QUERIES), encoder.encode_documents(passages)
        pooled = ReducedEncoder(encoder, pooling=factor).encode_documents(passages)
        assert [len(vectors) for vectors in pooled] == pytest.approx(
            [len(vectors) / factor for vectors in whole], abs=1
        )
        lost[cosine] = 1 - recall(ranked(queries, pooled), ranked(queries, whole))
    assert lost[0.95] <= lost[0.07] + 0.03


def test_pooled_vectors_do_not_depend_on_what_is_added_with_them(cached, passages):
    encoder = ReducedEncoder(Anisotropic(cached, 0.9), pooling=2)
    together = encoder.encode_documents(passages[:5])
    alone = ReducedEncoder(Anisotropic(cached, 0.9), pooling=2).encode_documents(passages[3:4])
    assert np.array_equal(together[3], alone[0])


@pytest.mark.parametrize("cosine", STRENGTHS)
def test_heatmaps_highlight_the_same_patches(tmp_path, report, cosine):
    heats = []
    for encoder in (ColourEncoder(dim=128), AnisotropicPages(ColourEncoder(dim=128), STRENGTHS[cosine])):
        with Index.open(tmp_path / str(len(heats)), encoder=encoder) as index:
            index.add(read_paths([report], modalities=["image"]))
            explanation = index.explain("red blue", f"{report.as_posix()}#page=2")
            assert [match.query_word for match in explanation.spans] == ["red", "blue"]
            heats.append([explanation.heat(word) for word in (None, "red", "blue")])
    for expected, found in zip(*heats, strict=True):
        assert expected.max() > 0.8
        assert ((found > 0.5) == (expected > 0.5)).all()
        assert np.abs(found - expected).max() < 0.1


class TestCentering:
    def test_vectors_without_a_common_part_stay_as_they_are(self):
        drawn = np.random.default_rng(0).normal(size=(40, 64)).astype(np.float32)
        vectors = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
        assert np.array_equal(Centering(Background.of([vectors[:20], vectors[20:]], 64))(vectors), vectors)

    def test_equal_vectors_stay_equal(self):
        vector = np.eye(1, 8, dtype=np.float32)
        for documents in ([vector], [vector, vector], [np.repeat(vector, 3, axis=0)]):
            centered = Centering(Background.of(documents, 8))(vector)
            assert (centered @ centered.T).item() == pytest.approx(1, abs=1e-4)

    def test_lengths_are_kept(self):
        drawn = mix(np.random.default_rng(1).normal(size=(200, 64)) / 8, 0.9)
        lengths = np.linspace(0.5, 3, 200, dtype=np.float32)[:, None]
        centering = Centering(Background.of([drawn[:100] * lengths[:100], drawn[100:] * lengths[100:]], 64))
        found = centering(drawn * lengths)
        assert np.linalg.norm(found, axis=1) == pytest.approx(lengths[:, 0], rel=1e-4)
        assert found == pytest.approx(centering(drawn) * lengths, abs=1e-4)
        assert not centering(np.zeros((2, 64), np.float32)).any()

    def test_unrelated_vectors_have_a_cosine_of_zero(self):
        for strength in (0.3, 0.9, 0.97):
            drawn = np.random.default_rng(1).normal(size=(400, 64))
            vectors = mix(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), strength, jitter=0.05)
            centered = Centering(Background.of(list(vectors.reshape(20, 20, 64)), 64))(vectors)
            assert abs(np.mean(centered @ centered.T)) < 0.01

    def test_an_index_of_no_vectors(self, tmp_path):
        with Index.open(tmp_path / "index", encoder=WordEncoder()) as index:
            index.add([Document("!", id="mute")])
            assert index.explain("nile", "mute").spans == ()
