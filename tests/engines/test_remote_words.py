"""Sparse vectors of words: what a server makes of them is close to the local engine's lexical search."""

from __future__ import annotations

import math

import numpy as np
import pytest
import qdrant_edge as edge

from late_interaction import Document
from late_interaction.engines import LocalEngine, Record
from late_interaction.engines.remote.words import highest_score, query_vector, word_vector
from tests.words.sentences import SENTENCES

NOTHING = np.zeros((0, 1), np.float32)
TEXTS = [line.strip().replace("|", "") for lines in SENTENCES.values() for line in lines.strip().splitlines()]


class Collection:
    """Documents as a server with IDF ranks them, in NumPy."""

    def __init__(self, texts, language):
        self.language = language
        vectors = [word_vector(text, language) for text in texts]
        self.count = len(texts)
        self.postings = {}
        for number, vector in enumerate(vectors):
            for index, value in zip(vector.indices.tolist(), vector.values.tolist(), strict=True):
                self.postings.setdefault(index, []).append((number, value))
        self.idf = {
            index: math.log((self.count - len(some) + 0.5) / (len(some) + 0.5) + 1)
            for index, some in self.postings.items()
        }

    def search(self, query, k=10):
        scores = np.zeros(self.count)
        vector = query_vector(query, self.language)
        for index, weight in zip(vector.indices.tolist(), vector.values.tolist(), strict=True):
            for number, value in self.postings.get(index, ()):
                scores[number] += weight * value * self.idf[index]
        best = np.argsort(-scores, kind="stable")[:k]
        return {int(number): float(scores[number]) for number in best if scores[number] > 0}


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """A function that returns what the local engine finds."""

    def opened(texts, language):
        engine = LocalEngine.open(tmp_path_factory.mktemp("words") / "index", dim=1, language=language)
        engine.upsert([Record(Document(text, id=str(number)), NOTHING) for number, text in enumerate(texts)])
        return engine

    return opened


LANGUAGES = {"german": "german", "russian": "russian", "japanese": None, "chinese": None, "thai": None, "korean": None}


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_of_every_script_are_found_as_by_the_local_engine(local, language):
    """Searched for among sentences of 34 languages: words, and whole sentences."""
    lines = [line.strip() for line in SENTENCES[language].strip().splitlines()]
    queries = [word for line in lines for word in line.replace("|", " ").split()] + [
        line.replace("|", "") for line in lines
    ]
    collection = Collection(TEXTS, LANGUAGES[language])
    with local(TEXTS, LANGUAGES[language]) as engine:
        for query in queries:
            expected = {int(match.id) for match in engine.search_lexical(query, 10)}
            found = collection.search(query)
            assert len(found.keys() & expected) >= 0.9 * len(expected), query
            assert len(found) <= len(expected) + 1, query


CODE = [
    "the Nile river",
    "The parsers of C++",
    "parse .net files",
    "fooBar in camel case",
    "foo-bar",
    "bar foo",
    "1,234",
]


@pytest.mark.parametrize(
    "query", ["c++", "parser", "Parsers", ".net", "bar", "FooBar", "foo-bar", "nile rivers", "4", "c"]
)
def test_names_and_stems(local, query):
    with local(CODE, "english") as engine:
        expected = {int(match.id) for match in engine.search_lexical(query, 10)}
    assert Collection(CODE, "english").search(query).keys() == expected


def test_a_word_as_it_is_written_comes_first():
    found = Collection(["parser one", "parsers one", "other"], "english").search("parsers")
    assert next(iter(found)) == 1
    assert found.keys() == {0, 1}


def test_characters_in_order_come_first():
    """A pair of pairs is one dimension: 京都 and 東京 apart say less than 東京都."""
    found = Collection(["東京都の人", "京都と東京", "都の人", "人"], None).search("東京都")
    assert found.keys() == {0}
    assert Collection(["東京都の人", "京都と東京", "都の人", "人"], None).search("都").keys() == {0, 1, 2}


@pytest.mark.parametrize("query", ["", "?!", " \n", "\u200b"])
def test_a_query_without_words_is_empty(query):
    vector = query_vector(query, "english")
    assert len(vector.indices) == len(vector.values) == 0
    assert len(word_vector(query, "english").indices) == 0


def test_the_form_of_vectors():
    vector = word_vector("The quick brown fox " * 50 + "東京都", "english")
    assert vector.indices.dtype == np.uint32
    assert vector.values.dtype == np.float32
    assert (np.diff(vector.indices.astype(np.int64)) > 0).all()
    assert (vector.values > 0).all()
    assert vector.values.max() < 2.2
    # Stored collections have these dimensions.
    assert query_vector("fox", "english").indices.tolist() == [3524821826, 3852951485]
    assert query_vector("fox", "english").values.tolist() == [0.5, 0.5]


def test_the_highest_score_is_the_limit_of_the_scores():
    texts = ["fox " * 3000 + "hen " * 3000, "fox", "hen", *["other"] * 20]
    collection = Collection(texts, "english")
    for query in ["fox", "fox hen"]:
        highest = highest_score(query, "english", collection.idf, len(texts))
        best = max(collection.search(query).values())
        assert 0.9 * highest < best < highest
    known = highest_score("fox", "english", collection.idf, len(texts))
    rarest = math.log((len(texts) + 0.5) / 0.5 + 1)
    # A word of no document counts as a word, but not as a way to write it.
    unknown = highest_score("fox zebra", "english", collection.idf, len(texts))
    assert unknown == pytest.approx(known + 0.5 * 2.2 * rarest)


def test_the_idf_follows_from_a_query_of_one_word(tmp_path):
    """As `highest_score` says it, asked of Qdrant's own engine."""
    texts = ["the fox", "the hen and the fox", "the", "another"]
    config = edge.EdgeConfig(
        vectors={}, sparse_vectors={"words": edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)}
    )
    shard = edge.EdgeShard.create(str(tmp_path), config)
    vectors = [word_vector(text, "english") for text in texts]
    shard.update(
        edge.UpdateOperation.upsert_points(
            [
                edge.Point(n, {"words": edge.SparseVector(one.indices.tolist(), one.values.tolist())}, {})
                for n, one in enumerate(vectors)
            ]
        )
    )
    expected = Collection(texts, "english").idf
    for index in query_vector("the fox another", "english").indices.tolist():
        request = edge.QueryRequest(
            query=edge.Query.Nearest(edge.SparseVector([index], [1.0]), "words"), limit=1, with_vector=True
        )
        (found,) = shard.query(request)
        own = vectors[found.id]
        weight = own.values[own.indices.tolist().index(index)]
        assert found.score / weight == pytest.approx(expected[index], rel=1e-4)
    shard.close()
