"""Search the words of the catalog with FTS5, SQLite's full-text search."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from late_interaction.words import Clause, Tokenizer

__all__ = ["best_rows", "highest_score", "legacy_words", "quoted", "row_count", "word_bytes"]

_RANK = "bm25(1.0, 0.9)"
"""The weights of exact words and of other forms."""

_CLAUSES_OF_A_WORD = 2
"""A query asks for each word as it is written and, among exact words and forms, for its stem.

So documents with the word as it is written come first. The score is the mean, which is plain BM25 for a word that
occurs in one form only.
"""

_K1 = 1.2  # of FTS5's BM25
_LOWEST_IDF = 1e-6  # which FTS5 gives to words in at least half of the documents
_MAX_LEGACY_WORDS = 256
_LEGACY_WORD = re.compile(r"\w+")
_AVERAGES = 1  # the row of ``words_data`` that begins with the number of documents


def best_rows(
    connection: sqlite3.Connection,
    tokenizer: Tokenizer | None,
    query: str,
    k: int,
    columns: str,
    restriction: tuple[str, Iterable[Any]] | None,
) -> Iterable[tuple[Any, ...]]:
    """Return the id, the BM25 score and some columns of the k best documents, best first.

    Args:
        connection: A connection in a transaction.
        tokenizer: Splits the query as the documents were; None if the words are those of format 4 or older.
        query: The query.
        k: The number of documents.
        columns: Columns of ``documents``.
        restriction: A condition on ``documents`` with its parameters; None for all documents.
    """
    expression = " OR ".join(expression for expression, _ in _expressions(query, tokenizer))
    if not expression:
        return ()
    match = "words MATCH ?"
    parameters: list[Any] = [expression]
    if tokenizer is not None:
        match, parameters = "words MATCH ? AND rank MATCH ?", [expression, _RANK]
    divisor = 1 if tokenizer is None else _CLAUSES_OF_A_WORD
    if restriction is None:  # all matches are ranked before documents are looked up
        source, condition = f"(SELECT rowid, rank FROM words WHERE {match} ORDER BY rank, rowid LIMIT ?)", "1"
        parameters = [*parameters, k]
    else:
        source, condition = "words", f"{match} AND {restriction[0]}"
        parameters = [*parameters, *restriction[1]]
    return connection.execute(
        f"SELECT documents.id, -found.rank / {divisor}, {columns} FROM {source} AS found "
        "JOIN documents ON documents.row = found.rowid "
        f"WHERE {condition} ORDER BY found.rank, documents.row LIMIT ?",
        [*parameters, k],
    )


def highest_score(connection: sqlite3.Connection, tokenizer: Tokenizer | None, query: str) -> float:
    """Return what the BM25 score of a document approaches in which every word of a query occurs many times.

    A word that no document has counts, as rare as a word can be. A phrase or a spelling that no document has does not.
    See `best_rows` for the arguments.
    """
    documents = row_count(connection)
    total = 0.0
    for expression, counts_always in _expressions(query, tokenizer):
        (holding,) = connection.execute("SELECT count(*) FROM words WHERE words MATCH ?", (expression,)).fetchone()
        if holding or counts_always:
            odds = (documents - holding + 0.5) / (holding + 0.5)
            total += max(math.log(max(odds, 1.0)), _LOWEST_IDF) * (_K1 + 1)
    return total if tokenizer is None else total / _CLAUSES_OF_A_WORD


def row_count(connection: sqlite3.Connection) -> int:
    """Return the number of documents in FTS5's statistics, without counting them."""
    row = connection.execute("SELECT block FROM words_data WHERE id = ?", (_AVERAGES,)).fetchone()
    return 0 if row is None else _varint(row[0])


def word_bytes(connection: sqlite3.Connection) -> int:
    """Return the size of the tables of FTS5 in bytes, without what SQLite adds to each row and page.

    Example:
        >>> import sqlite3
        >>> connection = sqlite3.connect(":memory:")
        >>> _ = connection.execute("CREATE VIRTUAL TABLE words USING fts5 (exact, forms, content='')")
        >>> empty = word_bytes(connection)
        >>> _ = connection.execute("INSERT INTO words (rowid, exact, forms) VALUES (1, 'paris', 'pari')")
        >>> 0 < word_bytes(connection) - empty < 100
        True
    """
    sizes = (
        "SELECT sum(length(block)) FROM words_data",
        "SELECT sum(length(CAST(term AS BLOB))) FROM words_idx",
        "SELECT sum(length(sz)) FROM words_docsize",
    )
    return sum(connection.execute(size).fetchone()[0] or 0 for size in sizes)


def _varint(block: bytes) -> int:
    """Return the integer at the beginning of a block, as SQLite encodes it: 7 bits a byte, the highest first."""
    value = 0
    for byte in block[:8]:
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            break
    return value


def _expressions(query: str, tokenizer: Tokenizer | None) -> list[tuple[str, bool]]:
    """Return the words of a query as expressions of FTS5, each with whether it is a word of the query itself."""
    if tokenizer is None:
        return [(word, True) for word in legacy_words(query)]
    return [(quoted(clause), clause.is_word) for clause in tokenizer.query(query)]


def quoted(clause: Clause) -> str:
    """Return a clause of a query as an expression of FTS5. Words are quoted, so the operators of FTS5 are words, too.

    Example:
        >>> from late_interaction.words import Clause
        >>> quoted(Clause(("foo", "bar"), is_exact=True)), quoted(Clause(("京",), is_prefix=True))
        ('exact : "foo bar"', '"京" *')
    """
    column, star = "exact : " if clause.is_exact else "", " *" if clause.is_prefix else ""
    return f'{column}"{" ".join(clause.words)}"{star}'


def legacy_words(query: str) -> list[str]:
    """Return the words of a query as expressions of FTS5, for the words of format 4 and older.

    FTS5 itself reduces these words to English stems and removes diacritics.

    Example:
        >>> legacy_words("Nile AND nile-delta")
        ['"Nile"', '"AND"', '"nile"', '"delta"']
    """
    words = dict.fromkeys(_LEGACY_WORD.findall(unicodedata.normalize("NFC", query)))
    return [f'"{word}"' for word in [*words][:_MAX_LEGACY_WORDS]]
