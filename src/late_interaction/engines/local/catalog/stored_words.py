"""Write the words of documents into the tables of lexical search, and delete them again.

The table of FTS5 does not keep the words of a document, but needs them to delete it. Words that are made again from the
text may differ: they depend on tables of Unicode and on the stemmer, which a new version of Python or of a package
changes. So they are stored, compressed with the text as the dictionary.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

from late_interaction.engines.local.catalog.schema import WORDS
from late_interaction.errors import CorruptIndexError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from late_interaction.words import Tokenizer

__all__ = ["DocumentWords", "add_words", "delete_words", "stored_words", "words_of"]

_MAX_EXPANSION = 64  # how many times as long as a text its words may be, in bytes: a few times, except for ligatures
_SMALLEST_LIMIT_BYTES = 4096
_WINDOW_BYTES = 1 << zlib.MAX_WBITS  # of a text, that the compressor can refer to
_SEPARATOR = "\n"


class DocumentWords(NamedTuple):
    """The words of a document: what FTS5 indexes, and both compressed."""

    exact: str
    forms: str
    compressed: bytes


def words_of(text: str, tokenizer: Tokenizer) -> DocumentWords:
    """Return the words of a text."""
    exact, forms = tokenizer.document(text)
    compressor = zlib.compressobj(zdict=text.encode()[-_WINDOW_BYTES:])
    words = f"{exact}{_SEPARATOR}{forms}".encode()
    return DocumentWords(exact, forms, compressor.compress(words) + compressor.flush())


def add_words(connection: sqlite3.Connection, rows: Iterable[tuple[int, DocumentWords]]) -> None:
    """Add the words of documents, given as (row, words)."""
    rows = list(rows)
    connection.executemany(
        f"INSERT INTO words (rowid, {WORDS}) VALUES (?, ?, ?)", ((row, words.exact, words.forms) for row, words in rows)
    )
    connection.executemany("INSERT INTO document_words VALUES (?, ?)", ((row, words.compressed) for row, words in rows))


def delete_words(connection: sqlite3.Connection, condition: str, parameters: Iterable[Any]) -> None:
    """Delete the words of the documents that pass a condition on ``documents``.

    Raises:
        CorruptIndexError: The words of a document are damaged or missing.
    """
    connection.executemany(
        f"INSERT INTO words (words, rowid, {WORDS}) VALUES ('delete', ?, ?, ?)",
        ((row, *words) for row, _, words in stored_words(connection, condition, parameters)),
    )
    connection.execute(
        f"DELETE FROM document_words WHERE document IN (SELECT documents.row FROM documents WHERE {condition})",
        tuple(parameters),
    )


def stored_words(
    connection: sqlite3.Connection, condition: str = "1", parameters: Iterable[Any] = ()
) -> Iterator[tuple[int, str, tuple[str, str]]]:
    """Yield the row, the encoded text, the exact words and the forms of the documents that pass a condition.

    Raises:
        CorruptIndexError: The words of a document are damaged or missing.
    """
    rows = connection.execute(
        "SELECT documents.row, coalesce(documents.encoded_text, documents.text), document_words.words "
        "FROM documents LEFT JOIN document_words ON document_words.document = documents.row "
        f"WHERE {condition} ORDER BY documents.row",
        tuple(parameters),
    )
    for row, text, compressed in rows:
        try:
            yield row, text, _decompressed(text, compressed)
        except (TypeError, ValueError, AttributeError, zlib.error) as error:
            raise CorruptIndexError(
                f"The words of the document in row {row} of the catalog are damaged: {error}. "
                "Restore the index from a copy."
            ) from None


def _decompressed(text: str, compressed: bytes) -> tuple[str, str]:
    encoded = text.encode()
    limit = max(_SMALLEST_LIMIT_BYTES, _MAX_EXPANSION * len(encoded))
    decompressor = zlib.decompressobj(zdict=encoded[-_WINDOW_BYTES:])
    words = decompressor.decompress(compressed, limit)
    if not decompressor.eof:
        raise ValueError("they are incomplete, or too long for the text")
    exact, _, forms = words.decode().partition(_SEPARATOR)
    return exact, forms
