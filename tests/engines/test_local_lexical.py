"""Lexical search: words, stems, diacritics, BM25, and nothing that a query can say to SQL or FTS5."""

from __future__ import annotations

import math
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from late_interaction.engines import LocalEngine
from tests.engines.helpers import record

TEXTS = {
    "cats": "Cats are running and the cat runs",
    "dogs": "A dog AND a near miss: NEAR(dog, miss)",
    "resume": "Le résumé du café, naïve façade",
    "code": "call foo_bar(baz) with -x --y=3 and C++ or C#",
    "not": "NOT OR AND NEAR",
    "empty": "",
    "numbers": "In 2020 there were 3.14 pies",
    "cyrillic": "Привет мир",
    "german": "Straße Größe",
    "japanese": "東京 タワー",
}


@pytest.fixture(scope="module")
def engine(make_directory):
    with LocalEngine.open(make_directory("lexical") / "index", dim=8) as engine:
        engine.upsert([record(name, text=text, length=len(text)) for name, text in TEXTS.items()])
        yield engine


def found(engine, query, k=20, **arguments):
    return {match.id for match in engine.search_lexical(query, k, **arguments)}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("cat", {"cats"}),
        ("CATS", {"cats"}),
        ("run", {"cats"}),  # stems
        ("runner's cat", {"cats"}),
        ("resume", {"resume"}),
        ("résumé", {"resume"}),
        ("RÉSUMÉ", {"resume"}),
        ("CAFE", {"resume"}),
        ("naive facade", {"resume"}),
        ("AND", {"cats", "dogs", "code", "not"}),
        ("NOT", {"not"}),
        ("cat NOT running", {"cats", "not"}),
        ("cat AND dog", {"cats", "dogs", "code", "not"}),
        ("NEAR(cat dog)", {"cats", "dogs", "not"}),
        ("NEAR(", {"dogs", "not"}),
        ('"dog', {"dogs"}),
        ('"', set()),
        ('""', set()),
        ("dog*", {"dogs"}),
        ("do*", set()),  # no prefix search
        ("*", set()),
        ("^dog", {"dogs"}),
        ("text:dog", {"dogs"}),
        ("{text}: dog", {"dogs"}),
        ("dog + miss", {"dogs"}),
        ("-dog", {"dogs"}),
        ("(dog", {"dogs"}),
        ("dog)", {"dogs"}),
        ("dog; DROP TABLE documents", {"dogs"}),
        ("dog' OR '1'='1", {"dogs", "code", "not"}),
        ("foo_bar", {"code"}),
        ("foo bar", {"code"}),
        ("_", set()),
        ("_ dog", {"dogs"}),
        ("2020", {"numbers"}),
        ("3.14", {"numbers", "code"}),  # any word will do: 3 is one of `code`
        ("мир", {"cyrillic"}),
        ("ПРИВЕТ", {"cyrillic"}),
        ("größe", {"german"}),
        ("grosse", {"german"}),
        ("東京", {"japanese"}),
        ("", set()),
        (" \n\t", set()),
        ("?!… — 😀", set()),
        ("\x00", set()),
        ("dog\x00cat", {"dogs", "cats"}),
        ("\ud800 dog", {"dogs"}),
        ("zebra", set()),
        ("zebra dog", {"dogs"}),
    ],
)
def test_what_a_query_finds(engine, query, expected):
    assert found(engine, query) == expected


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
@pytest.mark.parametrize("stored_form", ["NFC", "NFD"])
def test_composed_and_decomposed_letters_are_the_same(tmp_path, form, stored_form):
    with LocalEngine.open(tmp_path, dim=8) as engine:
        engine.upsert([record("a", text=unicodedata.normalize(stored_form, "un résumé élégant")), record("b")])
        assert found(engine, unicodedata.normalize(form, "résumé")) == {"a"}


def test_a_long_query_is_no_error(engine):
    words = " ".join(f"word{n}" for n in range(5_000))
    assert found(engine, "cat " + words) == {"cats"}
    assert found(engine, "cat " * 5_000) == {"cats"}
    assert found(engine, "x" * 100_000) == set()


@settings(max_examples=150, deadline=None)
@given(query=st.one_of(st.text(max_size=30), st.text('"*^:(){}+-ANDORTE ', max_size=20)))
def test_no_query_is_an_error(engine, query):
    engine.search_lexical(query, 3)


def test_where_and_k(engine):
    assert found(engine, "and", where={"length": {"$lt": 20}}) == {"not"}
    assert found(engine, "and", where={"$or": [{"length": 15}, {"length": {"$gt": 40}}]}) == {"not", "code"}
    assert found(engine, "and", where={"nope": 1}) == set()
    assert len(engine.search_lexical("and", 2)) == 2
    best = [match.id for match in engine.search_lexical("and", 4)]
    assert [match.id for match in engine.search_lexical("and", 2)] == best[:2]


def bm25(texts, query_words):
    """Okapi BM25 with k1 = 1.2, b = 0.75, over plain words (none here changes by stemming)."""
    words = [text.lower().split() for text in texts]
    average = sum(map(len, words)) / len(words)
    scores = []
    for document in words:
        score = 0.0
        for word in query_words:
            holding = sum(word in other for other in words)
            weight = max(math.log((len(words) - holding + 0.5) / (holding + 0.5)), 1e-6)
            frequency = document.count(word)
            score += weight * frequency * 2.2 / (frequency + 1.2 * (0.25 + 0.75 * len(document) / average))
        scores.append(score)
    return scores


def test_scores_are_bm25(tmp_path):
    texts = ["red fox", "red red hen hen hen", "blue fox fox", "green", "black cat dog", "white cow", "fox red red red"]
    with LocalEngine.open(tmp_path, dim=8) as engine:
        for number, text in enumerate(texts):
            engine.upsert([record(str(number), text=text)])
        matches = engine.search_lexical("fox red", 10)
    expected = {str(n): score for n, score in enumerate(bm25(texts, ["fox", "red"])) if score > 0}
    assert {match.id: match.score for match in matches} == pytest.approx(expected, abs=1e-4)
    scores = [match.score for match in matches]
    assert scores == sorted(scores, reverse=True)


def test_the_encoded_text_is_what_is_searched(engine, tmp_path):
    with LocalEngine.open(tmp_path, dim=8) as engine:
        engine.upsert(
            [
                record("both", text="passage", encoded_text="title passage"),
                record("hidden", text="secret", encoded_text="public"),
                record("nothing", text="secret", encoded_text=""),
            ]
        )
        assert found(engine, "title") == {"both"}
        assert found(engine, "secret") == set()
        assert found(engine, "public") == {"hidden"}


def test_replaced_and_deleted_words_are_forgotten(tmp_path):
    with LocalEngine.open(tmp_path, dim=8) as engine:
        engine.upsert([record("a", text="apple"), record("b", text="apple banana"), record("c", text="cherry")])
        engine.upsert([record("a", text="avocado")])
        assert found(engine, "apple") == {"b"}
        assert found(engine, "avocado") == {"a"}
        engine.delete(ids=["b"])
        assert found(engine, "apple banana") == set()
        engine.upsert([record("d", text="date")])  # may take the row of a deleted document
        assert found(engine, "apple banana cherry") == {"c"}
        engine.compact()
        assert found(engine, "avocado date") == {"a", "d"}
