"""Relevance: 0 is what an unrelated document gets, 1 is identity, on every encoder and in every call."""

from __future__ import annotations

import numpy as np
import pytest

from late_interaction import Document, Index
from late_interaction.engines import LocalEngine, Record
from late_interaction.engines.background import Background
from late_interaction.retrieval.reranking import rerank
from late_interaction.retrieval.scores import LateRelevance
from tests.conformance.helpers import unit_vectors
from tests.fakes import WordEncoder
from tests.index.helpers import QUERIES, WORDS, random_documents
from tests.relevance import null_of, null_score, relevance

DIM = 32


class Cone(WordEncoder):
    """A word's vector with a common direction mixed in, so that two words have about this cosine."""

    def __init__(self, cosine, dim=DIM, length=1.0):
        super().__init__(dim, name=f"cone {cosine} {length}")
        self.cosine = cosine
        self.length = length

    def vector(self, word):
        word_vector, common = WordEncoder(self.dim).vector(word), WordEncoder(self.dim, "common").vector("direction")
        rest = word_vector - common * (common @ word_vector)
        rest /= np.linalg.norm(rest)
        return self.length * (np.sqrt(self.cosine) * common + np.sqrt(1 - self.cosine) * rest)


def texts(count, words=400, seed=3):
    draw = np.random.default_rng(seed)
    return [" ".join(f"w{word}" for word in draw.integers(0, words, 30)) for _ in range(count)]


def opened(folder, encoder, given):
    index = Index.open(folder, encoder=encoder, bits=None)
    index.add([Document(text, id=str(number)) for number, text in enumerate(given)])
    return index


class TestDefinition:
    @pytest.mark.parametrize("count", [1, 2, 3, 15, 16, 17, 40])
    @pytest.mark.parametrize("shift", [0.0, 3.0])
    @pytest.mark.parametrize("length", [1.0, 2.5])
    def test_null_score(self, count, shift, length):
        documents = [length * (unit_vectors(seed, 1 + 3 * (seed % 5)) + shift) for seed in range(count)]
        query = length * (unit_vectors(99, 7) + shift)
        background = Background.of([np.float32(vectors) for vectors in documents], 16)
        expected = null_score(query, documents)
        assert background.null_score(np.float32(query)) == pytest.approx(expected, rel=1e-4)

    def test_relevance(self):
        query = unit_vectors(5, 6)
        scale = LateRelevance.of(query, 2.0)
        scores = [-1.0, 0.0, 2.0, 2.5, 4.0, 5.9, 6.0, 7.0]
        assert [scale(score) for score in scores] == pytest.approx([relevance(query, 2.0, score) for score in scores])
        assert [scale(2.0), scale(4.0)] == pytest.approx([0, 0.5], abs=1e-6)
        assert scale(6.0) == pytest.approx(1)

    def test_longer_vectors_than_the_query_s_have_relevances_in_their_order(self):
        scale = LateRelevance.of(unit_vectors(5, 6), 8.0)
        assert [scale(score) for score in (-1.0, 7.0, 8.0, 9.0)] == [0, 0, 0, 1]

    def test_queries_that_are_no_unit_vectors(self):
        query = 3 * unit_vectors(5, 6)
        assert LateRelevance.of(query, 18.0)(54.0) == pytest.approx(1)
        assert LateRelevance.of(query, 18.0)(36.0) == pytest.approx(0.5, abs=1e-6)

    def test_a_query_without_vectors(self):
        assert LateRelevance.of(np.empty((0, 4), np.float32), None)(0.0) == 0
        assert Background.of([unit_vectors(1, 2)], 16).null_score(np.empty((0, 16), np.float32)) == 0


