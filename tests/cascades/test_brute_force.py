"""Cascades equal a restatement in plain Python: score all, sort, cut, again and again."""

from __future__ import annotations

import numpy as np
import pytest

from late_interaction import Cascade, Index
from late_interaction.encoders import PooledEncoder
from tests.cascades.conftest import WORDS, corpus, queries
from tests.fakes import WordEncoder

COUNT = 150
EVEN = {"even": True}


class BucketEncoder(WordEncoder):
    """Each word is one of the axes, so MaxSim counts words: whole numbers, exact in any precision, often equal."""

    def vector(self, word):
        return np.eye(self.dim)[int(word[1:]) % self.dim]


@pytest.fixture(scope="module")
def documents():
    return corpus(COUNT)


@pytest.fixture(scope="module")
def index(documents, tmp_path_factory):
    with Index.open(tmp_path_factory.mktemp("index") / "index", encoder=BucketEncoder(), bits=None) as index:
        index.add(documents)
        yield index


def late(query, texts):
    """MaxSim by its definition."""
    buckets = [{int(word[1:]) % 16 for word in text.split()} for text in texts]
    return [float(sum(int(word[1:]) % 16 in found for word in query.split())) for found in buckets]


def words_of_index(index, documents):
    """BM25 as the engine computes it for all documents; None for documents without a word of the query."""

    ids = {document.text: document.id for document in documents}

    def lexical(query, texts):
        scores = {match.id: match.score for match in index.engine.search_lexical(query, COUNT)}
        return [scores.get(ids[text]) for text in texts]

    return lexical


def sharing(query, texts):
    """A function of a user: how many characters of the query a text has, with many equal scores."""
    return [float(len(set(query) & set(text))) for text in texts]


def ranked(pairs, count):
    """The best pairs of a document and its score; of equal ones, those that come first."""
    return sorted(pairs, key=lambda pair: -pair[1])[:count]


def fused(query, documents, lexical):
    """Reciprocal rank fusion among the candidates."""
    texts = [document.text for document in documents]
    scores = dict.fromkeys(range(len(documents)), 0.0)
    for score in (late, lexical):
        given = [(at, one) for at, one in enumerate(score(query, texts)) if one]
        if score is late:
            given = list(enumerate(late(query, texts)))
        for rank, (at, _) in enumerate(ranked(given, len(given)), start=1):
            scores[at] += 1 / (60 + rank)
    return [scores[at] for at in range(len(documents))]


def restated(index, documents, stages, query, where):
    """The hits of a cascade as (id, score), best first."""
    lexical = words_of_index(index, documents)
    (kind, count), *others = stages
    passing = [document for document in documents if where is None or document.metadata["even"]]
    if kind == "late":
        found = ranked(zip(passing, late(query, [each.text for each in passing]), strict=True), count)
    else:  # what the engine finds, in its order
        by_id = {document.id: document for document in documents}
        found = [(by_id[hit.id], hit.score) for hit in index.search(query, count, mode=kind, where=where)]
    for kind, count in others:
        kept = [document for document, _ in found]
        texts = [document.text for document in kept]
        if kind == "hybrid":
            scores = fused(query, kept, lexical)
        elif kind == "lexical":
            scores = [one or 0.0 for one in lexical(query, texts)]
        else:
            scores = late(query, texts) if kind == "late" else sharing(query, texts)
        found = ranked(zip(kept, scores, strict=True), count)
    return [(document.id, score) for document, score in found]


def function(query, documents):
    return sharing(query, [document.text for document in documents])


STAGES = [
    [("lexical", 40), ("late", 10)],
    [("late", 40), ("lexical", 10)],
    [("lexical", 60), ("late", 30), (function, 10)],
    [("late", 50), (function, 20), ("hybrid", 10)],
    [("hybrid", 30), (function, 20), ("lexical", 20), ("late", 5)],
    [(kind, COUNT) for kind in ("late", "lexical", "hybrid", function)],
]


