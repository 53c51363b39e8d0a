"""Read the rows of the catalog, inside one transaction."""

from __future__ import annotations

from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from late_interaction.engines.local.catalog.document_rows import DocumentRow, field_rows, is_root
from late_interaction.engines.local.catalog.filter_sql import compile_filter
from late_interaction.engines.local.catalog.matching import matched
from late_interaction.engines.local.catalog.partial_rows import read_fields
from late_interaction.engines.local.catalog.schema import check_schema
from late_interaction.engines.local.catalog.settings import language_of, parse_setting, parse_settings
from late_interaction.engines.local.storage.columns import ColumnFile
from late_interaction.engines.local.storage.segment import SegmentEntry
from late_interaction.errors import CorruptIndexError
from late_interaction.filters import parse
from late_interaction.words import tokenizer_for

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from late_interaction.documents import Document, DocumentFields, FieldName
    from late_interaction.engines.records import Match
    from late_interaction.filters import Where
    from late_interaction.words import Tokenizer

__all__ = ["Place", "Reader"]

Place = tuple[int, int]
"""Where a document's vectors are: (segment, position)."""

_COLUMNS = "documents.id, documents.text, documents.encoded_text, documents.metadata"
_FORMAT_WITH_IMAGES = 3
_FORMAT_WITH_CHECKSUMS = 4
_FORMAT_WITH_TRUNCATED = 6
_MAX_UNCHECKED_DOCUMENTS = 4096
_MIN_DOCUMENT_BYTES = 4  # a tombstone takes at least these in the catalog; a document takes dozens
_CHUNK_VALUES = 500  # in one statement


