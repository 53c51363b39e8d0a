"""Convert documents to rows of the catalog, and back."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from late_interaction.documents import Document
from late_interaction.engines.local.catalog.filter_sql import KINDS, sql_path, sql_value, whole_value
from late_interaction.engines.local.catalog.stored_json import parse_json
from late_interaction.errors import CorruptIndexError
from late_interaction.filters import field_values
from late_interaction.images import PageImage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["DocumentRow", "FieldRow", "field_rows", "is_root"]

FieldRow: TypeAlias = "tuple[str | bytes, int, Any, bool]"
"""A value in the metadata as filters find it: (path, kind, value, is_element)."""


class DocumentRow(NamedTuple):
    """A document in the catalog, in the order of the columns. The page image is in another table.

    Attributes:
        metadata: JSON.
        root: The number of the root that the document was read from.
        checksum: The checksum recorded with the document; None in catalogs of formats without checksums.
        image: The page image as JSON.
        thumbnail: The bytes of an image file.
    """

    id: str
    text: str
    encoded_text: str | None
    metadata: str
    root: int | None
    checksum: int | None
    image: str | None
    thumbnail: bytes | None

    @classmethod
    def of(cls, document: Document, root: int | None) -> DocumentRow:
        """Return the row of a document with this root."""
        page = document.image
        encoded_text, metadata = document.encoded_text, json.dumps(document.metadata, ensure_ascii=False)
        image = None if page is None else json.dumps(page.to_json(), ensure_ascii=False)
        thumbnail = None if page is None else page.thumbnail
        checksum = _checksum(document.id, document.text, encoded_text, metadata, root, image, thumbnail)
        return cls(document.id, document.text, encoded_text, metadata, root, checksum, image, thumbnail)

    @property
    def text_to_encode(self) -> str:
        """The text for the encoder and for lexical search."""
        return self.text if self.encoded_text is None else self.encoded_text

    @property
    def encoded_content(self) -> tuple[str | int | None, ...]:
        """`Document.encoded_content`, of a text without reading the rest."""
        return (self.text_to_encode,) if self.image is None else self.document().encoded_content

    def with_root(self, root: int | None) -> DocumentRow:
        """Return the row of the same document with this root."""
        new = self._replace(root=root)
        return new._replace(checksum=new.content_checksum())

    def content_checksum(self) -> int:
        """Return the checksum of all other columns."""
        return _checksum(self.id, self.text, self.encoded_text, self.metadata, self.root, self.image, self.thumbnail)

    def document(self) -> Document:
        """Return the document.

        Raises:
            CorruptIndexError: The row is damaged.
        """
        try:
            self.check()
            page = None if self.image is None else PageImage.from_json(parse_json(self.image), self.thumbnail)
            return Document.restored(
                self.text,
                id=self.id,
                metadata=parse_json(self.metadata),
                encoded_text=self.encoded_text,
                image=page,
            )
        except (TypeError, ValueError) as error:
            raise CorruptIndexError(
                f"The document {self.id!r:.200} of the catalog is damaged: {error}. Restore the index from a copy."
            ) from None

    def check(self) -> None:
        """Check the types of the columns and the checksum.

        Raises:
            ValueError: A type or the checksum differs.
        """
        if not (
            type(self.id) is type(self.text) is type(self.metadata) is str
            and (self.encoded_text is None or type(self.encoded_text) is str)
            and (self.image is None or type(self.image) is str)
            and (self.thumbnail is None or type(self.thumbnail) is bytes)
            and is_root(self.root)
        ):
            raise ValueError("a column has the wrong type")
        if self.checksum is not None and self.checksum != self.content_checksum():
            raise ValueError("its checksum does not match the recorded one")


def _checksum(
    document_id: str,
    text: str,
    encoded_text: str | None,
    metadata: str,
    root: int | None,
    image: str | None,
    thumbnail: bytes | None,
) -> int:
    """Return the CRC-32 of the root, of which parts are present, of their lengths and of the parts."""
    encoded, picture = (encoded_text or "").encode(), (image or "").encode()
    parts = (document_id.encode(), text.encode(), encoded, metadata.encode(), picture, thumbnail or b"")
    present = (encoded_text is not None, image is not None, thumbnail is not None)
    return zlib.crc32(b"".join((f"{root} {present} {[*map(len, parts)]}".encode(), *parts)))


def field_rows(metadata: Mapping[str, Any], *, shortened: bool = True) -> Iterator[FieldRow]:
    """Yield the values in the metadata as filters find them: (path, kind, value, is_element) for the table ``fields``.

    Args:
        metadata: The metadata of a document.
        shortened: Whether the catalog has digests instead of long paths and values, as all but older formats have.
    """
    as_path, as_value = (sql_path, sql_value) if shortened else (str, whole_value)
    for path, value in field_values(metadata):
        yield as_path(path), KINDS[value.kind], as_value(value), value.is_element


def is_root(value: object) -> bool:
    """Return whether this is None or may be the number of a root."""
    return value is None or (type(value) is int and 0 <= value < 2**63)
