"""Check that the words of lexical search are those of the documents."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import zip_longest
from operator import ne
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["word_problems"]

# FTS5 checks an index by a write to it, which a reader must not do and which would block writers for long. So its
# tables are copied into temporary ones, which are private to the connection and spill to disk. Documents are not
# copied: the temporary indexes read them through a view.
_OPTIONS = "text, content='checked_passages', content_rowid='row', tokenize='porter unicode61 remove_diacritics 2'"
_CREATE = (
    "CREATE TEMPORARY VIEW checked_passages (row, text) AS SELECT row, text FROM main.passages",
    f"CREATE VIRTUAL TABLE temp.rebuilt_words USING fts5 ({_OPTIONS})",
    f"CREATE VIRTUAL TABLE temp.checked_words USING fts5 ({_OPTIONS})",
    "CREATE VIRTUAL TABLE temp.rebuilt_instances USING fts5vocab ('temp', 'rebuilt_words', 'instance')",
    "CREATE VIRTUAL TABLE temp.stored_instances USING fts5vocab ('main', 'words', 'instance')",
    "CREATE VIRTUAL TABLE temp.stored_terms USING fts5vocab ('main', 'words', 'row')",
    "INSERT INTO temp.rebuilt_words (rebuilt_words) VALUES ('rebuild')",
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
_CONFIGURATION = [("version", 4)]


def word_problems(connection: sqlite3.Connection) -> Iterator[str]:
    """Compare the words with the documents, inside a transaction of the connection; yield what is wrong.

    The check of FTS5 itself covers the lengths of documents, their mean and the structure of its tables. But its
    checksum is an exclusive or, in which some differences cancel. So each occurrence of each term is compared as well.
    """
    if connection.execute("SELECT k, v FROM words_config").fetchall() != _CONFIGURATION:
        yield "The words of lexical search have a configuration that no release writes."
        return
    connection.execute("SAVEPOINT check_words")
    try:
        yield from _problems(connection)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
            raise
        yield f"The words of lexical search differ from those of the documents ({error})."
    finally:
        connection.execute("ROLLBACK TO check_words")
        connection.execute("RELEASE check_words")


def _problems(connection: sqlite3.Connection) -> Iterator[str]:
    for statement in _CREATE:
        connection.execute(statement)
    select = "SELECT term, doc, offset FROM temp."
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
