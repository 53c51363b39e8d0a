"""Lexical search over LanceDB: every script, languages, documents before and after the index was made."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from late_interaction.engines import LanceDBEngine
from late_interaction.engines.lancedb import maintenance
from late_interaction.engines.remote.words import query_terms
from tests.engines.lancedb_engines import DIM, engine, record

__all__ = ["engine"]

TEXTS = {
    "map": "several maps of the city",
    "cafe": "Im Café gab es Größe",
    "cpp": "a parser for C++ and .NET",
    "compound": "the foo-bar of FooBar",
    "tokyo": "東京都の地図",
    "kyoto": "京都の寺",
    "korean": "한국어 문서 검색",
    "thai": "ภาษาไทย ง่าย",
    "odd": 'a|b "quoted" AND (x) _ * ~y =z',
    "empty": "!!!",
}


@pytest.fixture
def filled(engine):
    engine.upsert([record(name, text) for name, text in TEXTS.items()])
    return engine


def found(engine, query, **options):
    return [match.id for match in engine.search_lexical(query, 10, **options)]


def indexed(engine):
    """How many documents the index of words has."""
    table = engine._database.table("documents")
    (index,) = engine._database.call(table.list_indices)
    assert index.columns == ["words"]
    return engine._database.call(lambda: table.index_stats(index.name)).num_indexed_rows


def bm25(engine, query):
    """BM25 of all documents by id, computed from the stored words."""
    rows = engine._database.call(engine._database.table("documents").query().select(["id", "words"]).to_arrow)
    counts = {row["id"]: Counter(row["words"].split()) for row in rows.to_pylist()}
    average = sum(words.total() for words in counts.values()) / len(counts)
    scores = dict.fromkeys(counts, 0.0)
    for term, weight in query_terms(query, engine.language).items():
        having = [key for key, words in counts.items() if words[term]]
        idf = math.log(1 + (len(counts) - len(having) + 0.5) / (len(having) + 0.5))
        for key in having:
            count, length = counts[key][term], counts[key].total()
            scores[key] += weight * idf * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length / average))
    return {key: score for key, score in scores.items() if score}


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("map", "map"),
        ("MAPS", "map"),
        ("cafe", "cafe"),
        ("grösse", "cafe"),
        ("c++", "cpp"),
        (".net", "cpp"),
        ("foo-bar", "compound"),
        ("bar", "compound"),
        ("東京", "tokyo"),
        ("京都", "kyoto"),
        ("東", "tokyo"),
        ("寺", "kyoto"),
        ("문서", "korean"),
        ("ภาษาไทย", "thai"),
        ('"quoted" AND', "odd"),
    ],
)
def test_words_of_every_script(filled, query, first):
    assert found(filled, query)[0] == first


@pytest.mark.parametrize("query", ["", "!!", "|", "absent", "~", "=", "*"])
def test_queries_that_find_nothing(filled, query):
    assert found(filled, query) == []


def test_the_language_is_that_of_the_index(tmp_path):
    texts = [record("a", "die Häuser am See"), record("b", "running")]
    with LanceDBEngine(tmp_path / "german", dim=DIM, language="german") as engine:
        engine.upsert(texts)
        assert (found(engine, "haus"), found(engine, "runs")) == (["a"], [])
    with LanceDBEngine(tmp_path / "english", dim=DIM) as engine:
        engine.upsert(texts)
        assert (found(engine, "haus"), found(engine, "runs")) == ([], ["b"])
    with LanceDBEngine(tmp_path / "none", dim=DIM, language=None) as engine:
        engine.upsert(texts)
        assert (found(engine, "hauser"), found(engine, "runs")) == (["a"], [])


def test_the_word_as_it_is_written_comes_first(engine):
    engine.upsert([record(f"stem{n}", "the map here") for n in range(5)])
    engine.upsert([record("exact", "the maps here"), record("other", "a town")])
    assert found(engine, "maps")[0] == "exact"
    assert len(found(engine, "maps")) == 6


def test_documents_before_and_after_the_index_was_made(engine, monkeypatch):
    monkeypatch.setattr(maintenance, "_MAX_UNINDEXED", 50)
    monkeypatch.setattr(maintenance, "_LARGE_WRITE", 10)

    def add(first, count):
        engine.upsert([record(f"d{n}", f"river number{n}", even=n % 2 == 0) for n in range(first, first + count)])

    add(0, 40)
    assert indexed(engine) == 0
    before = found(engine, "number7"), len(engine.search_lexical("river", 100))
    assert before == (["d7"], 40)
    add(40, 40)
    assert indexed(engine) == 80
    add(80, 15)  # not indexed yet
    for n in (7, 50, 90):
        assert found(engine, f"number{n}") == [f"d{n}"]
        assert found(engine, f"number{n}", where={"even": n % 2 == 1}) == []
    assert len(engine.search_lexical("river", 200)) == 95
    engine.delete(ids=["d7"])
    engine.upsert([record("d50", "a stone"), record("d90", "a stone")])
    engine.update_metadata(["d60"], {"even": "changed"})
    assert found(engine, "number7") == found(engine, "number50") == found(engine, "number90") == []
    assert sorted(found(engine, "stone")) == ["d50", "d90"]
    assert found(engine, "river", where={"even": "changed"}) == ["d60"]
    engine.compact()
    assert len(engine.search_lexical("river", 200)) == 92
    assert sorted(found(engine, "stone")) == ["d50", "d90"]


def random_records(first, count):
    rng = np.random.default_rng(first)
    words = [f"word{n}" for n in range(40)]
    weights = 1 / np.arange(1, 41)
    for n in range(first, first + count):
        yield record(f"d{n}", " ".join(rng.choice(words, rng.integers(3, 60), p=weights / weights.sum())))


@pytest.mark.parametrize("compacted", [False, True])
def test_scores_are_bm25_before_and_after_words_are_indexed(engine, compacted):
    engine.upsert(random_records(0, 300))
    engine.upsert(random_records(300, 100))
    if compacted:
        engine.compact()
    assert indexed(engine) == (400 if compacted else 0)
    for query in ("word0", "word1 word7 word30", "word39"):
        scores = {match.id: match.score for match in engine.search_lexical(query, 1000)}
        assert scores == pytest.approx(bm25(engine, query), rel=1e-4)


def test_words_are_indexed_when_as_many_documents_are_not_as_are(engine):
    engine.upsert(random_records(0, 20))
    engine.compact()
    assert indexed(engine) == 20
    for n in range(20, 52):
        engine.upsert(random_records(n, 1))
    assert indexed(engine) >= 26


def test_an_index_whose_process_ended_before_words_were_indexed(engine):
    table = engine._database.table("documents")
    engine._database.call(lambda: table.drop_index("words_idx"))
    engine.upsert(random_records(0, 30))
    engine.compact()
    assert indexed(engine) == 30


def test_filters_and_candidates_are_applied_before_the_best_are_chosen(engine):
    engine.upsert([record(f"d{n}", "river " * (1 + n % 7), n=n) for n in range(60)])
    assert len(engine.search_lexical("river", 5, where={"n": {"$gte": 57}})) == 3
    assert sorted(found(engine, "river", where={"n": {"$gte": 55}})) == [f"d{n}" for n in range(55, 60)]
    assert sorted(found(engine, "river", candidates=["d1", "d2", "no"])) == ["d1", "d2"]
    assert found(engine, "river", candidates=["d1", "d2"], where={"n": {"$lt": 2}}) == ["d1"]
    many = [f"d{n}" for n in range(60)] + [f"unknown{n}" for n in range(6000)]
    assert len(engine.search_lexical("river", 100, candidates=many)) == 60
