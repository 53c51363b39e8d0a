"""Documents and token vectors as rows of the tables, and back."""

from __future__ import annotations

import base64
import json
import secrets
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from late_interaction.engines.first_stage import mean_vector
from late_interaction.engines.lancedb.words import searchable
from late_interaction.engines.remote.filter_keys import document_keys
from late_interaction.engines.remote.payload import (
    ENCODED_TEXT,
    ID,
    IMAGE,
    METADATA_JSON,
    TEXT,
    THUMBNAIL,
    content_digest,
    document_of,
    fields_of,
)
from late_interaction.engines.remote.words import document_terms
from late_interaction.errors import CorruptIndexError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from late_interaction.documents import Document, DocumentFields, FieldName

__all__ = [
    "COLUMNS",
    "DOCUMENT_COLUMNS",
    "FRESH",
    "blob_checksum",
    "changed_metadata",
    "document_checksum",
    "document_columns",
    "document_fields",
    "new_keys",
    "new_version",
    "parsed_document",
    "tokens_array",
    "vector_columns",
]

COLUMNS: dict[FieldName, tuple[str, ...]] = {
    "text": ("text",),
    "encoded_text": ("encoded_text",),
    "metadata": ("metadata",),
    "image": ("image", "picture"),
}
"""The columns of each field of a document."""

DOCUMENT_COLUMNS = ("id", "text", "encoded_text", "metadata", "image", "picture", "checksum")

FRESH = 0
"""What `previous` is in a row that replaces any other of its id: one with new vectors."""


def new_version() -> int:
    """Return a version that no other write gives."""
    return 1 + secrets.randbelow(2**62)


def new_keys() -> int:
    """Return the first of as many consecutive keys as are needed, which no other write uses."""
    return secrets.randbelow(2**62)


def document_columns(document: Document, language: str | None) -> dict[str, Any]:
    """Return what a document is in the table, but for its vectors and what depends on the write."""
    page = document.image
    row = {
        "id": document.id,
        "text": document.text,
        "encoded_text": document.encoded_text,
        "metadata": json.dumps(document.metadata, ensure_ascii=False),
        "image": None if page is None else json.dumps(page.to_json(), ensure_ascii=False),
    }
    terms = document_terms(document.text_to_encode, language)
    return row | {
        "keys": document_keys(document.metadata),
        "content": content_digest(document),
        "checksum": document_checksum(row),
        "words": searchable(terms),
    }


def changed_metadata(row: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a document after these keys of its metadata are set.

    Raises:
        CorruptIndexError: The row is damaged.
    """
    document = parsed_document(row, None).with_metadata(metadata)
    new = {**row, "metadata": json.dumps(document.metadata, ensure_ascii=False)}
    return new | {
        "keys": document_keys(document.metadata),
        "checksum": document_checksum(new),
        "previous": row["version"],
        "version": new_version(),
    }


def document_checksum(row: Mapping[str, Any]) -> int:
    """Return the CRC-32 of the fields of a document."""
    return zlib.crc32(json.dumps([row[name] for name in ("id", "text", "encoded_text", "metadata", "image")]).encode())


def blob_checksum(vectors: NDArray[np.float16], thumbnail: bytes | None) -> int:
    """Return the CRC-32 of token vectors and a thumbnail."""
    return zlib.crc32(thumbnail or b"", zlib.crc32(np.ascontiguousarray(vectors, "<f2").tobytes()))


def vector_columns(vectors: NDArray[np.float32], centroids: NDArray[np.uint32] | None, codebook: int) -> dict[str, Any]:
    """Return the columns of a document that follow from its token vectors.

    Args:
        vectors: (tokens, dim).
        centroids: The numbers of their centroids; None if there is no codebook.
        codebook: The number of centroids in the codebook.
    """
    return {
        "tokens": len(vectors),
        "mean": mean_vector(vectors),
        "centroids": centroids,
        "codebook": codebook,
    }


def tokens_array(arrays: Iterable[NDArray[np.float16]], dim: int) -> pa.Array:
    """Return token vectors of documents as a column."""
    arrays = list(arrays)
    offsets = np.cumsum([0, *map(len, arrays)], dtype=np.int32)
    values = np.concatenate([np.empty((0, dim), np.float16), *arrays]).reshape(-1)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(values, pa.float16()), dim)
    return pa.ListArray.from_arrays(pa.array(offsets), vectors)


def parsed_document(row: Mapping[str, Any], thumbnail: bytes | None) -> Document:
    """Return the document of a row that has `DOCUMENT_COLUMNS`.

    Raises:
        CorruptIndexError: The row is damaged.
    """
    if row.get("checksum") != document_checksum(row):
        raise CorruptIndexError(
            f"The stored document {row.get('id')!r:.200} is damaged: its checksum does not match the recorded one. Add "
            "it again, or restore the index from a copy."
        )
    return document_of(_payload(row, thumbnail))


def document_fields(row: Mapping[str, Any], fields: Iterable[FieldName], thumbnail: bytes | None) -> DocumentFields:
    """Return some fields of the document of a row that has their `COLUMNS`.

    Raises:
        CorruptIndexError: A field is damaged.
    """
    return fields_of(_payload(row, thumbnail), fields)


def _payload(row: Mapping[str, Any], thumbnail: bytes | None) -> dict[str, Any]:
    image = row.get("image")
    try:
        parsed = None if image is None else json.loads(image)
    except (ValueError, RecursionError) as error:
        raise CorruptIndexError(
            f"The image of the stored document {row.get('id')!r:.200} is damaged: {error}."
        ) from None
    return {
        ID: row.get("id"),
        TEXT: row.get("text"),
        ENCODED_TEXT: row.get("encoded_text"),
        METADATA_JSON: row.get("metadata"),
        IMAGE: parsed,
        THUMBNAIL: None if thumbnail is None else base64.b64encode(thumbnail).decode(),
    }
