"""A document as a row of the catalog, and back."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

from late_interaction.documents import Document
from late_interaction.engines.local.stored_json import parse_json
from late_interaction.engines.local.where import KINDS, sql_path, sql_value, whole_value
from late_interaction.errors import CorruptIndexError
from late_interaction.filters import field_values
from late_interaction.images import PageImage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["DocumentRow", "field_rows", "is_root"]


class DocumentRow(NamedTuple):
    """What the catalog keeps of a document, in the order of its columns; the page image is in a table of its own.

    Attributes:
        checksum: What `content_checksum` gave when it was stored; None in catalogs of formats without checksums.
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
        """Return the row of a document that was read from this root."""
        page = document.image
        return cls(
            document.id,
            document.text,
            document.encoded_text,
            json.dumps(document.metadata, ensure_ascii=False),
            root,
            None,
            None if page is None else json.dumps(page.to_json(), ensure_ascii=False),
            None if page is None else page.thumbnail,
        ).with_checksum()

    def with_checksum(self) -> DocumentRow:
        """Return the row with the checksum of what is in it."""
        return self._replace(checksum=self.content_checksum())

    def content_checksum(self) -> int:
        """Return the CRC-32 of everything but the checksum itself, each part preceded by its length."""
        encoded_text = b"" if self.encoded_text is None else self.encoded_text.encode()
        image = b"" if self.image is None else self.image.encode()
        parts = (
            self.id.encode(),
            self.text.encode(),
            encoded_text,
            self.metadata.encode(),
            image,
            self.thumbnail or b"",
        )
        present = (self.encoded_text is not None, self.image is not None, self.thumbnail is not None)
        return zlib.crc32(b"".join((f"{self.root} {present} {[*map(len, parts)]}".encode(), *parts)))

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
            ValueError: The row is not what was stored.
        """
        if not (
            type(self.id) is type(self.text) is type(self.metadata) is str
            and (self.encoded_text is None or type(self.encoded_text) is str)
            and (self.image is None or type(self.image) is str)
            and (self.thumbnail is None or type(self.thumbnail) is bytes)
            and is_root(self.root)
        ):
            raise ValueError("a column has another type than it was stored with")
        if self.checksum is not None and self.checksum != self.content_checksum():
            raise ValueError("its checksum is not the one recorded with it")


def field_rows(metadata: Mapping[str, Any], *, shortened: bool = True) -> Iterator[tuple[str | bytes, int, Any, bool]]:
    """Yield what filters see of the metadata: (path, kind, value, is_element) for the table ``fields``.

    Args:
        metadata: Of a document.
        shortened: Whether the catalog has digests of long paths and values: all but those of older formats have.
    """
    as_path, as_value = (sql_path, sql_value) if shortened else (str, whole_value)
    for path, value in field_values(metadata):
        yield as_path(path), KINDS[value.kind], as_value(value), value.is_element


def is_root(value: object) -> bool:
    """Whether this can be the number of a root, or None."""
    return value is None or (type(value) is int and 0 <= value < 2**63)
