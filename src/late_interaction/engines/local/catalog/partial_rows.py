"""Some columns of a document, read without the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from late_interaction.documents import DocumentFields
from late_interaction.engines.local.catalog.stored_json import parse_json
from late_interaction.errors import CorruptIndexError
from late_interaction.images import PageImage

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from late_interaction.documents import FieldName

__all__ = ["read_fields"]

_COLUMNS: dict[FieldName, tuple[str, ...]] = {
    "text": ("documents.text",),
    "encoded_text": ("documents.encoded_text",),
    "metadata": ("documents.metadata",),
    "image": ("images.image", "images.thumbnail"),
}
_IMAGES = " LEFT JOIN images ON images.document = documents.row"


def read_fields(
    connection: sqlite3.Connection,
    fields: Sequence[FieldName],
    condition: str,
    parameters: Sequence[Any],
    *,
    has_images: bool,
) -> Iterator[DocumentFields]:
    """Yield these fields of the documents that meet an SQL condition, in the order of addition.

    Raises:
        CorruptIndexError: A field is damaged. The checksum of a document, which is over all of it, is not compared.
    """
    read = [name for name in fields if has_images or name != "image"]
    columns = ["documents.id", *(column for name in read for column in _COLUMNS[name])]
    tables = f"documents{_IMAGES if 'image' in read else ''}"
    rows = connection.execute(
        f"SELECT {', '.join(columns)} FROM {tables} WHERE {condition} ORDER BY documents.row", parameters
    )
    for document_id, *values in rows:
        remaining = iter(values)
        found: dict[str, Any] = {name: [next(remaining) for _ in _COLUMNS[name]] for name in read}
        try:
            yield DocumentFields(document_id, **{name: _parsed(name, *stored) for name, stored in found.items()})
        except (TypeError, ValueError) as error:
            raise CorruptIndexError(
                f"The document {document_id!r:.200} of the catalog is damaged: {error}. Restore the index from a copy."
            ) from None


def _parsed(name: str, stored: Any, thumbnail: bytes | None = None) -> Any:
    if name == "metadata":
        return parse_json(stored)
    if name == "image" and stored is not None:
        return PageImage.from_json(parse_json(stored), thumbnail)
    return stored
