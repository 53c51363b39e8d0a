"""The lists of documents that are read from the tables of FTS5, against what FTS5 itself says is in them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing

import numpy as np
import pytest

from late_interaction.engines.local.catalog.schema import TOKENIZER
from late_interaction.engines.local.catalog.word_lists import words as commit_words
from late_interaction.engines.local.catalog.word_lists.doclists import Doclists
from late_interaction.engines.local.catalog.word_lists.lengths import Lengths
from late_interaction.errors import CorruptIndexError
from late_interaction.words import Clause

VOCABULARY = [f"w{number}" for number in range(120)] + ["a", "aa", "wa", "京都", "c++", "x" * 50]
WEIGHT = 0.9


def words_of(rng, most):
    """Words of which some are far more frequent than others."""
    picked = np.minimum(rng.zipf(1.3, rng.integers(0, most)) - 1, len(VOCABULARY) - 1)
    return " ".join(VOCABULARY[at] for at in picked)


@pytest.fixture
def connection():
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute(
            f"CREATE VIRTUAL TABLE words USING fts5 (exact, forms, content='', tokenize=\"{TOKENIZER}\")"
        )
        connection.execute("CREATE VIRTUAL TABLE temp.instances USING fts5vocab ('main', 'words', 'instance')")
        yield connection


def fill(connection, rng, page_bytes, *, documents=240, automerge=4, longest=60):
    """Write documents in several commits, replace and delete some, and leave merges unfinished."""
    connection.execute("INSERT INTO words (words, rank) VALUES ('pgsz', ?)", (page_bytes,))
    connection.execute("INSERT INTO words (words, rank) VALUES ('automerge', ?)", (automerge,))
    stored = {}
    row = 1
    for commit in range(12):
        connection.execute("BEGIN")
        for gone in rng.permutation(list(stored))[: 8 if commit else 0].tolist():
            connection.execute(
                "INSERT INTO words (words, rowid, exact, forms) VALUES ('delete', ?, ?, ?)", (gone, *stored.pop(gone))
            )
            if gone % 2:  # others take its place
                stored[gone] = words_of(rng, longest), words_of(rng, 5)
                connection.execute("INSERT INTO words (rowid, exact, forms) VALUES (?, ?, ?)", (gone, *stored[gone]))
        for _ in range(documents // 12):
            row += int(rng.integers(1, 400))
            stored[row] = words_of(rng, longest), words_of(rng, 5)
            connection.execute("INSERT INTO words (rowid, exact, forms) VALUES (?, ?, ?)", (row, *stored[row]))
        if commit % 3 == 2:
            connection.execute("INSERT INTO words (words, rank) VALUES ('merge', ?)", (int(rng.integers(1, 30)),))
        connection.execute("COMMIT")
    return stored


def counted(stored):
    """By word, the number of times that each document has it in each column."""
    counts = {}
    for row, columns in sorted(stored.items()):
        for column, words in enumerate(columns):
            for word in words.split():
                counts.setdefault(word, {}).setdefault(row, Counter())[column] += 1
    return counts


def assert_lists_are(connection, stored):
    doclists = Doclists.of(connection)
    expected = counted(stored)
    for word in [*VOCABULARY, "absent", ""]:
        exact, anywhere = doclists.read(connection, word, WEIGHT)
        of_word = expected.get(word, {})
        assert anywhere.rows.tolist() == list(of_word)
        assert anywhere.counts == pytest.approx([count[0] + WEIGHT * count[1] for count in of_word.values()])
        assert exact.rows.tolist() == [row for row, count in of_word.items() if count[0]]
        assert exact.counts.tolist() == [count[0] for count in of_word.values() if count[0]]
    assert doclists.documents == len(stored)
    assert doclists.tokens == sum(len(words.split()) for columns in stored.values() for words in columns)
    rows = np.array(sorted(stored), np.int64)
    lengths = [sum(len(words.split()) for words in stored[row]) for row in rows.tolist()]
    for kept in (Lengths(len(stored)), Lengths(3)):  # the second has too few places
        assert kept.of(connection, rows).tolist() == kept.of(connection, rows).tolist() == lengths


@pytest.mark.parametrize("automerge", [0, 2, 4])
@pytest.mark.parametrize("page_bytes", [40, 100, 1000, 4050])
def test_lists_are_those_of_the_documents(connection, page_bytes, automerge):
    stored = fill(connection, np.random.default_rng(page_bytes + automerge), page_bytes, automerge=automerge)
    assert_lists_are(connection, stored)
    listed = connection.execute("SELECT DISTINCT term, doc FROM temp.instances").fetchall()
    assert sorted(listed) == sorted((word, row) for word, rows in counted(stored).items() for row in rows)


def test_lists_that_span_many_pages(connection):
    stored = fill(connection, np.random.default_rng(1), 64, documents=60, longest=900)
    assert_lists_are(connection, stored)
    connection.execute("INSERT INTO words (words) VALUES ('optimize')")
    assert_lists_are(connection, stored)


def test_an_index_without_documents(connection):
    assert_lists_are(connection, {})


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM words_data WHERE id = 10",
        "UPDATE words_data SET block = 'text' WHERE id = 10",
        "UPDATE words_data SET block = 7 WHERE id = 1",
        "UPDATE words_data SET block = x'ffffffffffffffffff' WHERE id = 1",
        "UPDATE words_data SET block = x'000000000101010001ffffffffff7f0102' WHERE id = 10",
        "UPDATE words_data SET block = x'00000000010101000101ffffffffffffff7f' WHERE id = 10",
        "UPDATE words_idx SET pgno = 'text'",
        "UPDATE words_idx SET pgno = 1.5",
        "UPDATE words_data SET block = substr(block, 1, 6) WHERE id = 10",
        "UPDATE words_data SET block = x'00000000ffffffff7f01' WHERE id = 10",
        "UPDATE words_data SET block = 'text' WHERE id > 1000",
        "UPDATE words_data SET block = x'00' WHERE id > 1000",
        "DELETE FROM words_data WHERE id > 1000 AND id % 2 = 0",
        "UPDATE words_data SET block = CAST(x'0000ffff' || substr(block, 5) AS BLOB) WHERE id > 1000 AND id % 2 = 0",
    ],
)
def test_damage_is_an_error(connection, damage):
    fill(connection, np.random.default_rng(2), 64)
    connection.execute(damage)
    with pytest.raises(CorruptIndexError):
        [Doclists.of(connection).read(connection, word, WEIGHT) for word in VOCABULARY]


def test_any_flipped_byte_is_an_error_or_another_list(connection):
    rng = np.random.default_rng(3)
    fill(connection, rng, 100, documents=60)
    blocks = connection.execute("SELECT id, block FROM words_data WHERE id >= 10").fetchall()
    for _ in range(300):
        row, block = blocks[rng.integers(len(blocks))]
        damaged = bytearray(block)
        damaged[rng.integers(len(damaged))] = rng.integers(256)
        connection.execute("UPDATE words_data SET block = ? WHERE id = ?", (bytes(damaged), row))
        try:
            for word in VOCABULARY[:8]:
                found = Doclists.of(connection).read(connection, word, WEIGHT)
                assert (np.diff(found.anywhere.rows) > 0).all()
        except CorruptIndexError:
            pass
        connection.execute("UPDATE words_data SET block = ? WHERE id = ?", (block, row))


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM words_docsize WHERE id = (SELECT max(id) FROM words_docsize)",
        "UPDATE words_docsize SET sz = NULL",
        "UPDATE words_docsize SET sz = 1.5",
        "UPDATE words_docsize SET sz = x'ffffffffffffffffff01'",
        "UPDATE words_docsize SET sz = zeroblob(40)",
    ],
)
def test_a_damaged_length_is_an_error(connection, damage):
    stored = fill(connection, np.random.default_rng(4), 1000)
    connection.execute(damage)
    with pytest.raises(CorruptIndexError):
        Lengths(10).of(connection, np.array(sorted(stored), np.int64))


def kept_in(words):
    return [*words._lists.values(), *words._phrases.values(), *words._passing.values()]


def test_what_is_kept_is_bounded(connection, monkeypatch):
    """Also words that no document has, each of which keeps nothing but itself, and filters."""
    fill(connection, np.random.default_rng(5), 1000)
    monkeypatch.setattr(commit_words, "_MAX_KEPT_BYTES", 20_000)
    kept = commit_words.CommitWords()
    expected = kept.clause(connection, Clause(("w1",)))
    for number in range(60):
        assert len(kept.clause(connection, Clause((f"absent{number}",))).rows) == 0
        assert len(kept.clause(connection, Clause((f"absent{number}", "w1"))).rows) == 0
        rows = kept.passing(f"filter{number}", lambda: np.arange(100))
        assert rows.tolist() == list(range(100))
        assert len(kept_in(kept)) <= 20
    assert len(kept_in(kept)) > 1
    assert kept.clause(connection, Clause(("w1",))).rows.tolist() == expected.rows.tolist()
    assert len(kept.passing("large", lambda: np.arange(10_000))) == 10_000
    assert "large" not in kept._passing
