"""The kernels of lexical search against their reference in plain Python, on pages of FTS5 and on damaged ones."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from late_interaction.engines.local.catalog.word_lists import compiled, reference
from tests.engines.kernel_cases import assert_python_runs_beside

WORDS = ["a", "ab", "abc", "abd", "b", "ba", "c", "ca", "z", "é", "京都", "longer-word-than-others" * 3]
_ROWS = st.lists(st.integers(0, 40), unique=True).map(sorted).map(lambda rows: np.array(rows, np.int64))


def pages():
    """The pages of words of an index with small pages."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE VIRTUAL TABLE words USING fts5 (exact, forms, content='')")
        connection.execute("INSERT INTO words (words, rank) VALUES ('pgsz', 200)")
        rng = np.random.default_rng(0)
        for row in range(1, 400):
            exact, forms = (" ".join(rng.choice(WORDS[:-1], rng.integers(0, 6))) for _ in range(2))
            connection.execute("INSERT INTO words (rowid, exact, forms) VALUES (?, ?, ?)", (row, exact, forms))
        blocks = connection.execute("SELECT block FROM words_data WHERE id > 1000 AND id >> 36 & 1 = 0").fetchall()
    return [block for (block,) in blocks]


PAGES = pages()


def found(page, word):
    out = np.full(3, 7, np.int64)
    compiled.find(np.frombuffer(page, np.uint8), np.frombuffer(word, np.uint8), out)
    return tuple(out.tolist())


def decoded(block, starts, weight=0.9):
    most = len(block) // 2 + 1
    out = np.empty(most, np.int64), np.empty(most), np.empty(most)
    count = compiled.decode(np.frombuffer(block, np.uint8), np.array(starts, np.int64), weight, *out)
    return None if count < 0 else [column[:count].tolist() for column in out]


def test_words_are_found_in_pages():
    wanted = [b"0" + word.encode() for word in [*WORDS, "", "aa", "abe", "zz"]]
    outcomes = [found(page, word) for page in PAGES for word in wanted]
    assert outcomes == [tuple(map(int, reference.find(page, word))) for page in PAGES for word in wanted]
    assert sum(outcome[0] > 0 for outcome in outcomes) >= len(WORDS) - 2


@settings(deadline=None)
@given(st.data())
def test_damaged_pages_are_read_within_their_bounds(data):
    page = bytearray(data.draw(st.sampled_from(PAGES)))
    for _ in range(data.draw(st.integers(0, 4))):
        page[data.draw(st.integers(0, len(page) - 1))] = data.draw(st.integers(0, 255))
    page = bytes(page[: data.draw(st.integers(0, len(page)))])
    for word in (b"0a", b"0ab", b"0z"):
        start, end, _ = found(page, word)
        assert start in (-1, 0) or 4 < start <= end <= len(page)


@settings(deadline=None)
@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=3).map(sorted))
def test_any_bytes_are_decoded_like_the_reference(block, more):
    starts = [0, *more]
    expected = reference.decode(block, starts, 0.9)
    assert decoded(block, starts) == (None if expected is None else [column.tolist() for column in expected])


def test_columns_weigh_what_they_are_given():
    # Row 5: once in the first column, and twice in the second. Row 7: deleted. Row 300: once in the second.
    block = bytes([5, 10, 2, 1, 1, 2, 3, 2, 1, 0x82, 0x25, 6, 1, 1, 2])
    assert decoded(block, [0], 0.5) == [[5, 7, 300], [1.0, 0.0, 0.0], [2.0, 0.0, 0.5]]
    assert decoded(block[:-1], [0]) is None


@settings(deadline=None)
@given(_ROWS, _ROWS)
def test_lists_are_merged_and_selected_like_the_reference(rows, others):
    scores, other_scores = rows * 1.5 + 0.1, others * 0.25
    out = np.empty(len(rows) + len(others), np.int64), np.empty(len(rows) + len(others))
    count = compiled.merge(rows, scores, others, other_scores, *out)
    assert [column[:count].tolist() for column in out] == [
        column.tolist() for column in reference.merge(rows, scores, others, other_scores)
    ]
    places = np.empty(min(len(rows), len(others)), np.int64)
    assert places[: compiled.select(rows, others, places)].tolist() == reference.select(rows, others).tolist()


def test_python_runs_beside_the_kernels():
    block = np.frombuffer(b"\x01\x04\x02\x02" * 4_000_000, np.uint8)
    out = np.empty(len(block), np.int64), np.empty(len(block)), np.empty(len(block))
    assert_python_runs_beside(compiled.decode, (block, np.zeros(1, np.int64), 0.9, *out))


def test_kernels_work_in_several_threads():
    expected = [[found(page, b"0ab") for page in PAGES]] * 8
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: [found(page, b"0ab") for page in PAGES], range(8))) == expected
