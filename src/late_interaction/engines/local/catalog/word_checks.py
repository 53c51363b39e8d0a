"""Check that the words of lexical search are those of the documents."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import zip_longest
from operator import ne
from typing import TYPE_CHECKING

from late_interaction.engines.local.catalog.schema import TOKENIZER, WORDS
from late_interaction.engines.local.catalog.stored_words import stored_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from late_interaction.engines.local.catalog.reader import Reader
    from late_interaction.words import Tokenizer

__all__ = ["word_problems"]

# FTS5 checks an index by a write to it, which a reader must not do and which would block writers for long. So its
# tables are copied into temporary ones, which are private to the connection and spill to disk. So are the words of the
# documents; the texts of an older format are read through a view.
_LEGACY_COLUMNS, _LEGACY_TOKENIZER = "text", "porter unicode61 remove_diacritics 2"
_LEGACY_SOURCE = "CREATE TEMPORARY VIEW checked_passages (row, text) AS SELECT row, text FROM main.passages"
_SOURCE = f"CREATE TABLE temp.checked_passages (row INTEGER PRIMARY KEY, {WORDS})"
_VOCABULARIES = (
    "CREATE VIRTUAL TABLE temp.rebuilt_instances USING fts5vocab ('temp', 'rebuilt_words', 'instance')",
    "CREATE VIRTUAL TABLE temp.stored_instances USING fts5vocab ('main', 'words', 'instance')",
    "CREATE VIRTUAL TABLE temp.stored_terms USING fts5vocab ('main', 'words', 'row')",
)
_COPY = (
    "DELETE FROM temp.checked_words_data",
    "DELETE FROM temp.checked_words_config",
    *(
        f"INSERT INTO temp.checked_words_{table} SELECT * FROM main.words_{table}"
        for table in ("data", "idx", "docsize", "config")
    ),
)
_CHECK = "INSERT INTO temp.checked_words (checked_words, rank) VALUES ('integrity-check', 1)"

# A search finds a term through other pages than a listing of all terms in order does, so both are compared.
_COUNT_NOT_FOUND = """
SELECT count(*) FROM temp.stored_terms AS listed WHERE (doc, cnt) IS NOT (
    SELECT doc, cnt FROM temp.stored_terms AS found WHERE found.term = listed.term)
"""
_COUNT_OTHERS = "SELECT count(*) FROM main.document_words WHERE document NOT IN (SELECT row FROM main.documents)"
_CONFIGURATION = [("version", 4)]


def word_problems(reader: Reader) -> Iterator[str]:
    """Compare the words with the documents, inside a transaction of the reader; yield what is wrong.

    The check of FTS5 itself covers the lengths of documents, their mean and the structure of its tables. But its
    checksum is an exclusive or, in which some differences cancel. So each occurrence of each term is compared as well.
    """
    connection = reader.connection
    if connection.execute("SELECT k, v FROM words_config").fetchall() != _CONFIGURATION:
        yield "The words of lexical search have a configuration that no release writes."
        return
    connection.execute("SAVEPOINT check_words")
    try:
        yield from _problems(reader)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
            raise
        yield f"The words of lexical search differ from those of the documents ({error})."
    finally:
        connection.execute("ROLLBACK TO check_words")
        connection.execute("RELEASE check_words")


def _problems(reader: Reader) -> Iterator[str]:
    connection = reader.connection
    if reader.tokenizer is None:
        connection.execute(_LEGACY_SOURCE)
        columns, tokenizer = _LEGACY_COLUMNS, _LEGACY_TOKENIZER
    else:
        connection.execute(_SOURCE)
        yield from _stored_problems(reader, reader.tokenizer)
        columns, tokenizer = WORDS, TOKENIZER
    options = f"{columns}, content='checked_passages', content_rowid='row', tokenize=\"{tokenizer}\""
    for name in ("rebuilt_words", "checked_words"):
        connection.execute(f"CREATE VIRTUAL TABLE temp.{name} USING fts5 ({options})")
    for statement in _VOCABULARIES:
        connection.execute(statement)
    connection.execute("INSERT INTO temp.rebuilt_words (rebuilt_words) VALUES ('rebuild')")
    select = "SELECT term, doc, col, offset FROM temp."
    with (
        closing(connection.execute(f"{select}stored_instances")) as stored,
        closing(connection.execute(f"{select}rebuilt_instances")) as expected,
    ):
        are_equal = not any(ne(*pair) for pair in zip_longest(stored, expected))
    if not are_equal:
        yield "The words of lexical search differ from those of the documents."
        return
    for statement in _COPY:
        connection.execute(statement)
    connection.execute(_CHECK)
    (not_found,) = connection.execute(_COUNT_NOT_FOUND).fetchone()
    if not_found:
        yield f"The words of lexical search are damaged: searches do not find {not_found} of them."


def _stored_problems(reader: Reader, tokenizer: Tokenizer) -> Iterator[str]:
    """Copy the words that are stored with the documents; yield those that are not the words of their texts.

    Texts are only split again if this would give the same words, with the same versions of everything.
    """
    insert = "INSERT INTO temp.checked_passages VALUES (?, ?, ?)"
    has_current_words = reader.has_current_words
    for row, text, words in stored_words(reader.connection):
        if has_current_words and words != tokenizer.document(text):
            yield f"The words of lexical search of the document in row {row} are not those of its text."
        reader.connection.execute(insert, (row, *words))
    (others,) = reader.connection.execute(_COUNT_OTHERS).fetchone()
    if others:
        yield f"The catalog has words of {others} documents that do not exist."
