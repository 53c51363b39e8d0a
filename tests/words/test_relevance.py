"""The relevance of lexical search: a share of the highest score of the query, also in small collections."""

from __future__ import annotations

import math

import pytest

from late_interaction import Document, Index
from late_interaction.engines import LocalEngine
from tests.engines.helpers import record
from tests.fakes import WordEncoder

TEXTS = {
    "acme": "invoice number 42 for acme",
    "rome": "holiday photos from rome",
    "both": "holiday invoice",
    "many": "acme acme acme acme acme acme acme acme",
}


def relevance_of(root, texts, query):
    with Index.open(root, encoder=WordEncoder()) as index:
        index.add([Document(text, id=name) for name, text in texts.items()])
        hits = index.search(query, mode="lexical")
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        assert [hit.relevance for hit in hits] == sorted((hit.relevance for hit in hits), reverse=True)
        return {hit.id: hit.relevance for hit in hits}


@pytest.mark.parametrize("count", [1, 2, 3, 100])
def test_an_exact_match_is_relevant_in_a_collection_of_any_size(tmp_path, count):
    texts = {"acme": TEXTS["acme"], **{str(n): f"photo number {n} from rome" for n in range(count - 1)}}
    relevance = relevance_of(tmp_path, texts, "acme invoice")
    assert relevance.keys() == {"acme"}
    assert 0.3 < relevance["acme"] < 0.7


def test_more_words_are_more_relevant(tmp_path):
    relevance = relevance_of(tmp_path, TEXTS, "acme invoice")
    assert relevance["acme"] > relevance["both"]
    assert all(0 < value <= 1 for value in relevance.values())


def test_repeated_words_approach_one(tmp_path):
    relevance = relevance_of(tmp_path, {"a": "word " * 500, **{str(n): f"other{n} " * 500 for n in range(9)}}, "word")
    assert relevance["a"] > 0.99


def test_an_unknown_word_counts(tmp_path):
    known = relevance_of(tmp_path / "1", TEXTS, "rome")["rome"]
    assert relevance_of(tmp_path / "2", TEXTS, "rome atlantis")["rome"] < 0.6 * known


def test_scripts_without_spaces(tmp_path):
    texts = {"a": "低头思故乡", "b": "床前明月光", "c": "故人西辞黄鹤楼"}
    relevance = relevance_of(tmp_path, texts, "故乡")
    assert relevance.keys() == {"a"}
    assert relevance["a"] > 0.3


def test_the_highest_score_is_the_limit_of_bm25(root):
    texts = [f"filler{n} " + "fox " * (n % 3 == 0) + "hen " * (n % 4 == 0) for n in range(24)]
    with LocalEngine.open(root, dim=8) as engine:
        engine.upsert([record(str(n), text=text) for n, text in enumerate(texts)])
        engine.delete(ids=["1"])

        def limit(*holding):
            return sum(2.2 * math.log((23 - n + 0.5) / (n + 0.5)) for n in holding)

        assert engine.highest_lexical_score("fox") == pytest.approx(limit(8), rel=1e-6)
        assert engine.highest_lexical_score("fox hen fox") == pytest.approx(limit(8, 6), rel=1e-6)
        assert engine.highest_lexical_score("fox zebra") == pytest.approx(limit(8) + limit(0) / 2, rel=1e-6)
        assert engine.highest_lexical_score("?!") == 0


def test_an_engine_that_does_not_know_has_relevance_too(tmp_path):
    class Unknowing(LocalEngine):
        def highest_lexical_score(self, query):
            return None

    with Unknowing.open(tmp_path, dim=8) as engine:
        engine.upsert([record(name, text=text) for name, text in TEXTS.items()])
        index = Index(engine=engine, encoder=WordEncoder(dim=8))
        hit = index.search("rome", mode="lexical")[0]
        assert hit.relevance == pytest.approx(hit.score / (1 + hit.score))


def test_hybrid_search_has_the_relevance_of_ranks(tmp_path):
    with Index.open(tmp_path, encoder=WordEncoder()) as index:
        index.add([Document(text, id=name) for name, text in TEXTS.items()])
        assert index.search("holiday photos from rome", mode="hybrid")[0].relevance == pytest.approx(1)
