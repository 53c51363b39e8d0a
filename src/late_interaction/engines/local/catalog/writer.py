"""Change the rows of the catalog, inside one transaction."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from late_interaction.engines.local.catalog.document_rows import DocumentRow, field_rows
from late_interaction.engines.local.catalog.reader import Place, Reader
from late_interaction.engines.local.catalog.schema import create_words
from late_interaction.engines.local.catalog.settings import CHECKSUM, settings_checksum
from late_interaction.engines.local.catalog.stored_words import add_words, delete_words, words_of
from late_interaction.engines.local.storage.names import new_name
from late_interaction.errors import CorruptIndexError, UnknownIdError
from late_interaction.words import tokenizer_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from late_interaction.engines.local.catalog.document_rows import FieldRow
    from late_interaction.engines.local.catalog.incoming import IncomingRow
    from late_interaction.engines.local.catalog.replacement import AddedPostings, Replacement
    from late_interaction.engines.local.catalog.stored_words import DocumentWords
    from late_interaction.engines.local.storage.segment import SegmentEntry
    from late_interaction.filters import Where

__all__ = ["Writer"]

_MAX_ROW = 2**62
_CHUNK_DOCUMENTS = 500
"""Documents in one statement. Their 9 values each stay within SQLite's limit of 32,766 parameters.

