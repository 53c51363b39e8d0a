"""Reading the rows of the catalog, inside one transaction."""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from late_interaction.engines.local.columns import ColumnFile
from late_interaction.engines.local.document_rows import DocumentRow
from late_interaction.engines.local.segment import SegmentEntry
from late_interaction.engines.local.where import compile_filter
from late_interaction.errors import CorruptIndexError
from late_interaction.filters import parse

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from late_interaction.documents import Document
    from late_interaction.filters import Where

__all__ = ["Place", "Reader", "condition_of"]

Place = tuple[int, int]
"""Where a document's vectors are: (segment, position)."""

_COLUMNS = "documents.id, documents.text, documents.encoded_text, documents.metadata"
_FORMAT_WITH_IMAGES = 3
_FORMAT_WITH_CHECKSUMS = 4
_CHUNK = 500  # ids in one statement
_MAX_WORDS = 256  # of a lexical query: a pasted page is cut, its first words say what it is about


class Reader:
    """Queries over one state of the catalog."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def setting(self, key: str) -> Any:
        """A setting's value, or None."""
        row = self._connection.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
        try:
            return None if row is None else json.loads(row[0])
        except json.JSONDecodeError as error:
            raise CorruptIndexError(f"The setting {key!r} of the catalog is damaged: {error}.") from None

    def has_settings(self) -> bool:
        """Whether this is a catalog at all."""
        return bool(self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'settings'").fetchone())

    def integrity_problems(self) -> list[str]:
        """What SQLite finds wrong with the database file."""
        rows = self._connection.execute("PRAGMA integrity_check").fetchall()
        rows += [(f"broken reference in {row[0]}",) for row in self._connection.execute("PRAGMA foreign_key_check")]
        return [row[0] for row in rows if row[0] != "ok"]

    @property
    def generation(self) -> int:
        """The number of commits so far; it names this state."""
        return int(self.setting("generation"))

    def segments(self) -> dict[int, SegmentEntry]:
        """All segments, oldest first."""
        files: dict[int, list[ColumnFile]] = {}
        for segment, *file in self._connection.execute("SELECT segment, name, size, checksum FROM segment_files"):
            files.setdefault(segment, []).append(ColumnFile(*file))
        rows = self._connection.execute("SELECT segment, name, documents, tokens FROM segments ORDER BY segment")
        return {
            segment: SegmentEntry(name, documents, tokens, tuple(files.get(segment, ())))
            for segment, name, documents, tokens in rows
        }

    def spare_names(self) -> dict[str, bool]:
        """Names of directories that may be removed, and whether one was in use."""
        if self.version < _FORMAT_WITH_CHECKSUMS:
            return {}
        rows = self._connection.execute("SELECT name, is_retired FROM spare_names")
        return {name: bool(is_retired) for name, is_retired in rows}

    def tombstones(self) -> list[Place]:
        """The places of deleted documents."""
        return self._connection.execute("SELECT segment, position FROM tombstones").fetchall()

    def places(self, *, where: Where | None = None, candidates: Iterable[str] | None = None) -> list[Place]:
        """The places of the documents that pass the filter and are candidates, in order."""
        condition, parameters = condition_of(where)
        select = f"SELECT segment, position FROM documents WHERE {condition}"
        if candidates is None:
            return sorted(self._connection.execute(select, parameters))
        remaining = iter(dict.fromkeys(candidates))
        places: list[Place] = []
        while chunk := list(islice(remaining, _CHUNK)):
            chosen = f"{select} AND id IN ({', '.join('?' * len(chunk))})"
            places += self._connection.execute(chosen, [*parameters, *chunk])
        return sorted(places)

    def place_of(self, document_id: str) -> Place | None:
        """Where a document's vectors are, or None."""
        place: Place | None = self._connection.execute(
            "SELECT segment, position FROM documents WHERE id = ?", (document_id,)
        ).fetchone()
        return place

    def document_at(self, place: Place) -> Document:
        """The document whose vectors are at a place."""
        row = self._connection.execute(f"{self._select} WHERE segment = ? AND position = ?", place).fetchone()
        return DocumentRow(*row).document()

    def documents(self, ids: Sequence[str]) -> list[Document]:
        """The documents of these ids, in this order, without unknown ones."""
        found = {}
        for document_id in dict.fromkeys(ids):
            row = self._connection.execute(f"{self._select} WHERE id = ?", (document_id,)).fetchone()
            if row is not None:
                found[document_id] = DocumentRow(*row).document()
        return [found[document_id] for document_id in ids if document_id in found]

    def scan(self, *, where: Where | None = None, root: int | None = None) -> Iterator[Document]:
        """All documents that pass, of a root only those that were read from it, in the order of addition."""
        condition, parameters = condition_of(where)
        if root is not None:
            if self.version < _FORMAT_WITH_CHECKSUMS:
                return iter(())
            condition, parameters = f"{condition} AND root = ?", [*parameters, root]
        rows = self._connection.execute(f"{self._select} WHERE {condition} ORDER BY row", parameters)
        return (DocumentRow(*row).document() for row in rows)

    def roots_of(self, ids: Iterable[str]) -> dict[str, int | None]:
        """The root that each of these documents was read from, or None; without unknown ones."""
        select = "SELECT root" if self.version >= _FORMAT_WITH_CHECKSUMS else "SELECT NULL"
        found = {}
        for document_id in ids:
            row = self._connection.execute(f"{select} FROM documents WHERE id = ?", (document_id,)).fetchone()
            if row is not None:
                found[document_id] = row[0]
        return found

    def damaged_documents(self) -> Iterator[str]:
        """A sentence for each document that cannot be read."""
        for row in self._connection.execute(f"{self._select} ORDER BY row"):
            try:
                DocumentRow(*row).document()
            except CorruptIndexError as error:
                yield str(error)

    def count(self, *, where: Where | None = None) -> int:
        """How many documents pass."""
        condition, parameters = condition_of(where)
        row = self._connection.execute(f"SELECT count(*) FROM documents WHERE {condition}", parameters)
        return int(row.fetchone()[0])

    def search_words(
        self, query: str, k: int, *, where: Where | None = None, candidates: Iterable[str] | None = None
    ) -> list[tuple[Document, float]]:
        """The k best documents by BM25 (as FTS5 computes it: k1 = 1.2, b = 0.75), best first."""
        words = list(dict.fromkeys(re.findall(r"\w+", unicodedata.normalize("NFC", query))))[:_MAX_WORDS]
        if not words:
            return []
        condition, parameters = condition_of(where)
        if candidates is not None:
            condition += " AND documents.id IN (SELECT value FROM json_each(?))"
            parameters = [*parameters, json.dumps(list(candidates))]
        expression = " OR ".join(f'"{word}"' for word in words)  # quoted: FTS5's own operators mean nothing here
        rows = self._connection.execute(
            f"SELECT documents.id, -words.rank FROM words JOIN documents ON documents.row = words.rowid "
            f"WHERE words MATCH ? AND {condition} ORDER BY words.rank, documents.row LIMIT ?",
            [expression, *parameters, k],
        ).fetchall()
        found = self.documents([document_id for document_id, _ in rows])
        return [(document, float(score)) for document, (_, score) in zip(found, rows, strict=True)]

    @cached_property
    def version(self) -> int:
        """The format version of the catalog."""
        return int(self.setting("format_version"))

    @property
    def _select(self) -> str:
        """The statement that gives the columns of `DocumentRow`, up to its condition."""
        own = "root, checksum" if self.version >= _FORMAT_WITH_CHECKSUMS else "NULL, 0"
        if self.version < _FORMAT_WITH_IMAGES:
            return f"SELECT {_COLUMNS}, {own}, NULL, NULL FROM documents"
        return (
            f"SELECT {_COLUMNS}, {own}, image, thumbnail "
            "FROM documents LEFT JOIN images ON images.document = documents.row"
        )


def condition_of(where: Where | None) -> tuple[str, list[Any]]:
    """Return a filter as a condition on ``documents`` with its parameters; without one, a condition that holds."""
    return ("1", []) if where is None else compile_filter(parse(where))
