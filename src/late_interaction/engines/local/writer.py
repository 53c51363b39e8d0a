"""Changing the rows of the catalog, inside one transaction."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from late_interaction.engines.local.rows import Place, Reader, condition_of
from late_interaction.errors import UnknownIdError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from late_interaction.engines.local.codebook import CodebookEntry
    from late_interaction.engines.local.document_rows import DocumentRow, FieldRow
    from late_interaction.engines.local.segment import SegmentEntry
    from late_interaction.filters import Where

__all__ = ["Replacement", "Writer"]


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

    def add_incoming(self, segment: int) -> None:
        """Add the documents that `Incoming` has gathered on this connection, replacing those of the same ids."""
        self._delete("documents.id IN (SELECT id FROM incoming)", [])
        self._connection.execute(
            "INSERT INTO documents (id, segment, position, text, encoded_text, metadata, root, checksum) "
            "SELECT id, ?, position, text, encoded_text, metadata, root, checksum FROM incoming ORDER BY position",
            (segment,),
        )
        self._connection.execute(
            "INSERT INTO images SELECT row, image, thumbnail FROM incoming "
            "JOIN documents ON segment = ? AND documents.position = incoming.position WHERE image IS NOT NULL",
            (segment,),
        )
        self._connection.execute(
            "INSERT OR IGNORE INTO fields SELECT path, kind, value, is_element, row FROM incoming_fields "
            "JOIN documents ON segment = ? AND documents.position = incoming_fields.position",
            (segment,),
        )
        self._connection.execute("DELETE FROM incoming")
        self._connection.execute("DELETE FROM incoming_fields")

    def set_root(self, ids: Iterable[str], root: int | None) -> int:
        """Note the root that documents were read from; how many there were."""
        cursor = self._connection.executemany(
            "UPDATE documents SET root = ? WHERE id = ?", ((root, document_id) for document_id in ids)
        )
        return cursor.rowcount

    def update_documents(self, rows: Iterable[tuple[DocumentRow, list[FieldRow]]]) -> int:
        """Replace documents and what filters see of them, in their places; return how many there were.

        Raises:
            UnknownIdError: There is no document of an id.
        """
        execute = self._connection.execute
        updated = 0
        for new, fields in rows:
            stored = execute(
                "SELECT row, coalesce(encoded_text, text) FROM documents WHERE id = ?", (new.id,)
            ).fetchone()
            if stored is None:
                raise UnknownIdError(f"The index holds no document {new.id!r}.")
            row, words = stored
            execute("INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)", (row, words))
            execute(
                "UPDATE documents SET text = ?, encoded_text = ?, metadata = ?, root = ?, checksum = ? WHERE row = ?",
                (new.text, new.encoded_text, new.metadata, new.root, new.checksum, row),
            )
            execute("INSERT INTO words (rowid, text) SELECT row, text FROM passages WHERE row = ?", (row,))
            execute("DELETE FROM images WHERE document = ?", (row,))
            if new.image is not None:
                execute("INSERT INTO images VALUES (?, ?, ?)", (row, new.image, new.thumbnail))
            execute("DELETE FROM fields WHERE document = ?", (row,))
            self._connection.executemany(
                "INSERT OR IGNORE INTO fields VALUES (?, ?, ?, ?, ?)", [(*field, row) for field in fields]
            )
            updated += 1
        return updated

    def delete_ids(self, ids: Iterable[str]) -> int:
        """Delete documents by id; how many there were."""
        return sum(self._delete("documents.id = ?", [document_id]) for document_id in ids)

    def delete_where(self, where: Where) -> int:
        """Delete the documents that pass; how many there were."""
        return self._delete(*condition_of(where))

    def _delete(self, condition: str, parameters: list[Any]) -> int:
        self._connection.execute(
            f"INSERT INTO tombstones SELECT segment, position FROM documents WHERE {condition}",
            parameters,
        )
        return self._connection.execute(f"DELETE FROM documents WHERE {condition}", parameters).rowcount
