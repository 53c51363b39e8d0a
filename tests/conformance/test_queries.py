"""A query is encoded once, whatever asks for it: search, explain, rerank, both frameworks, several threads."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from late_interaction import Document, Index
from late_interaction.errors import InvalidVectorsError
from late_interaction.retrieval import recent_queries
from late_interaction.retrieval.reranking import rerank
from tests.conformance.helpers import DIM, ids_of
from tests.conformance.weak_engines import ServerEngine
from tests.fakes import WordEncoder

QUERY = "old river"
DOCUMENTS = [Document(f"{word} old number{n}", id=f"d{n}") for n, word in enumerate(("river", "sea", "town", "tree"))]


@pytest.fixture
def engine(folder):
    """One engine is enough: none of them ever sees a text."""
    return ServerEngine.open(folder, dim=DIM)


@pytest.fixture
def filled(index):
    index.add(DOCUMENTS)
    return index


def test_search_rerank_and_a_second_index(filled, encoder):
    filled.search(QUERY)
    filled.search(QUERY, 2, candidates=["d1", "d2"])
    filled.search_many([QUERY, QUERY], 1)
    filled.rerank(QUERY, ids=["d1", "d2"])
    filled.rerank(QUERY, documents=[*DOCUMENTS, "another"])
    Index(engine=filled.engine, encoder=encoder).search(QUERY)
    rerank(QUERY, DOCUMENTS, encoder=encoder)
    assert encoder.queries_encoded == 1


def test_explanations_too(filled, encoder):
    filled.explain(QUERY, "d1")
    filled.explain_many(QUERY, ["d1", "d2"])
    filled.search(QUERY, diversity=0.5)
    filled.search(QUERY)
    assert encoder.queries_encoded == 1


def test_every_mode(filled, encoder):
    for mode in ("late", "lexical", "hybrid"):
        filled.search(QUERY, mode=mode)
    assert encoder.queries_encoded == 1


def test_langchain_retriever_and_reranker(filled, encoder):
    from late_interaction.langchain import LateInteractionReranker, LateInteractionRetriever

    found = LateInteractionRetriever(index=filled, k=3, explain=True, include_scores=True).invoke(QUERY)
    LateInteractionRetriever(index=filled, k=2).batch([QUERY, QUERY])
    assert len(LateInteractionReranker(index=filled, top_n=2).compress_documents(found, QUERY)) == 2
    assert encoder.queries_encoded == 1


def test_llama_index_retriever_and_reranker(filled, encoder):
    from llama_index.core.schema import QueryBundle

    from late_interaction.llama_index import LateInteractionRerank, LateInteractionRetriever

    found = LateInteractionRetriever(index=filled, similarity_top_k=3, explain=True).retrieve(QUERY)
    assert len(LateInteractionRerank(index=filled, top_n=2).postprocess_nodes(found, QueryBundle(QUERY))) == 2
    assert encoder.queries_encoded == 1


def test_one_call_encodes_each_query_once(filled, encoder):
    queries = [QUERY, "sea", QUERY, " ", "sea", "town"]
    assert [len(hits) for hits in filled.search_many(queries, 2)] == [2, 2, 2, 0, 2, 2]
    assert encoder.queries_encoded == 3
    filled.search("town")
    assert encoder.queries_encoded == 3


def test_queries_are_told_apart_by_every_character(filled, encoder):
    for number, query in enumerate(["river", "River", "river ", "rivér", "rive\u0301r"], start=1):
        filled.search(query)
        assert encoder.queries_encoded == number


def test_encoders_are_told_apart(filled):
    """Also one at the same place in memory as another that is gone."""
    hits = filled.search("river")
    for number in range(50):
        other = WordEncoder(DIM, f"other {number}")
        (hit,) = rerank("river", [Document("river")], encoder=other)
        assert hit.score == pytest.approx(1, abs=1e-5)
        del other
    assert filled.search("river") == hits


def test_the_last_queries_are_kept_and_not_all(filled, encoder):
    for number in range(300):
        filled.search(f"query number{number}", 1)
    encoded = encoder.queries_encoded
    assert encoded == 300
    filled.search("query number299", 1)
    assert encoder.queries_encoded == encoded
    filled.search("query number0", 1)
    assert encoder.queries_encoded == encoded + 1


def test_a_query_in_use_stays(filled, encoder):
    for number in range(300):
        filled.search(QUERY, 1)
        filled.search(f"query number{number}", 1)
    assert encoder.queries_encoded == 301


def test_long_queries_are_kept_within_a_bound_of_memory(filled, encoder, monkeypatch):
    monkeypatch.setattr(recent_queries, "_MAX_BYTES", 1 << 20)
    words = " ".join(f"word{number}" for number in range(1_000))  # 64 kB each: 17 of them are more than that
    for number in range(20):
        filled.search(f"{words} {number}", 1, candidates=["d0"])
    filled.search(f"{words} 0", 1, candidates=["d0"])
    assert encoder.queries_encoded == 21
    filled.search(f"{words} 19", 1, candidates=["d0"])
    assert encoder.queries_encoded == 21


def test_no_encoder_is_kept_alive(engine):
    encoder = WordEncoder(DIM)
    index = Index(engine=engine, encoder=encoder)
    index.add(DOCUMENTS)
    index.search(QUERY)
    gone = weakref.ref(encoder)
    del encoder, index
    gc.collect()
    assert gone() is None


def test_an_encoder_that_uses_its_array_again(engine):
    class Reusing(WordEncoder):
        def encode_queries(self, texts):
            encoded = super().encode_queries(texts)
            for kept, new in zip(self.kept, encoded, strict=False):
                kept[: len(new)] = new
            return [kept[: len(new)] for kept, new in zip(self.kept, encoded, strict=False)]

    encoder = Reusing(DIM)
    encoder.kept = [WordEncoder(DIM).encode_queries(["a b c d e f g h"])[0] for _ in range(4)]
    index = Index(engine=engine, encoder=encoder)
    index.add(DOCUMENTS)
    first = index.search("river", 2)
    index.search("sea", 2)
    assert index.search("river", 2) == first


def test_an_encoder_of_any_class(engine):
    """One with slots cannot be remembered, one with equality of its own is not confused with others."""

    class Slots:
        __slots__ = ("calls", "inner")
        dim = DIM
        fingerprint = WordEncoder(DIM).fingerprint

        def encode_queries(self, texts):
            self.calls += 1
            return self.inner.encode_queries(texts)

        def encode_documents(self, texts):
            return self.inner.encode_documents(texts)

    class Equal(WordEncoder):
        __hash__ = None

        def __eq__(self, other):
            return True

    slots = Slots()
    slots.calls, slots.inner = 0, WordEncoder(DIM)
    index = Index(engine=engine, encoder=slots)
    index.add(DOCUMENTS)
    expected = index.search(QUERY)
    assert Index(engine=engine, encoder=slots).search(QUERY) == expected
    equal = Equal(DIM)
    assert Index(engine=engine, encoder=equal).search(QUERY) == expected
    assert Index(engine=engine, encoder=equal).search(QUERY) == expected
    assert equal.queries_encoded == 1


def test_an_error_is_not_kept(filled, encoder, monkeypatch):
    class Failed(Exception):
        pass

    def fail(texts):
        raise Failed

    with monkeypatch.context() as patched:
        patched.setattr(encoder, "encode_queries", fail)
        with pytest.raises(Failed):
            filled.search(QUERY)
    with monkeypatch.context() as patched:
        patched.setattr(encoder, "encode_queries", lambda texts: [[["not numbers"]]])
        with pytest.raises(InvalidVectorsError):
            filled.search(QUERY)
    assert len(filled.search(QUERY)) == 4


def test_vectors_that_are_kept_cannot_be_changed(filled, encoder):
    given = []

    class Watching:
        def __getattr__(self, name):
            return getattr(filled.engine, name)

        def search(self, query_vectors, *arguments, **options):
            given.append(query_vectors)
            return filled.engine.search(query_vectors, *arguments, **options)

    Index(engine=Watching(), encoder=encoder).search(QUERY)
    with pytest.raises(ValueError, match="read-only"):
        given[0][0, 0] = 9


class TestThreads:
    def test_the_same_query_from_many(self, filled, encoder):
        expected = filled.search(QUERY, 3)
        barrier = threading.Barrier(16)

        def search(number):
            barrier.wait()
            return filled.search("river sea" if number % 2 else QUERY, 3)

        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(search, range(16)))
        assert found[::2] == [expected] * 8
        assert found[1::2] == [filled.search("river sea", 3)] * 8
        assert encoder.queries_encoded <= 1 + 8

    def test_different_queries_from_many(self, filled):
        queries = [f"river number{number % 70}" for number in range(280)]
        expected = {query: ids_of(filled.search(query, 4)) for query in set(queries)}
        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(lambda query: ids_of(filled.search(query, 4)), queries))
        assert found == [expected[query] for query in queries]

    def test_many_indexes_over_one_encoder(self, filled, encoder):
        def search(number):
            return ids_of(Index(engine=filled.engine, encoder=encoder).search(f"sea number{number % 4}", 2))

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(search, range(64)))
        assert found == [search(number) for number in range(64)]
        assert encoder.queries_encoded <= 4 * 8
