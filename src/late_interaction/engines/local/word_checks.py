"""The check that the words of lexical search are those of the documents."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["word_problems"]

# FTS5 checks an index through a write to it, which a reader may not do and a writer should not do for so long. So its
# tables are copied into temporary ones, which are private to the connection and spill to disk. The documents stay
# where they are: the temporary index reads them through a view.
_COPY = """
CREATE TEMPORARY VIEW checked_passages (row, text) AS SELECT row, text FROM main.passages;
CREATE VIRTUAL TABLE temp.checked_words USING fts5 (
    text, content='checked_passages', content_rowid='row', tokenize='porter unicode61 remove_diacritics 2');
DELETE FROM temp.checked_words_data;
DELETE FROM temp.checked_words_config;
INSERT INTO temp.checked_words_data SELECT * FROM main.words_data;
INSERT INTO temp.checked_words_idx SELECT * FROM main.words_idx;
INSERT INTO temp.checked_words_docsize SELECT * FROM main.words_docsize;
INSERT INTO temp.checked_words_config SELECT * FROM main.words_config
"""
_CHECK = "INSERT INTO temp.checked_words (checked_words, rank) VALUES ('integrity-check', 1)"
_CONFIGURATION = [("version", 4)]


def word_problems(connection: sqlite3.Connection) -> Iterator[str]:
    """Compare the words with the documents, inside a transaction of the connection."""
    if connection.execute("SELECT k, v FROM words_config").fetchall() != _CONFIGURATION:
        yield "The words of lexical search have a configuration that no release writes."
        return
    connection.execute("SAVEPOINT check_words")
    try:
        for statement in _COPY.split(";"):
            connection.execute(statement)
        connection.execute(_CHECK)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
            raise
        yield f"The words of lexical search are not those of the documents ({error})."
    finally:
        connection.execute("ROLLBACK TO check_words")
        connection.execute("RELEASE check_words")
