"""Searching an `Index`, held to plain numpy and hand-computed rankings."""

from __future__ import annotations

import pytest

from tests.index.helpers import FACTS, QUERIES, random_documents, true_maxsim


class TestSearch:
    @pytest.mark.parametrize("query", QUERIES)
    def test_scores_are_maxsim(self, library, query):
        expected = {document.id: true_maxsim(query, document.text) for document in random_documents(90)}
        hits = library.search(query, k=90)
        assert {hit.id: hit.score for hit in hits} == pytest.approx(expected, abs=1e-3)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)

    def test_a_document_is_wholly_relevant_to_its_own_words(self, facts):
        best = facts.search("the nile is a river", k=1)[0]
        assert (best.id, best.relevance) == ("nile", pytest.approx(1, abs=1e-3))

    def test_best_k_are_the_best(self, library):
        for query in QUERIES:
            truth = sorted((true_maxsim(query, document.text) for document in random_documents(90)), reverse=True)
            found = [hit.score for hit in library.search(query, k=7)]
            assert found == pytest.approx(truth[:7], abs=1e-3)

    @pytest.mark.parametrize("mode", ["late", "hybrid"])
    @pytest.mark.parametrize("k", [1, 44, 45, 46, 1000])
    def test_exactly_k(self, library, mode, k):
        hits = library.search("nile", k, mode=mode, where={"even": True})
        assert len(hits) == min(k, 45)
        assert len({hit.id for hit in hits}) == len(hits)
        assert all(hit.metadata["even"] for hit in hits)

    def test_exactly_k_of_more_than_hybrid_fuses_by_default(self, index):
        index.add(random_documents(130))
        assert len(index.search("nile", 120, mode="hybrid")) == 120

    def test_hits_carry_what_was_stored(self, facts):
        hit = facts.search("germany", k=1)[0]
        assert hit.document == FACTS[3]
        assert (hit.id, hit.text, hit.metadata) == ("berlin", FACTS[3].text, {"kind": "city"})

    @pytest.mark.parametrize("mode", ["late", "lexical", "hybrid"])
    @pytest.mark.parametrize(
        ("where", "passing"),
        [
            ({}, {"nile", "amazon", "paris", "berlin", "mute"}),
            ({"kind": "city"}, {"paris", "berlin"}),
            ({"length": {"$gt": 6500}}, {"nile"}),
            ({"tags": "seine"}, {"paris"}),
            ({"kind": {"$exists": False}}, {"mute"}),
            ({"$or": [{"length": 6400}, {"tags": {"$contains": "old"}}]}, {"amazon", "paris"}),
            ({"kind": "mountain"}, set()),
        ],
    )
    def test_where(self, facts, mode, where, passing):
        found = {hit.id for hit in facts.search("river capital", k=10, where=where, mode=mode)}
        assert found == (passing - {"mute"} if mode == "lexical" else passing)

    def test_lexical_search_finds_words_alone(self, facts):
        hits = facts.search("capitals of germany", mode="lexical", k=10)
        assert [hit.id for hit in hits] == ["berlin", "paris"]
        assert hits[0].score > hits[1].score > 0
        highest = facts.engine.highest_lexical_score("capitals of germany")
        assert [hit.relevance for hit in hits] == pytest.approx([hit.score / highest for hit in hits])

    @pytest.mark.parametrize("query", QUERIES)
    @pytest.mark.parametrize("where", [None, {"even": False}])
    @pytest.mark.parametrize(("k", "fused"), [(1, 30), (10, 30), (12, 36), (80, 100)])
    def test_hybrid_is_reciprocal_rank_fusion(self, library, query, where, k, fused):
        late = [hit.id for hit in library.search(query, k=fused, where=where)]
        lexical = [hit.id for hit in library.search(query, k=fused, where=where, mode="lexical")]
        expected = {}
        for found in late + lexical:
            expected[found] = sum(
                1 / (60 + ranking.index(found) + 1) for ranking in (late, lexical) if found in ranking
            )
        order = sorted(expected, key=lambda found: -expected[found])[:k]

        hits = library.search(query, k=k, where=where, mode="hybrid")
        assert [hit.id for hit in hits] == order
        assert [hit.score for hit in hits] == pytest.approx([expected[found] for found in order])
        assert [hit.relevance for hit in hits] == pytest.approx([expected[found] * 61 / 2 for found in order])
        assert all(0 <= hit.relevance <= 1 for hit in hits)

    def test_search_many_is_search_of_each(self, library):
        queries = ["nile", " ", "bread and wine", "", "old"]
        for mode in ("late", "lexical", "hybrid"):
            many = library.search_many(queries, 5, mode=mode, where={"even": True})
            assert many == [library.search(query, 5, mode=mode, where={"even": True}) for query in queries]
        assert library.search_many([]) == []

    def test_search_many_encodes_queries_together(self, facts, word_encoder):
        calls = []
        encode = word_encoder.encode_queries
        word_encoder.encode_queries = lambda texts: calls.append(list(texts)) or encode(texts)
        facts.search_many(["one", "", "two"])
        facts.search_many(["one"], mode="lexical")
        assert calls == [["one", "two"]]

    @pytest.mark.parametrize("mode", ["late", "lexical", "hybrid"])
    @pytest.mark.parametrize("query", ["", " \n\t"])
    def test_blank_query_finds_nothing(self, facts, mode, query):
        assert facts.search(query, mode=mode) == []
        assert facts.rerank(query, ids=["nile"]) == []
        assert facts.rerank(query, documents=["nile"]) == []

    def test_query_without_vectors_finds_k_of_score_0(self, facts):
        assert [(hit.score, hit.relevance) for hit in facts.search("?!", k=3)] == [(0, 0)] * 3

    @pytest.mark.parametrize("mode", ["late", "lexical", "hybrid"])
    def test_empty_index(self, index, mode):
        assert index.search("nile", mode=mode) == []
        assert index.rerank("nile", ids=[]) == []
        assert index.get(["nile"]) == list(index.scan()) == []
        assert (len(index), index.count(where={"kind": "river"}), index.delete(["nile"])) == (0, 0, 0)
        assert index
        assert index.verify()