In a catalog with triggers for its words, FTS5 writes them into the database at the beginning of each statement that
fires one: one statement for each document takes several times as long.
"""
_IMAGE_COLUMN = DocumentRow._fields.index("image")


_DOCUMENT_COLUMNS = "row, segment, position, id, text, encoded_text, metadata, root, checksum"
_DOCUMENT_VALUES = f"({', '.join('?' * len(_DOCUMENT_COLUMNS.split(', ')))})"


class Kept(NamedTuple):
    """Stored vectors that a document keeps.

    Attributes:
        place: Where they are.
        truncated: See `Record`.
    """

    place: Place
    truncated: bool


class Writer(Reader):
    """Changes the catalog.

    Args:
        connection: A connection in a write transaction.
    """

    def set_setting(self, key: str, value: Any) -> None:
        """Write a setting as JSON."""
        self._connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, json.dumps(value)))

    def finish(self, generation: int) -> None:
        """Write the number of the commit and the checksum of all settings. Call this last before the commit."""
        self.set_setting("generation", generation)
        rows = self._connection.execute("SELECT key, value FROM settings").fetchall()
        self.set_setting(CHECKSUM, settings_checksum(rows))

    def add_segment(self, entry: SegmentEntry) -> int:
        """Add a new segment, whose files must be durable; return its number."""
        cursor = self._connection.execute(
            "INSERT INTO segments (name, documents, tokens) VALUES (?, ?, ?)",
            (entry.name, entry.documents, entry.tokens),
        )
        segment = int(cursor.lastrowid or 0)
        rows = [(segment, file.name, file.size, file.checksum) for file in entry.files]
        self._connection.executemany("INSERT INTO segment_files VALUES (?, ?, ?, ?)", rows)
        self._use_name(entry.name)
        return segment

    def replace_segments(self, replacement: Replacement) -> None:
        """Replace old segments by a new one. Documents deleted since it was written are marked as deleted in it."""
        if replacement.codebook is not None:
            if (replaced := self.setting("codebook")) is not None:
                self._retire_names([replaced["name"]])
            self.set_setting("codebook", replacement.codebook.to_json())
            self._use_name(replacement.codebook.name)
        if replacement.entry is not None:
            target = self.add_segment(replacement.entry)
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
        for segment in replacement.segments:
            (name,) = self._connection.execute("SELECT name FROM segments WHERE segment = ?", (segment,)).fetchone()
            self._retire_names([name])
            self._connection.execute("DELETE FROM segments WHERE segment = ?", (segment,))

    def add_postings(self, added: AddedPostings) -> None:
        """Name posting lists, whose files must be durable; do nothing if their segment was replaced meanwhile."""
        self._connection.executemany(
            "INSERT INTO segment_files SELECT segment, ?, ?, ? FROM segments WHERE segment = ? AND name = ?",
            [(file.name, file.size, file.checksum, added.segment, added.name) for file in added.files],
        )

    def reserve_names(self, count: int) -> list[str]:
        """Record new names for the directories of later writes; return them."""
        names = [new_name() for _ in range(count)]
        self._connection.executemany("INSERT INTO spare_names VALUES (?, 0)", [(name,) for name in names])
        return names

    def forget_names(self, names: Iterable[str]) -> None:
        """Delete the records of names whose directories are removed. The names are not used again."""
        self._connection.executemany("DELETE FROM spare_names WHERE name = ?", [(name,) for name in names])

    def _use_name(self, name: str) -> None:
        self._connection.execute("DELETE FROM spare_names WHERE name = ?", (name,))

    def _retire_names(self, names: Iterable[str]) -> None:
        """Record names of directories that were in use and may be removed."""
        self._connection.executemany("INSERT OR REPLACE INTO spare_names VALUES (?, 1)", [(name,) for name in names])

    def kept(self, documents: Iterable[DocumentRow]) -> Iterator[tuple[DocumentRow, Kept | None]]:
        """Yield each document with its stored vectors; None if the stored document is gone or has other content."""
        remaining = iter(documents)
        while chunk := list(islice(remaining, _CHUNK_DOCUMENTS)):
            truncated = self.truncated(document.id for document in chunk)
            stored = {row.id: row.encoded_content for _, row in self._rows(document.id for document in chunk)}
            for new in chunk:
                is_same = stored.get(new.id) == new.encoded_content
                place = self.place_of(new.id) if is_same else None
                yield new, None if place is None else Kept(place, new.id in truncated)

    def add(self, incoming: Iterable[IncomingRow], entry: SegmentEntry | None, kept: Mapping[str, Kept]) -> None:
        """Add documents. They replace those with the same ids.

        Args:
            incoming: The documents.
            entry: A new segment with their vectors, in order; None if all are in ``kept``.
            kept: Vectors that are stored already, by id.
        """
        segment = None if entry is None else self.add_segment(entry)
        rows = iter(incoming)
        number = self._connection.execute("SELECT coalesce(max(row), 0) FROM documents").fetchone()[0] + 1
        if number > _MAX_ROW:
            raise CorruptIndexError(
                "The rows of the catalog have numbers that no release writes. Restore the index from a copy."
            )
        position = 0
        while chunk := list(islice(rows, _CHUNK_DOCUMENTS)):
            self.delete_ids(row.document.id for row in chunk)
            numbered = []
            for row, (document, fields, *_) in enumerate(chunk, number):
                if document.id in kept:
                    place: tuple[int | None, int] = kept[document.id].place
                else:
                    place = segment, position
                    position += 1
                numbered.append((row, place, document, fields))
            values = ", ".join([_DOCUMENT_VALUES] * len(chunk))
            self._connection.execute(
                f"INSERT INTO documents ({_DOCUMENT_COLUMNS}) VALUES {values}",
                [value for row, place, document, _ in numbered for value in (row, *place, *document[:_IMAGE_COLUMN])],
            )
            self._connection.executemany(  # of the documents that were deleted above, or by a filter before
                "DELETE FROM tombstones WHERE segment = ? AND position = ?",
                [kept[row.document.id].place for row in chunk if row.document.id in kept],
            )
            self._connection.executemany(
                "INSERT INTO images VALUES (?, ?, ?)",
                ((row, *document[_IMAGE_COLUMN:]) for row, _, document, _ in numbered if document.image is not None),
            )
            self._connection.executemany(
                "INSERT OR IGNORE INTO fields VALUES (?, ?, ?, ?, ?)",
                ((*field, row) for row, _, _, fields in numbered for field in fields),
            )
            truncated = [kept.get(row.document.id, row).truncated for row in chunk]
            self._connection.executemany(
                "INSERT INTO truncated VALUES (?)", ((at,) for at, is_one in enumerate(truncated, number) if is_one)
            )
            self._add_words(enumerate((row.words or row.document.text_to_encode for row in chunk), number))
            number += len(chunk)

    def set_root(self, ids: Iterable[str], root: int | None) -> int:
        """Record the root that documents were read from; return the number of documents found.

        Raises:
            CorruptIndexError: A document is damaged. A new checksum would conceal that.
        """
        changed = 0
        for document_id in ids:
            row = self._connection.execute(f"{self._select} WHERE id = ?", (document_id,)).fetchone()
            if row is not None:
                stored = DocumentRow(*row)
                stored.document()
                new = stored.with_root(root)
                self._connection.execute(
                    "UPDATE documents SET root = ?, checksum = ? WHERE id = ?", (root, new.checksum, document_id)
                )
                changed += 1
        return changed

    def update_documents(
        self, rows: Iterable[tuple[DocumentRow, list[FieldRow]]], stored_ids: Mapping[str, str]
    ) -> int:
        """Replace documents and the values that filters find, and keep their vectors; return the number of documents.

        Args:
            rows: The documents and their values.
            stored_ids: The stored ids of documents that get another one, by the new id. Stored documents that have a
                new id, and do not get another one, are deleted.

        Raises:
            UnknownIdError: The index has no document with one of the ids.
        """
        self._rename(stored_ids)
        execute = self._connection.execute
        updated = 0
        for new, fields in rows:
            stored = execute(
                "SELECT row, coalesce(encoded_text, text) FROM documents WHERE id = ?", (new.id,)
            ).fetchone()
            if stored is None:
                raise UnknownIdError(f"The index does not contain {new.id!r}.")
            row, text = stored
            if self.tokenizer is None:
                execute("INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)", (row, text))
            else:
                delete_words(self._connection, "documents.row = ?", (row,))
            execute(
                "UPDATE documents SET text = ?, encoded_text = ?, metadata = ?, root = ?, checksum = ? WHERE row = ?",
                (new.text, new.encoded_text, new.metadata, new.root, new.checksum, row),
            )
            if self.tokenizer is None:
                execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (row, new.text_to_encode))
            self._add_words([(row, new.text_to_encode)])
            execute("DELETE FROM images WHERE document = ?", (row,))
            if new.image is not None:
                execute("INSERT INTO images VALUES (?, ?, ?)", (row, new.image, new.thumbnail))
            self._set_fields(row, fields)
            updated += 1
        return updated

    def update_metadata(self, ids: Iterable[str], metadata: Mapping[str, Any]) -> int:
        """Set these keys in the metadata of documents; return the number of documents found.

        Raises:
            CorruptIndexError: A document is damaged. A new checksum would conceal that.
        """
        remaining, updated = iter(dict.fromkeys(ids)), 0
        while chunk := list(islice(remaining, _CHUNK_DOCUMENTS)):
            for (number, _), row in list(self._rows(chunk)):
                new = DocumentRow.of(row.document().with_metadata(metadata), row.root)
                self._connection.execute(
                    "UPDATE documents SET metadata = ?, checksum = ? WHERE row = ?",
                    (new.metadata, new.checksum, number),
                )
                self._set_fields(number, field_rows(new.document().metadata))
                updated += 1
        return updated

    def _set_fields(self, number: int, fields: Iterable[FieldRow]) -> None:
        """Replace the values that filters find in the document of this row."""
        self._connection.execute("DELETE FROM fields WHERE document = ?", (number,))
        self._connection.executemany(
            "INSERT OR IGNORE INTO fields VALUES (?, ?, ?, ?, ?)", [(*field, number) for field in fields]
        )

    def _rename(self, stored_ids: Mapping[str, str]) -> None:
        """Give stored documents new ids, which may be those of each other. `update_documents` renews the checksums."""
        # In two steps, because ids are unique at any time. No document has an id with the new name of a directory.
        passing = new_name()
        moves = [(stored, f"{passing}/{number}", new) for number, (new, stored) in enumerate(stored_ids.items())]
        for stored, between, _ in moves:
            if not self._connection.execute("UPDATE documents SET id = ? WHERE id = ?", (between, stored)).rowcount:
                raise UnknownIdError(f"The index does not contain {stored!r}.")
        self.delete_ids(new for _, _, new in moves)
        self._connection.executemany(
            "UPDATE documents SET id = ? WHERE id = ?", [(new, between) for _, between, new in moves]
        )

    def delete_ids(self, ids: Iterable[str]) -> int:
        """Delete documents by id; return the number deleted."""
        remaining, deleted = iter(dict.fromkeys(ids)), 0
        while chunk := list(islice(remaining, _CHUNK_DOCUMENTS)):
            deleted += self._delete(f"documents.id IN ({', '.join('?' * len(chunk))})", chunk)
        return deleted

    def delete_where(self, where: Where) -> int:
        """Delete the documents that pass the filter; return the number deleted."""
        return self._delete(*self.condition(where))

    def rebuild_words(self) -> None:
        """Split the texts of all documents into words again, as this release does.

        Raises:
            CorruptIndexError: A document is damaged.
        """
        language, tokenizer = self.language, tokenizer_for(self.language)
        create_words(self._connection)
        documents = iter(self.document_rows())
        while chunk := list(islice(documents, _CHUNK_DOCUMENTS)):
            for _, row in chunk:
                row.document()
            add_words(self._connection, [(number, words_of(row.text_to_encode, tokenizer)) for number, row in chunk])
        self.set_setting("words", {"language": language, "tokenizer": tokenizer.version})

    def _add_words(self, rows: Iterable[tuple[int, DocumentWords | str]]) -> None:
        """Add the words of documents, given as (row, words or text). Older formats have triggers for that."""
        tokenizer, setting = self.tokenizer, self.setting("words")
        if tokenizer is None:
            return
        if setting["tokenizer"] not in (None, tokenizer.version):  # from now on, words of both
            self.set_setting("words", {**setting, "tokenizer": None})
        add_words(
            self._connection,
            [(row, words_of(words, tokenizer) if isinstance(words, str) else words) for row, words in rows],
        )

    def _delete(self, condition: str, parameters: list[Any]) -> int:
        if self.tokenizer is not None:
            delete_words(self._connection, condition, parameters)
        self._connection.execute(
            f"INSERT INTO tombstones SELECT segment, position FROM documents WHERE {condition}",
            parameters,
        )
        return self._connection.execute(f"DELETE FROM documents WHERE {condition}", parameters).rowcount