class TestSameEverywhere:
    @pytest.mark.parametrize("query", QUERIES)
    def test_however_a_document_is_ranked(self, library, query):
        hits = library.search(query, k=90)
        vectors = WordEncoder().encode_queries([query])[0]
        null = null_of(library.engine, vectors)
        expected = {hit.id: relevance(vectors, null, hit.score) for hit in hits}
        assert len(set(expected.values())) > 3
        documents = random_documents(90)
        ids = [document.id for document in documents]
        for found in (
            hits,
            library.search(query, k=40, where={"even": True}),
            library.search(query, k=5, candidates=ids[10:30]),
            library.search(query, k=3, diversity=0.5),
            library.rerank(query, ids=ids[3:20]),
            library.rerank(query, documents=documents[40:70]),
        ):
            assert found
            assert {hit.id: hit.relevance for hit in found} == pytest.approx(
                {hit.id: expected[hit.id] for hit in found}, abs=2e-3
            )

    def test_it_grows_with_the_score(self, library):
        hits = library.search("deep old river", k=90)
        assert [hit.relevance for hit in hits] == sorted((hit.relevance for hit in hits), reverse=True)
        assert hits[0].relevance > 0.8
        assert hits[-1].relevance == 0

    def test_documents_that_are_not_stored_are_compared_with_those_that_are(self, library):
        stored = library.search("deep river", k=1)[0]
        fresh = library.rerank("deep river", documents=["deep river", stored.text])
        assert fresh[0].relevance == pytest.approx(1, abs=1e-3)
        assert fresh[1].relevance == pytest.approx(stored.relevance, abs=2e-3)

    @pytest.mark.parametrize("count", [1, 2, 5, 100])
    def test_without_an_index_documents_are_compared_with_each_other(self, count, path):
        encoder = WordEncoder()
        documents = random_documents(count)
        query = "nile river"
        vectors = encoder.encode_queries([query])[0]
        step = next(step for step in (1, 2, 4, 8) if count <= 32 * step)
        sample = encoder.encode_documents([document.text for document in documents[::step]])
        null = null_score(vectors, sample)
        hits = rerank(query, documents, encoder=encoder)
        assert [hit.relevance for hit in hits] == pytest.approx([relevance(vectors, null, hit.score) for hit in hits])
        with Index.open(path, encoder=encoder) as empty:
            assert empty.rerank(query, documents=documents) == hits

    def test_documents_without_vectors_are_not_relevant(self, facts):
        assert [hit.relevance for hit in facts.search("the nile", k=5) if hit.id == "mute"] == [0]
        assert facts.rerank("the nile", documents=["?!"])[0].relevance == 0
        assert rerank("the nile", [Document("?!")], encoder=WordEncoder())[0].relevance == 0


class TestEveryEncoder:
    def relevances(self, folder, encoder, given, queries):
        with opened(folder, encoder, given) as index:
            return np.array([[hit.relevance for hit in index.search(query, 3)] for query in queries])

    @pytest.mark.parametrize("count", [3, 16, 100])
    def test_a_common_direction_changes_nothing(self, tmp_path, count):
        given = texts(count)
        queries = [" ".join([*text.split()[:5], "other", "words"]) for text in given[:12]]
        found = [
            self.relevances(tmp_path / str(cosine), Cone(cosine), given, queries) for cosine in (0, 0.73, 0.91, 0.95)
        ]
        assert 0.5 < np.median(found[0][:, 0]) < 0.8
        for one in found[1:]:
            assert one == pytest.approx(found[0], abs=0.03)

    @pytest.mark.parametrize("cosine", [0, 0.91])
    def test_the_length_of_vectors_changes_nothing(self, tmp_path, cosine):
        given = texts(60)
        found = [
            self.relevances(tmp_path / str(length), Cone(cosine, length=length), given, given[:5])
            for length in (1.0, 0.25, 7.0)
        ]
        assert found[0][:, 0] == pytest.approx(np.ones(5), abs=1e-3)
        assert found[1] == pytest.approx(found[0], abs=5e-3)
        assert found[2] == pytest.approx(found[0], abs=5e-3)

    @pytest.mark.parametrize("cosine", [0, 0.73, 0.95])
    def test_unrelated_documents_have_none(self, tmp_path, cosine):
        with opened(tmp_path / "index", Cone(cosine), texts(100)) as index:
            hits = index.search("none of these words is in there", 100)
            assert np.median([hit.relevance for hit in hits]) < 0.05
            assert hits[0].relevance < 0.25
            assert index.search("none of these words is in there", min_relevance=0.4) == []