@pytest.mark.parametrize("case", range(len(STAGES)))
def test_modes_and_functions(index, documents, case):
    stages = STAGES[case]
    cascade = Cascade(index, stages)
    asked = queries(204)[case :: len(STAGES)]
    for where in (None, EVEN):
        for query, hits in zip(asked, cascade.search_many(asked, where=where), strict=True):
            expected = restated(index, documents, stages, query, where)
            assert [hit.id for hit in hits] == [name for name, _ in expected]
            assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], abs=1e-6)
            relevances = [hit.relevance for hit in hits]
            assert all(0 <= relevance <= 1 for relevance in relevances)
            assert relevances == sorted(relevances, reverse=True)


def cosines(model, texts):
    """The scores of some documents, of which the vectors are made once."""
    vectors = model.encode_document(texts)
    vectors[[not text for text in texts]] = 0  # a blank text is like nothing
    return lambda query, kept: vectors[kept] @ model.encode_query(query)


def dot_products(model, texts):
    vectors = model.encode_document(texts).to_dense().numpy()
    vectors[[not text for text in texts]] = 0
    return lambda query, kept: vectors[kept] @ model.encode_query(query).to_dense().numpy()


def pairs(model, texts):
    return lambda query, kept: model.predict([(query, texts[at]) for at in kept])


def cut(scores, count):
    """The best ids by their scores; None if rounding decides which are the best."""
    order = sorted(scores, key=lambda at: -scores[at])
    if count < len(order) and scores[order[count - 1]] - scores[order[count]] < 1e-5:
        return None
    return order[:count]


@pytest.mark.parametrize("order", ["dense-sparse-cross", "sparse-dense-cross"])
def test_models(documents, tmp_path, sentence_transformer, sparse_encoder, cross_encoder, order):
    models = {
        "dense": (sentence_transformer, cosines),
        "sparse": (sparse_encoder, dot_products),
        "cross": (cross_encoder, pairs),
    }
    chosen = [models[name] for name in order.split("-")]
    counts = [30, 8, 5]
    index = Index.open(tmp_path / "index", encoder=BucketEncoder())
    index.add(documents[:60])
    cascade = Cascade(index, [(model, count) for (model, _), count in zip(chosen, counts, strict=True)])
    texts = [document.text for document in documents[:60]]
    scorers = [score(model, texts) for model, score in chosen]
    asked = queries(8)
    compared = 0
    for query, hits in zip(asked, cascade.search_many(asked), strict=True):
        kept = list(range(len(texts)))
        for score, count in zip(scorers, counts, strict=True):
            if kept is not None:
                scores = dict(zip(kept, score(query, kept).tolist(), strict=True))
                kept = cut(scores, count)
        if kept is None:
            continue
        compared += 1
        found = [int(hit.id[1:]) for hit in hits]
        assert sorted(found) == sorted(kept)
        assert [hit.score for hit in hits] == pytest.approx([scores[at] for at in found], abs=1e-4)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert compared > 5
    index.close()


def test_another_index_first_and_later(index, documents, tmp_path):
    pooled = PooledEncoder(WordEncoder())
    encoded = pooled.encode_documents([document.text for document in documents])
    vectors = {document.id: vectors for document, vectors in zip(documents, encoded, strict=True)}
    with Index.open(tmp_path / "pooled", encoder=pooled, bits=None) as other:
        other.add(documents)
        for stages, first in (([(other, 20), ("late", 8)], True), ([("late", 20), (other, 8)], False)):
            cascade = Cascade(index, stages)
            for query in queries(20):
                asked = pooled.encode_queries([query])[0][0]
                cosine = {name: float(one[0] @ asked) if len(one) else 0.0 for name, one in vectors.items()}
                hits = cascade.search(query, where=EVEN)
                passing = {document.id: document.text for document in documents if document.metadata["even"]}
                maxsim = dict(zip(passing, late(query, list(passing.values())), strict=True))
                before, after = (cosine, maxsim) if first else (maxsim, cosine)
                kept = [name for name, _ in ranked([(name, before[name]) for name in passing], 20)]
                expected = ranked([(name, after[name]) for name in kept], 8)
                assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], abs=2e-3)
                assert hits.stages[0].kept == 20


def test_the_vocabulary_gives_equal_scores(index):
    """Otherwise ties would not be tested."""
    hits = index.search(" ".join(WORDS[:4]), 50)
    assert len({hit.score for hit in hits}) < 6
