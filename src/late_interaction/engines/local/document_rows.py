"""A document as a row of the catalog, and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from late_interaction.documents import Document
from late_interaction.engines.local.where import KINDS, sql_value
from late_interaction.errors import CorruptIndexError
from late_interaction.filters import field_values
from late_interaction.images import PageImage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["DocumentRow", "FieldRow", "field_rows"]

FieldRow: TypeAlias = "tuple[str, int, Any, bool]"
"""What filters see of a value in the metadata: (path, kind, value, is_element)."""


class DocumentRow(NamedTuple):
    """What the catalog keeps of a document, in the order of its columns; the page image is in a table of its own."""

    id: str
    text: str
    encoded_text: str | None
    metadata: str
    root: int | None
    checksum: int
    image: str | None
    thumbnail: bytes | None

    @classmethod
    def of(cls, document: Document, root: int | None) -> DocumentRow:
        """Return the row of a document that was read from this root."""
        page = document.image
        return cls(
            document.id,
            document.text,
            document.encoded_text,
            json.dumps(document.metadata, ensure_ascii=False),
            root,
            0,
            None if page is None else json.dumps(page.to_json(), ensure_ascii=False),
            None if page is None else page.thumbnail,
        )

    def document(self) -> Document:
        """Return the document.

        Raises:
            CorruptIndexError: The row is damaged.
        """
        try:
            page = None if self.image is None else PageImage.from_json(json.loads(self.image), self.thumbnail)
            return Document(
                self.text,
                id=self.id,
                metadata=json.loads(self.metadata),
                encoded_text=self.encoded_text,
                image=page,
            )
        except (TypeError, ValueError) as error:
            raise CorruptIndexError(f"The document {self.id!r} of the catalog is damaged: {error}") from None


def field_rows(metadata: Mapping[str, Any]) -> Iterator[FieldRow]:
    """Yield what filters see of the metadata, for the table ``fields``."""
    for path, value in field_values(metadata):
        yield path, KINDS[value.kind], sql_value(value), value.is_element
