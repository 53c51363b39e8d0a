"""`Index` over every engine: right hits in every mode, also where the engine takes few ids, and few documents read."""

from __future__ import annotations

import re

import numpy as np
import pytest

from late_interaction import Document, Index
from late_interaction.documents import DocumentFields
from late_interaction.errors import UnknownIdError
from tests.conformance.helpers import DIM, at_most, ids_of, needs
from tests.conformance.interference import Interrupted
from tests.fakes import ColourEncoder, WordEncoder
from tests.index.helpers import random_documents, true_maxsim
from tests.pictures import two_colours
from tests.relevance import null_of, relevance

FUSED = 30  # matches of each ranking, for ten hits

COUNT = 70
QUERY = "deep old river"
WORDS_OF_ONE = random_documents(4)[3].text


def truth(document, query=QUERY):
    return true_maxsim(query, document.text)


@pytest.fixture
def documents():
    return random_documents(COUNT)


@pytest.fixture
def library(index, documents):
    """An index of random documents, with others deleted and replaced before."""
    index.add([Document("to be replaced", id="d3"), Document("to be deleted", id="gone")])
    index.add(documents[:40])
    index.add(documents[40:])
    index.delete(["gone"])
    return index


def tolerance(index):
    """Of MaxSim of the three words of the query: rounding to half precision, or what 4 bits lose."""
    compressed = index.engine.capabilities.vectors and not index.engine.capabilities.exact_search
    return 0.4 if compressed else 5e-3


def check_scores(index, hits, documents):
    by_id = {document.id: document for document in documents}
    vectors = WordEncoder(DIM).encode_queries([QUERY])[0]
    null = null_of(index.engine, vectors)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert len(set(ids_of(hits))) == len(hits)
    for hit in hits:
        assert hit.document == by_id[hit.id]
        assert hit.score == pytest.approx(truth(hit.document), abs=tolerance(index))
        assert hit.relevance == pytest.approx(relevance(vectors, null, hit.score), abs=1e-4)


class TestLate:
    def test_hits_are_documents_with_their_scores(self, library, documents):
        hits = library.search(QUERY, 10)
        assert len(hits) == 10
        check_scores(library, hits, documents)

    def test_with_a_filter(self, library, documents):
        hits = library.search(QUERY, 10, where={"even": True})
        assert len(hits) == 10
        check_scores(library, hits, [document for document in documents if document.metadata["even"]])

    def test_a_query_without_words(self, library):
        hits = library.search("!?", 10)
        assert [(hit.score, hit.relevance) for hit in hits] == [(0.0, 0.0)] * 10

    def test_blank_queries_have_no_hits(self, library):
        assert library.search("  ") == []
        found = library.search_many(["", QUERY, " "], 3)
        assert [len(hits) for hits in found] == [0, 3, 0]

    def test_many_queries(self, library):
        queries = [QUERY, "bread wine", "old stone", "the sea", QUERY]
        assert library.search_many(queries, 5) == [library.search(query, 5) for query in queries]

    def test_min_relevance(self, library):
        hits = library.search(QUERY, 15)
        limit = hits[6].relevance
        assert library.search(QUERY, 15, min_relevance=limit) == [hit for hit in hits if hit.relevance >= limit]

    def test_relevance_means_the_same_in_every_engine(self, library):
        best, worst = library.search(WORDS_OF_ONE, 1)[0], library.rerank(WORDS_OF_ONE, ids=["d5", "d7", "d9"])[-1]
        assert best.relevance == pytest.approx(1, abs=0.05)
        assert worst.relevance < 0.5
        assert library.search("entirely other things", 20, min_relevance=0.6) == []

    def test_k_above_the_size(self, index):
        index.add(["a river", "the sea", "!!!"])
        assert len(index.search(QUERY, at_most(index.engine, 100))) == 3


