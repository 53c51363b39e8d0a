"""The check that the words of lexical search are those of the documents."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import zip_longest
from operator import ne
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["word_problems"]

# FTS5 checks an index through a write to it, which a reader may not do and a writer should not do for so long. So its
# tables are copied into temporary ones, which are private to the connection and spill to disk. The documents stay
# where they are: temporary indexes read them through a view.
_OPTIONS = "text, content='checked_passages', content_rowid='row', tokenize='porter unicode61 remove_diacritics 2'"
_MAKE = (
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

# A search looks a term up by another way through the tables than that which lists all terms in their order.
_LOST = """
SELECT count(*) FROM temp.stored_terms AS listed WHERE (doc, cnt) IS NOT (
    SELECT doc, cnt FROM temp.stored_terms AS found WHERE found.term = listed.term)
"""
_CONFIGURATION = [("version", 4)]


def word_problems(connection: sqlite3.Connection) -> Iterator[str]:
    """Compare the words with the documents, inside a transaction of the connection.

    The check of FTS5 itself covers the lengths of documents, their mean and the structure of its tables; but its
    checksum is an exclusive or of numbers of which some bits cancel, so each instance of each term is compared, too.
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
        yield f"The words of lexical search are not those of the documents ({error})."
    finally:
        connection.execute("ROLLBACK TO check_words")
        connection.execute("RELEASE check_words")


def _problems(connection: sqlite3.Connection) -> Iterator[str]:
    for statement in _MAKE:
        connection.execute(statement)
    select = "SELECT term, doc, offset FROM temp."
    with (
        closing(connection.execute(f"{select}stored_instances")) as stored,
        closing(connection.execute(f"{select}rebuilt_instances")) as expected,
    ):
        are_equal = not any(ne(*pair) for pair in zip_longest(stored, expected))
    if not are_equal:
        yield "The words of lexical search are not those of the documents."
        return
    for statement in _COPY:
        connection.execute(statement)
    connection.execute(_CHECK)
    (lost,) = connection.execute(_LOST).fetchone()
    if lost:
        yield f"The words of lexical search are damaged: {lost} of them are not found."
