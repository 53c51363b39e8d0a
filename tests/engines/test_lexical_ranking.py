"""Lexical search finds what FTS5's own ranking finds, with equal scores, and what BM25 in plain Python finds."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from itertools import pairwise

import numpy as np
import pytest

from late_interaction.engines import LocalEngine
from late_interaction.engines.local.catalog.word_lists import ranking
from late_interaction.engines.local.catalog.word_lists.words import quoted
from late_interaction.words import tokenizer_for
from tests.engines.helpers import record

FREQUENT = ["the", "of", "and", "library", "Running", "runs", "résumé", "data"]
RARE = [f"name{number}" for number in range(60)] + [
    "nile-delta",
    "C++",
    "camelCase",
    "東京都庁",
    "東京",
    "京",
    "ภาษาไทย",
]
QUERIES = [
    "the",
    "the of and",
    "name3",
    "the name3 of name5 and name7 library",
    "runs runs running Running",
    "resume of the nile-delta C++",
    "camelCase data",
    "東京都 the",
    "京",
    "ภาษาไทย 東京都庁",
    "absent",
    "absent the library",
    "",
    " ".join([*FREQUENT, *RARE] * 4),
    " ".join(f"name{number}" for number in range(300)),
]
DOCUMENTS = 320


def text_of(rng):
    frequent, rare = rng.choice(FREQUENT, rng.integers(0, 25)), rng.choice(RARE, rng.integers(0, 4))
    return " ".join(rng.permutation(np.concatenate([frequent, rare])).tolist())


@pytest.fixture(scope="module")
def index(make_directory):
    """An engine with documents of several commits, of which some were replaced, updated or deleted, and their texts."""
    rng = np.random.default_rng(0)
    path = make_directory("ranking") / "index"
    with LocalEngine.open(path, dim=8) as engine:
        texts = {}
        for start in range(0, DOCUMENTS, 80):
            new = {f"d{number}": text_of(rng) for number in range(start, start + 80)}
            new |= {gone: text_of(rng) for gone in rng.permutation(list(texts))[:10].tolist()}
            texts |= new
            engine.upsert([record(name, text=text, group=len(name) % 2) for name, text in new.items()])
            gone = rng.permutation(list(texts))[:12].tolist()
            engine.delete(ids=gone)
            texts = {name: text for name, text in texts.items() if name not in gone}
        yield engine, texts


def ranked_by_fts5(engine, query, allowed=None):
    """All documents with their scores, ranked by FTS5."""
    expression = " OR ".join(map(quoted, tokenizer_for(engine.language).query(query)))
    if not expression:
        return []
    with closing(sqlite3.connect(engine.path / "catalog.sqlite")) as connection:
        rows = connection.execute(
            "SELECT documents.id, -found.rank / 2 FROM words AS found JOIN documents ON documents.row = found.rowid "
            "WHERE words MATCH ? AND rank MATCH 'bm25(1.0, 0.9)' ORDER BY found.rank, documents.row",
            (expression,),
        ).fetchall()
    return [row for row in rows if allowed is None or row[0] in allowed]


def occurrences(clause, columns):
    """How often a document has a clause, each time with the weight of the column."""
    total = 0.0
    for words, weight in list(zip(columns, (1.0, 0.9), strict=True))[: 1 if clause.is_exact else 2]:
        for at in range(len(words) - len(clause.words) + 1):
            here = words[at : at + len(clause.words)]
            last = here[-1].startswith(clause.words[-1]) if clause.is_prefix else here[-1] == clause.words[-1]
            total += weight * (last and tuple(here[:-1]) == clause.words[:-1])
    return total


def scored_in_python(engine, texts, query):
    """The scores of all documents with a clause of the query, by id."""
    tokenizer = tokenizer_for(engine.language)
    columns = {name: [column.split() for column in tokenizer.document(text)] for name, text in texts.items()}
    lengths = {name: sum(map(len, parts)) for name, parts in columns.items()}
    average = sum(lengths.values()) / len(lengths)
    scores = {}
    for clause in tokenizer.query(query):
        counts = {name: count for name, parts in columns.items() if (count := occurrences(clause, parts))}
        odds = (len(texts) - len(counts) + 0.5) / (len(counts) + 0.5)
        idf = math.log(odds) if odds > 1 else 1e-6
        for name, count in counts.items():
            norm = 1.2 * (0.25 + 0.75 * lengths[name] / average)
            scores[name] = scores.get(name, 0.0) + idf * count * 2.2 / (count + norm) / 2
    return scores


def found(engine, query, k, **arguments):
    return [(match.id, match.score) for match in engine.search_lexical(query, k, **arguments)]


@pytest.mark.parametrize("k", [1, 10, 1000])
@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_matches_are_those_of_fts5(index, query, k):
    engine, texts = index
    ranked = ranked_by_fts5(engine, query)
    assert found(engine, query, k) == ranked[:k]
    assert found(engine, query, k, where={"group": 1}) == [one for one in ranked if len(one[0]) % 2 == 1][:k]
    candidates = [name for number, name in enumerate(texts) if number % 7 == 0] + ["unknown"]
    assert found(engine, query, k, candidates=candidates) == ranked_by_fts5(engine, query, candidates)[:k]
    both = found(engine, query, k, candidates=candidates, where={"group": 1})
    assert both == [one for one in ranked_by_fts5(engine, query, candidates) if len(one[0]) % 2 == 1][:k]


@pytest.mark.parametrize("query", QUERIES[:-2], ids=range(len(QUERIES) - 2))
def test_scores_are_bm25(index, query):
    engine, texts = index
    assert dict(found(engine, query, 1000)) == pytest.approx(scored_in_python(engine, texts, query), rel=1e-9)
    scores = [score for _, score in found(engine, query, 1000)]
    assert all(score <= engine.highest_lexical_score(query) for score in scores)
    assert all(first >= second for first, second in pairwise(scores))


def test_documents_of_equal_scores_are_in_the_order_of_addition(make_directory):
    with LocalEngine.open(make_directory("equal") / "index", dim=8) as engine:
        engine.upsert([record(f"d{number}", text="the same text") for number in range(30)])
        engine.upsert([record("d3", text="the same text"), record("other", text="the other text")])
        expected = [f"d{number}" for number in [*range(3), *range(4, 30), 3]]
        assert [name for name, _ in found(engine, "same", 100)] == expected
        for k in (1, 5, 29):
            assert [name for name, _ in found(engine, "the same text", k)] == expected[:k]


def test_random_queries_find_what_fts5_finds(index):
    engine, _ = index
    rng = np.random.default_rng(5)
    for _ in range(60):
        query, k = text_of(rng), int(rng.integers(1, 30))
        assert found(engine, query, k) == ranked_by_fts5(engine, query)[:k]


def test_frequent_words_are_only_looked_up(index, monkeypatch):
    """Otherwise every document with a word of the query would be scored, which no result can show."""
    engine, texts = index
    merged = []
    merge = ranking._merged
    monkeypatch.setattr(ranking, "_merged", lambda *lists: merged.append(len(lists[2])) or merge(*lists))
    assert found(engine, "the of and library name3 name4", 2)
    assert 0 < sum(merged) < len(texts) / 4


def test_what_was_read_is_of_one_commit(make_directory):
    with LocalEngine.open(make_directory("commits") / "index", dim=8) as engine:
        assert found(engine, "word", 5) == []
        engine.upsert([record("a", text="a word"), record("b", text="another thing")])
        before = found(engine, "word", 5, where={"x": {"$exists": False}})
        engine.upsert([record("c", text="word word"), record("d", text="one thing")])
        assert [name for name, _ in found(engine, "word", 5, where={"x": {"$exists": False}})] == ["c", "a"]
        assert before[0][0] == "a"
        engine.delete(ids=["c"])
        assert found(engine, "word", 5) == ranked_by_fts5(engine, "word")
        assert [name for name, _ in found(engine, "word", 5)] == ["a"]


LANGUAGES = {
    "german": ["Häuser", "Haus", "laufen", "läuft", "Straße", "strasse", "der", "die"],
    "russian": ["книга", "книги", "бежать", "Ёлка", "елка", "и", "дом", "дома"],
    "arabic": ["كتاب", "الكتاب", "كتب", "مدرسة", "في", "من"],
    None: ["東京都庁", "東京", "ภาษาไทย", "हिन्दी", "데이터를", "데이터", "C++", "ﬁne", "the"],
}


@pytest.mark.parametrize("language", LANGUAGES, ids=str)
def test_other_languages_and_scripts(make_directory, language):
    rng = np.random.default_rng(6)
    texts = {f"d{n}": " ".join(rng.choice(LANGUAGES[language], rng.integers(0, 12))) for n in range(60)}
    with LocalEngine.open(make_directory("languages") / "index", dim=8, language=language) as engine:
        for part in range(3):
            engine.upsert([record(name, text=texts[name]) for name in list(texts)[part::3]])
        for _ in range(12):
            query = " ".join(rng.choice(LANGUAGES[language], rng.integers(1, 5)))
            assert found(engine, query, 7) == ranked_by_fts5(engine, query)[:7]
            assert dict(found(engine, query, 100)) == pytest.approx(scored_in_python(engine, texts, query), rel=1e-9)