class TestCandidates:
    """More of them than the engine takes at a time are searched in groups."""

    @pytest.mark.parametrize("count", [1, 19, 20, 21, 40, 59, 70])
    def test_the_best_of_any_number(self, library, documents, count):
        chosen = documents[::-1][:count]
        candidates = [document.id for document in chosen]
        k = at_most(library.engine, 12)
        hits = library.search(QUERY, k, candidates=[*candidates, "unknown", *candidates[:2]])
        check_scores(library, hits, chosen)
        best = sorted((library.rerank(QUERY, ids=[key])[0].score for key in candidates), reverse=True)[:k]
        assert [hit.score for hit in hits] == pytest.approx(best, abs=1e-4)

    def test_with_a_filter(self, library, documents):
        candidates = [document.id for document in documents]
        hits = library.search(QUERY, 15, candidates=candidates, where={"even": False})
        assert len(hits) == 15
        check_scores(library, hits, [document for document in documents if not document.metadata["even"]])

    def test_none(self, library):
        assert library.search(QUERY, candidates=[]) == []
        assert library.search(QUERY, candidates=["unknown"]) == []

    def test_reranking_any_number(self, library, documents):
        ids = [document.id for document in documents]
        hits = library.rerank(QUERY, ids=ids)
        assert sorted(ids_of(hits)) == sorted(ids)
        check_scores(library, hits, documents)
        again = library.rerank(QUERY, documents=documents)
        assert [hit.score for hit in again] == pytest.approx([hit.score for hit in hits], abs=1e-4)
        assert library.rerank(QUERY, ids=ids, k=3) == hits[:3]
        with pytest.raises(UnknownIdError, match="unknown"):
            library.rerank(QUERY, ids=[*ids, "unknown"])

    @pytest.mark.parametrize("mode", ["lexical", "hybrid"])
    def test_in_the_other_modes(self, library, documents, mode):
        needs(library.engine, "lexical")
        chosen = [document.id for document in documents[:30]]
        hits = library.search(QUERY, 10, candidates=chosen, mode=mode)
        assert hits
        assert set(ids_of(hits)) <= set(chosen)

    def test_with_diversity(self, library, documents):
        needs(library.engine, "vectors")
        chosen = [document.id for document in documents[:30]]
        assert set(ids_of(library.search(QUERY, 10, candidates=chosen, diversity=0.5))) <= set(chosen)


class TestLexicalAndHybrid:
    def test_lexical_needs_no_encoder(self, library, encoder, documents):
        needs(library.engine, "lexical")
        encoded = encoder.texts_encoded
        hits = library.search("river", 20, mode="lexical")
        with_word = [document.id for document in documents if "river" in document.text.split()]
        assert set(ids_of(hits)) <= set(with_word)
        assert len(hits) == min(20, len(with_word))
        assert all(0 < hit.relevance < 1 for hit in hits)
        assert encoder.texts_encoded == encoded

    def test_hybrid_is_reciprocal_rank_fusion_of_both(self, library):
        needs(library.engine, "lexical")
        late = ids_of(library.search(QUERY, FUSED))
        words = ids_of(library.search(QUERY, FUSED, mode="lexical"))
        expected = {}
        for ranking in (late, words):
            for rank, key in enumerate(ranking, start=1):
                expected[key] = expected.get(key, 0) + 1 / (60 + rank)
        hits = library.search(QUERY, 10, mode="hybrid")
        best = sorted(expected.values(), reverse=True)[:10]
        assert [hit.score for hit in hits] == pytest.approx(best)
        assert all(hit.score == pytest.approx(expected[hit.id]) for hit in hits)


class TestDiversity:
    def test_none_is_the_ranking_and_all_differ(self, library):
        needs(library.engine, "vectors")
        assert ids_of(library.search(QUERY, 5, diversity=0.0)) == ids_of(library.search(QUERY, 20))[:5]
        chosen = library.search(QUERY, 5, diversity=0.9)
        assert len(set(ids_of(chosen))) == 5

    def test_copies_of_the_best_are_not_chosen(self, index):
        needs(index.engine, "vectors")
        copies = [Document("the old river", id=f"copy{number}") for number in range(5)]
        index.add([*copies, Document("deep sea", id="sea"), Document("bread", id="bread")])
        assert len({hit.text for hit in index.search(QUERY, 2, diversity=0.7)}) == 2
        assert len({hit.text for hit in index.search(QUERY, 2)}) == 1

    def test_documents_without_vectors(self, index):
        needs(index.engine, "vectors")
        index.add([Document("!!!", id="mute"), Document("old river", id="river"), Document("?", id="mute2")])
        assert sorted(ids_of(index.search(QUERY, 3, diversity=0.5))) == ["mute", "mute2", "river"]


