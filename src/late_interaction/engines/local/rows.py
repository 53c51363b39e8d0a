"""Reading and writing the rows of the catalog, inside one transaction."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from late_interaction.documents import Document
from late_interaction.engines.local.columns import ColumnFile
from late_interaction.engines.local.segment import SegmentEntry
from late_interaction.engines.local.where import KINDS, compile_filter, sql_value
from late_interaction.errors import CorruptIndexError
from late_interaction.filters import field_values, parse
from late_interaction.images import PageImage

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from late_interaction.engines.local.codebook import CodebookEntry
    from late_interaction.filters import Where

__all__ = ["Place", "Reader", "Replacement", "Writer"]

Place = tuple[int, int]
"""Where a document's vectors are: (segment, position)."""

_COLUMNS = "documents.id, documents.text, documents.encoded_text, documents.metadata"
_FORMAT_WITH_IMAGES = 3
_IMAGES = """
CREATE TABLE images (
    document INTEGER PRIMARY KEY REFERENCES documents ON DELETE CASCADE, image TEXT NOT NULL, thumbnail BLOB)
"""
_CHUNK = 500  # ids in one statement
_MAX_WORDS = 256  # of a lexical query: a pasted page is cut, its first words say what it is about


@dataclass(frozen=True)
class Replacement:
    """A new segment for old ones.

    Attributes:
        segments: The old ones.
        entry: The new one; None if nothing in them lives.
        origins: Where each document of the new one was.
        codebook: A new codebook, if there is one.
    """

    segments: tuple[int, ...]
    entry: SegmentEntry | None
    origins: tuple[Place, ...] = ()
    codebook: CodebookEntry | None = None


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

    def tombstones(self) -> list[Place]:
        """The places of deleted documents."""
        return self._connection.execute("SELECT segment, position FROM tombstones").fetchall()

    def places(self, *, where: Where | None = None, candidates: Iterable[str] | None = None) -> list[Place]:
        """The places of the documents that pass the filter and are candidates, in order."""
        condition, parameters = _condition(where)
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
        return _document(row)

    def documents(self, ids: Sequence[str]) -> list[Document]:
        """The documents of these ids, in this order, without unknown ones."""
        found = {}
        for document_id in dict.fromkeys(ids):
            row = self._connection.execute(f"{self._select} WHERE id = ?", (document_id,)).fetchone()
            if row is not None:
                found[document_id] = _document(row)
        return [found[document_id] for document_id in ids if document_id in found]

    def scan(self, *, where: Where | None = None) -> Iterator[Document]:
        """All documents that pass, in the order of addition."""
        condition, parameters = _condition(where)
        rows = self._connection.execute(f"{self._select} WHERE {condition} ORDER BY row", parameters)
        return map(_document, rows)

    def damaged_documents(self) -> Iterator[str]:
        """A sentence for each document that cannot be read."""
        for row in self._connection.execute(f"{self._select} ORDER BY row"):
            try:
                _document(row)
            except CorruptIndexError as error:
                yield str(error)

    def count(self, *, where: Where | None = None) -> int:
        """How many documents pass."""
        condition, parameters = _condition(where)
        row = self._connection.execute(f"SELECT count(*) FROM documents WHERE {condition}", parameters)
        return int(row.fetchone()[0])

    def search_words(
        self, query: str, k: int, *, where: Where | None = None, candidates: Iterable[str] | None = None
    ) -> list[tuple[Document, float]]:
        """The k best documents by BM25 (as FTS5 computes it: k1 = 1.2, b = 0.75), best first."""
        words = list(dict.fromkeys(re.findall(r"\w+", unicodedata.normalize("NFC", query))))[:_MAX_WORDS]
        if not words:
            return []
        condition, parameters = _condition(where)
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
    def _has_images(self) -> bool:
        return bool(self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'images'").fetchone())

    @property
    def _select(self) -> str:
        """The statement that `_document` reads the rows of, up to its condition."""
        if not self._has_images:
            return f"SELECT {_COLUMNS}, NULL, NULL FROM documents"
        return f"SELECT {_COLUMNS}, image, thumbnail FROM documents LEFT JOIN images ON images.document = documents.row"


class Writer(Reader):
    """Changes to the catalog, in one transaction."""

    def set_setting(self, key: str, value: Any) -> None:
        """Write a setting, as JSON."""
        self._connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, json.dumps(value)))

    def add_segment(self) -> int:
        """Reserve a segment's number, for `finish_segment` to fill in."""
        cursor = self._connection.execute("INSERT INTO segments (name, documents, tokens) VALUES ('', 0, 0)")
        return int(cursor.lastrowid or 0)

    def finish_segment(self, segment: int, entry: SegmentEntry) -> None:
        """Name the files of a segment, which are durable by now."""
        self._connection.execute(
            "UPDATE segments SET name = ?, documents = ?, tokens = ? WHERE segment = ?",
            (entry.name, entry.documents, entry.tokens, segment),
        )
        rows = [(segment, file.name, file.size, file.checksum) for file in entry.files]
        self._connection.executemany("INSERT INTO segment_files VALUES (?, ?, ?, ?)", rows)

    def replace_segments(self, replacement: Replacement) -> None:
        """Put a new segment in the place of old ones. What was deleted since it was written is deleted in it, too."""
        if replacement.codebook is not None:
            self.set_setting("codebook", replacement.codebook.to_json())
        if replacement.entry is not None:
            target = self.add_segment()
            self.finish_segment(target, replacement.entry)
            moves = [(target, at, *origin) for at, origin in enumerate(replacement.origins)]
            self._connection.executemany(
                "UPDATE documents SET segment = ?, position = ? WHERE segment = ? AND position = ?", moves
            )
            deleted = set(range(len(moves))) - {
                position
                for (position,) in self._connection.execute(
                    "SELECT position FROM documents WHERE segment = ?", (target,)
                )
            }
            self._connection.executemany("INSERT INTO tombstones VALUES (?, ?)", [(target, at) for at in deleted])
        self._connection.executemany(
            "DELETE FROM segments WHERE segment = ?", [(segment,) for segment in replacement.segments]
        )

    def put(self, document: Document, place: Place) -> None:
        """Add a document, or replace the one of the same id."""
        self.delete_ids([document.id])
        metadata = json.dumps(document.metadata, ensure_ascii=False)
        cursor = self._connection.execute(
            "INSERT INTO documents (id, segment, position, text, encoded_text, metadata) VALUES (?, ?, ?, ?, ?, ?)",
            (document.id, *place, document.text, document.encoded_text, metadata),
        )
        row = cursor.lastrowid
        if document.image is not None:
            self._add_images()
            image = json.dumps(document.image.to_json(), ensure_ascii=False)
            self._connection.execute("INSERT INTO images VALUES (?, ?, ?)", (row, image, document.image.thumbnail))
        fields = {
            (path, KINDS[value.kind], sql_value(value), value.is_element, row)
            for path, value in field_values(document.metadata)
        }
        self._connection.executemany("INSERT OR IGNORE INTO fields VALUES (?, ?, ?, ?, ?)", fields)

    def _add_images(self) -> None:
        """Make the place for page images, which indexes without any do not have."""
        if not self._has_images:
            self._connection.execute(_IMAGES)
            self.set_setting("format_version", _FORMAT_WITH_IMAGES)
            del self._has_images  # to be looked up again

    def delete_ids(self, ids: Iterable[str]) -> int:
        """Delete documents by id; how many there were."""
        return sum(self._delete("documents.id = ?", [document_id]) for document_id in ids)

    def delete_where(self, where: Where) -> int:
        """Delete the documents that pass; how many there were."""
        return self._delete(*_condition(where))

    def _delete(self, condition: str, parameters: list[Any]) -> int:
        self._connection.execute(
            f"INSERT INTO tombstones SELECT segment, position FROM documents WHERE {condition}",
            parameters,
        )
        return self._connection.execute(f"DELETE FROM documents WHERE {condition}", parameters).rowcount


def _condition(where: Where | None) -> tuple[str, list[Any]]:
    return ("1", []) if where is None else compile_filter(parse(where))


def _document(row: Sequence[Any]) -> Document:
    document_id, text, encoded_text, metadata, image, thumbnail = row
    try:
        page = None if image is None else PageImage.from_json(json.loads(image), thumbnail)
        return Document(text, id=document_id, metadata=json.loads(metadata), encoded_text=encoded_text, image=page)
    except (TypeError, ValueError) as error:
        raise CorruptIndexError(f"The document {document_id!r} of the catalog is damaged: {error}") from None