class Reader:
    """Queries over one commit of the catalog.

    Args:
        connection: A connection in a transaction.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, for checks that read tables directly."""
        return self._connection

    @property
    def has_spare_names(self) -> bool:
        """Whether the format has the table ``spare_names``."""
        return self.version >= _FORMAT_WITH_CHECKSUMS

    def setting(self, key: str) -> Any:
        """Return the value of a setting, or None.

        Raises:
            CorruptIndexError: The value has another type than this setting.
        """
        row = self._connection.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
        return parse_setting(key, None if row is None else row[0])

    def check_schema(self, path: Path) -> None:
        """Check that the catalog at this path has exactly the tables of its format. Call this before any other query.

        Raises:
            CorruptIndexError: The tables are others, or the file is not a catalog.
        """
        check_schema(self._connection, path)

    def settings(self, *, all_of_them: bool = False) -> dict[str, Any]:
        """Return the settings that every reader needs, or all, by key. Check the checksum of all settings.

        Raises:
            CorruptIndexError: A setting is missing or has another type, or the checksum does not match.
        """
        rows = self._connection.execute("SELECT key, value FROM settings").fetchall()
        return parse_settings(rows, all_of_them=all_of_them)

    def integrity_problems(self) -> list[str]:
        """Return what SQLite finds wrong with the database file."""
        rows = self._connection.execute("PRAGMA integrity_check").fetchall()
        rows += [(f"broken reference in {row[0]}",) for row in self._connection.execute("PRAGMA foreign_key_check")]
        return [row[0] for row in rows if row[0] != "ok"]

    @property
    def generation(self) -> int:
        """The number of the commit."""
        return self._number("generation")

    def segments(self) -> dict[int, SegmentEntry]:
        """Return all segments, oldest first.

        Raises:
            CorruptIndexError: An entry has a name, files or numbers that no release writes.
        """
        files: dict[int, list[ColumnFile]] = {}
        for segment, *file in self._connection.execute("SELECT segment, name, size, checksum FROM segment_files"):
            files.setdefault(segment, []).append(ColumnFile(*file))
        rows = self._connection.execute("SELECT segment, name, documents, tokens FROM segments ORDER BY segment")
        entries = {
            segment: SegmentEntry(name, documents, tokens, tuple(files.pop(segment, ())))
            for segment, name, documents, tokens in rows
        }
        for segment, entry in entries.items():
            if problem := entry.problem():
                raise CorruptIndexError(
                    f"The segment {segment} of the catalog has {problem}, which no release writes. "
                    "Restore the index from a copy."
                )
        if files:
            raise CorruptIndexError(
                f"The catalog lists files of unknown segments: {list(files)!r:.80}. Restore the index from a copy."
            )
        self._check_documents(sum(entry.documents for entry in entries.values()))
        return entries

    def _check_documents(self, documents: int) -> None:
        """Check that the file is large enough for this many documents, before arrays of that size are allocated.

        Counting the rows at each opening would read them all; `verify` does.
        """
        if documents <= _MAX_UNCHECKED_DOCUMENTS:
            return
        pages, page = (self._connection.execute(f"PRAGMA page_{of}").fetchone()[0] for of in ("count", "size"))
        size = pages * page
        if documents * _MIN_DOCUMENT_BYTES > size:
            raise CorruptIndexError(
                f"According to the catalog, its segments have {documents} documents, but its {size} bytes are too few "
                "for them. Restore the index from a copy."
            )

    def spare_names(self) -> dict[str, bool]:
        """Return the names of directories that may be removed, and whether each was once in use."""
        if self.version < _FORMAT_WITH_CHECKSUMS:
            return {}
        rows = self._connection.execute("SELECT name, is_retired FROM spare_names")
        return {name: bool(is_retired) for name, is_retired in rows}

    def tombstones(self) -> list[Place]:
        """Return the places of deleted documents, in any order."""
        return self._connection.execute("SELECT segment, position FROM tombstones").fetchall()

    def places(self, *, where: Where | None = None, candidates: Iterable[str] | None = None) -> list[Place]:
        """Return the places of the documents that pass the filter and are candidates, in any order."""
        return self._selected("segment, position", where, candidates)

    def rows(self, *, where: Where | None = None, candidates: Iterable[str] | None = None) -> list[int]:
        """Return the row numbers of the same documents."""
        return [row for (row,) in self._selected("documents.row", where, candidates)]

    def _selected(self, columns: str, where: Where | None, candidates: Iterable[str] | None) -> list[Any]:
        condition, parameters = self.condition(where)
        select = f"SELECT {columns} FROM documents WHERE {condition}"
        if candidates is None:
            return self._connection.execute(select, parameters).fetchall()
        return list(self._among(f"{select} AND", "id", candidates, parameters))

    def _among(self, select: str, column: str, values: Iterable[Any], parameters: Sequence[Any] = ()) -> Iterator[Any]:
        """Yield the rows in which a column has one of these values, in any order.

        The statement ends before this condition.
        """
        remaining = iter(dict.fromkeys(values))
        while chunk := list(islice(remaining, _CHUNK_VALUES)):
            statement = f"{select} {column} IN ({', '.join('?' * len(chunk))})"
            yield from self._connection.execute(statement, [*parameters, *chunk]).fetchall()

    def place_of(self, document_id: str) -> Place | None:
        """Where a document's vectors are, or None."""
        place: Place | None = self._connection.execute(
            "SELECT segment, position FROM documents WHERE id = ?", (document_id,)
        ).fetchone()
        return place

    def matches(self, found: Iterable[tuple[Place, float]]) -> list[Match]:
        """Return the matches of the documents whose vectors are at these places, with their scores, in this order.

        Raises:
            CorruptIndexError: A place belongs to no document.
        """
        found = list(found)
        positions: dict[int, list[int]] = {}
        for (segment, position), _ in found:
            positions.setdefault(segment, []).append(position)
        select = f"SELECT segment, position, id, {self._version} FROM documents WHERE segment = ? AND"
        rows = {
            (row[0], row[1]): row[2:]
            for segment, some in positions.items()
            for row in self._among(select, "position", some, [segment])
        }
        return matched(found, rows)

    def matches_in_rows(self, found: Iterable[tuple[int, float]]) -> list[Match]:
        """Return the matches of the documents in these rows, with their scores, in this order. See `matches`."""
        found = list(found)
        select = f"SELECT row, id, {self._version} FROM documents WHERE"
        return matched(found, {row[0]: row[1:] for row in self._among(select, "row", (row for row, _ in found))})

    def fetch(self, matches: Iterable[Match]) -> dict[str, Document]:
        """Return the documents of these matches, by id, without those deleted or replaced since they were found."""
        versions = {match.id: match.version for match in matches}
        return {row.id: row.document() for version, row in self._rows(versions) if version == versions.get(row.id)}

    def documents(self, ids: Sequence[str]) -> list[Document]:
        """Return the documents of these ids, in this order, without unknown ones."""
        found = {row.id: row.document() for _, row in self._rows(ids)}
        return [found[document_id] for document_id in ids if document_id in found]

    def _rows(self, ids: Iterable[str]) -> Iterator[tuple[tuple[Any, ...], DocumentRow]]:
        """Yield the version and the row of each of these documents, each once, in any order."""
        select = self._select.replace("SELECT ", f"SELECT {self._version}, ", 1)
        for row in self._among(f"{select} WHERE", "id", ids):
            yield row[:2], DocumentRow(*row[2:])

    def scan(self, *, where: Where | None = None, root: int | None = None) -> Iterator[Document]:
        """Yield all documents that pass, of a root only those that were read from it, in the order of addition."""
        condition, parameters = self._condition_of_root(where, root)
        rows = self._connection.execute(f"{self._select} WHERE {condition} ORDER BY row", parameters)
        return (DocumentRow(*row).document() for row in rows)

    def scan_fields(
        self, fields: Sequence[FieldName], *, where: Where | None = None, root: int | None = None
    ) -> Iterator[DocumentFields]:
        """Yield some fields of the same documents."""
        condition, parameters = self._condition_of_root(where, root)
        has_images = self.version >= _FORMAT_WITH_IMAGES
        return read_fields(self._connection, fields, condition, parameters, has_images=has_images)

    def _condition_of_root(self, where: Where | None, root: int | None) -> tuple[str, list[Any]]:
        condition, parameters = self.condition(where)
        if root is None:
            return condition, parameters
        if self.version < _FORMAT_WITH_CHECKSUMS:
            return "0", []
        return f"{condition} AND root = ?", [*parameters, root]

    def roots_of(self, ids: Iterable[str]) -> dict[str, int | None]:
        """Return the number of the root that each of these documents was read from, or None; skip unknown ids."""
        select = "SELECT root" if self.version >= _FORMAT_WITH_CHECKSUMS else "SELECT NULL"
        found = {}
        for document_id in ids:
            row = self._connection.execute(f"{select} FROM documents WHERE id = ?", (document_id,)).fetchone()
            if row is not None:
                if not is_root(row[0]):
                    raise CorruptIndexError(
                        f"The root of the document {document_id!r:.200} is damaged: {row[0]!r:.80}. "
                        "Restore the index from a copy."
                    )
                found[document_id] = row[0]
        return found

    def document_rows(self) -> Iterator[tuple[int, DocumentRow]]:
        """Yield the row number and the unchecked row of each document, ordered by row number."""
        select = self._select.replace("SELECT ", "SELECT row, ", 1)
        return ((row, DocumentRow(*columns)) for row, *columns in self._connection.execute(f"{select} ORDER BY row"))

    def field_rows(self) -> Iterator[tuple[int, Any, int, Any, int]]:
        """Yield the rows that filters search, (row of the document, path, kind, value, is_element), by document."""
        return self._connection.execute(
            "SELECT document, path, kind, value, is_element FROM fields INDEXED BY fields_of_document ORDER BY document"
        )

    def expected_fields(self, metadata: Mapping[str, Any]) -> Iterator[tuple[str | bytes, int, Any, bool]]:
        """Yield the rows that filters should find for this metadata, without the row of the document."""
        return field_rows(metadata, shortened=self.version >= _FORMAT_WITH_CHECKSUMS)

    def count(self, *, where: Where | None = None) -> int:
        """Return the number of documents that pass the filter."""
        condition, parameters = self.condition(where)
        row = self._connection.execute(f"SELECT count(*) FROM documents WHERE {condition}", parameters)
        return int(row.fetchone()[0])

    def count_truncated(self) -> int | None:
        """Return the number of documents whose texts were truncated; None in older formats, which do not have it."""
        if self.version < _FORMAT_WITH_TRUNCATED:
            return None
        return int(self._connection.execute("SELECT count(*) FROM truncated").fetchone()[0])

    def truncated(self, ids: Iterable[str]) -> set[str]:
        """Return those of these ids whose documents were truncated."""
        if self.version < _FORMAT_WITH_TRUNCATED:
            return set()
        select = "SELECT id FROM documents JOIN truncated ON truncated.document = documents.row WHERE"
        return {document_id for (document_id,) in self._among(select, "id", ids)}

    @cached_property
    def tokenizer(self) -> Tokenizer | None:
        """Splits texts and queries into words; None in a catalog whose words are those of format 4 or older."""
        words = self.setting("words")
        return None if words is None else tokenizer_for(words["language"])

    @property
    def language(self) -> str | None:
        """The language of stems; None for no stems."""
        return language_of(self.setting("words"))

    @property
    def has_current_words(self) -> bool:
        """Whether the same words would be made again from the documents of this catalog."""
        words = self.setting("words")
        return words is not None and words["tokenizer"] == tokenizer_for(words["language"]).version

    @cached_property
    def version(self) -> int:
        """The format version of the catalog."""
        return self._number("format_version")

    def _number(self, key: str) -> int:
        value = self.setting(key)
        if value is None:
            raise CorruptIndexError(f"The setting {key!r} of the catalog is missing. Restore the index from a copy.")
        return int(value)

    def condition(self, where: Where | None) -> tuple[str, list[Any]]:
        """Return a filter as a condition on ``documents`` with its parameters; without a filter, one that is true."""
        if where is None:
            return "1", []
        return compile_filter(parse(where), shortened=self.version >= _FORMAT_WITH_CHECKSUMS)

    @property
    def _version(self) -> str:
        """Two columns that together change when a document is replaced: rows can be used again, by other content."""
        has_checksums = self.version >= _FORMAT_WITH_CHECKSUMS
        return "documents.row, documents.checksum" if has_checksums else "documents.row, NULL"

    @property
    def _select(self) -> str:
        """The statement that gives the columns of `DocumentRow`, up to its condition."""
        own = "root, coalesce(checksum, -1)" if self.version >= _FORMAT_WITH_CHECKSUMS else "NULL, NULL"
        if self.version < _FORMAT_WITH_IMAGES:
            return f"SELECT {_COLUMNS}, {own}, NULL, NULL FROM documents"
        return (
            f"SELECT {_COLUMNS}, {own}, image, thumbnail "
            "FROM documents LEFT JOIN images ON images.document = documents.row"
        )