class TestExplain:
    def test_words_that_match(self, library, documents):
        needs(library.engine, "vectors")
        hits = library.search(QUERY, 5)
        explained = library.explain_many(QUERY, [*ids_of(hits), "unknown"])
        assert list(explained) == ids_of(hits)
        for hit in hits:
            one = library.explain(QUERY, hit.id)
            assert one.document == explained[hit.id].document == hit.document
            assert one.score == pytest.approx(hit.score, abs=1e-3)
            for span in one.spans:
                assert hit.text[span.start : span.end] == span.document_word
        with pytest.raises(UnknownIdError):
            library.explain(QUERY, "unknown")

    def test_a_document_without_vectors(self, index):
        needs(index.engine, "vectors")
        index.add([Document("!!!", id="mute")])
        explained = index.explain(QUERY, "mute")
        assert (explained.score, explained.spans) == (0.0, ())

    def test_a_page(self, engine):
        needs(engine, "vectors")
        index = Index(engine=engine, encoder=ColourEncoder(DIM))
        index.add([Document(image=two_colours("red", "blue", (64, 64)), id="page"), Document("green", id="text")])
        assert index.search("red", 1)[0].id == "page"
        explained = index.explain("red", "page")
        assert explained.document.id == "page"
        assert explained.similarities.shape == (1, 65)
        assert np.argmax(explained.similarities[0]) in [1 + row * 8 + column for row in range(8) for column in range(4)]


class TestWhatIsRead:
    """Documents are read last, and only those that are returned."""

    @pytest.fixture
    def counted(self, library):
        return Interrupted(library.engine)

    @pytest.mark.parametrize("mode", ["late", "lexical", "hybrid"])
    def test_only_the_k_hits(self, library, counted, mode):
        if mode != "late":
            needs(library.engine, "lexical")
        index = Index(engine=counted, encoder=WordEncoder(DIM))
        hits = index.search(QUERY, 3, mode=mode)
        assert len(hits) == 3
        assert counted.documents == {"fetch": 3}
        assert counted.calls["fetch"] == 1

    @pytest.mark.parametrize("mode", ["late", "hybrid"])
    def test_with_diversity(self, library, counted, mode):
        needs(library.engine, "vectors", *(["lexical"] if mode == "hybrid" else []))
        index = Index(engine=counted, encoder=WordEncoder(DIM))
        assert len(index.search(QUERY, 3, mode=mode, diversity=0.5)) == 3
        assert counted.documents == {"fetch": 3}
        assert counted.calls["vectors"] == 1

    def test_with_more_candidates_than_the_engine_takes(self, counted, documents):
        index = Index(engine=counted, encoder=WordEncoder(DIM))
        assert len(index.search(QUERY, 3, candidates=[document.id for document in documents])) == 3
        assert counted.documents == {"fetch": 3}

    def test_a_blank_query_reads_nothing(self, counted):
        index = Index(engine=counted, encoder=WordEncoder(DIM))
        index.search(" ")
        index.search_many(["", " "])
        assert counted.reads == 0

    def test_the_record_of_the_encoder_is_read_when_the_index_is_opened_and_not_again(self, counted, documents):
        index = Index(engine=counted, encoder=WordEncoder(DIM))
        once = counted.calls["encoder_record"]
        for _ in range(3):
            index.search(QUERY)
            index.rerank(QUERY, documents=documents[:3])
            index.add([documents[0]])
            assert index.encoder_name is None
            assert index.fingerprint == {"model": "words", "dim": DIM}
            assert index.modalities == ("text",)
        assert counted.calls["encoder_record"] <= once + 1

    def test_ids_alone_are_read_without_text(self, library, documents):
        found = list(library.scan(fields=()))
        assert sorted(one.id for one in found) == sorted(document.id for document in documents)
        assert all(one == DocumentFields(one.id) for one in found)


class TestAround:
    def test_the_rest_of_the_interface(self, library, documents):
        assert len(library) == COUNT
        assert "d3" in library
        assert "unknown" not in library
        assert library.get(["d5", "unknown", "d3"]) == [documents[5], documents[3]]
        assert library.count(where={"even": True}) == COUNT // 2
        assert sorted(ids_of(library.scan())) == sorted(document.id for document in documents)
        info = library.info()
        assert (info["documents"], info["dim"]) == (COUNT, DIM)
        assert info["encoder"]["fingerprint"] == {"model": "words", "dim": DIM}
        assert re.search(type(library.engine).__name__, repr(library))
        with library.one_state():
            assert len(library.search(QUERY, 3)) == 3
        assert library.delete(["d1"]) == 1
        assert library.delete(where={"even": True}) == COUNT // 2
        assert library.clear() == COUNT // 2 - 1
        library.close()
        library.close()

    def test_storing_what_was_reranked(self, index, encoder):
        given = [Document("old river", id="a"), Document("deep sea", id="b")]
        first = index.rerank(QUERY, documents=given, store=True)
        encoded = encoder.documents_encoded
        again = index.rerank(QUERY, documents=given)
        assert ids_of(again) == ids_of(first)
        assert encoder.documents_encoded == encoded
        assert index.count() == 2