class TestSmallCollections:
    @pytest.mark.parametrize("cosine", [0, 0.73, 0.95])
    def test_one_document(self, tmp_path, cosine):
        query = "the nile is a river in africa"
        with opened(tmp_path / "itself", Cone(cosine), [query]) as index:
            assert index.search(query)[0].relevance == pytest.approx(1, abs=0.01)
            assert 0.2 < index.search("a river in asia")[0].relevance < 0.9
        with opened(tmp_path / "another", Cone(cosine), texts(1)) as index:
            assert index.search(query)[0].relevance < 0.15

    @pytest.mark.parametrize("copies", [1, 40])
    def test_one_word(self, tmp_path, copies):
        """All vectors of the index are equal, so they have no spread."""
        with opened(tmp_path / "index", WordEncoder(), ["hello"] * copies) as index:
            assert [hit.relevance for hit in index.search("hello", copies)] == [1] * copies
            assert index.search("river", 1)[0].relevance < 0.5

    @pytest.mark.parametrize("cosine", [0, 0.95])
    @pytest.mark.parametrize("copies", [1, 2, 40])
    def test_documents_that_are_all_alike(self, tmp_path, cosine, copies):
        """The median document is the query itself."""
        with opened(tmp_path / "index", Cone(cosine), ["one two three four"] * copies) as index:
            assert [hit.relevance for hit in index.search("one two three four", copies)] == pytest.approx(
                [1] * copies, abs=0.01
            )

    @pytest.mark.parametrize("cosine", [0, 0.95])
    def test_it_does_not_jump_while_a_collection_grows(self, cosine):
        given = texts(40)
        query = " ".join([*given[0].split()[:5], "other", "words"])
        documents = [Document(text) for text in given]
        found = [rerank(query, documents[:count], encoder=Cone(cosine))[0].relevance for count in range(2, 40)]
        assert max(found) - min(found) < 0.1
        assert np.abs(np.diff(found)).max() < 0.05

    def test_one_token(self, tmp_path):
        with LocalEngine.open(tmp_path / "index", dim=4, bits=None) as engine:
            engine.upsert([Record(Document("one"), np.eye(4)[:1])])
            index = Index(engine=engine, encoder=WordEncoder(4))
            vectors = index.encoder.encode_queries(["word"])[0]
            assert 0 <= index.search("word")[0].relevance <= 1
            assert engine.null_score(vectors) == pytest.approx(null_of(engine, vectors), abs=1e-6)


class TestThreshold:
    def test_late(self, library):
        hits = library.search("deep old river", k=30)
        limit = hits[9].relevance
        assert library.search("deep old river", k=30, min_relevance=limit) == [
            hit for hit in hits if hit.relevance >= limit
        ]

    @pytest.mark.parametrize("limit", [0.2, 0.5, 0.9])
    def test_hybrid_compares_the_relevance_of_late(self, library, limit):
        query = "deep old river"
        late = {hit.id: hit.relevance for hit in library.search(query, k=90)}
        hits = library.search(query, k=90, mode="hybrid")
        found = library.search(query, k=90, mode="hybrid", min_relevance=limit)
        assert found == [hit for hit in hits if late[hit.id] >= limit]
        assert 0 < len(found) < 90
        assert library.search(query, k=4, mode="hybrid", min_relevance=limit) == found[:4]

    @pytest.mark.parametrize("mode", ["late", "hybrid"])
    def test_nothing_answers(self, library, mode):
        assert library.search("quantum chromodynamics lectures", mode=mode, min_relevance=0.6) == []
        assert library.search("quantum chromodynamics lectures", mode=mode)

    def test_hybrid_scores_what_only_words_found(self, index):
        """More documents than one ranking is fused to, and words of which the vectors know nothing."""
        index.add([Document(f"{WORDS[number % 16]} number{number}", id=f"d{number}") for number in range(300)])
        hits = index.search("river number7", k=300, mode="hybrid", min_relevance=0.3)
        late = {hit.id: hit.relevance for hit in index.search("river number7", k=300)}
        assert hits
        assert all(late[hit.id] >= 0.3 for hit in hits)

    def test_diverse_hits_are_chosen_among_those_relevant_enough(self, library):
        query = "deep old river"
        limit = library.search(query, k=8)[-1].relevance
        best = {hit.id for hit in library.search(query, k=90, min_relevance=limit)}
        found = library.search(query, k=5, diversity=1.0, diversity_pool=90, min_relevance=limit)
        assert len(found) == 5
        assert {hit.id for hit in found} <= best
