"""The tables of an index in LanceDB, and how they are recognized.

documents   one row for each document: everything but token vectors and thumbnails
blobs       token vectors and thumbnails, which are only ever added and deleted, so that an upsert of any size is one
            small commit of ``documents`` after the large rows were added
settings    JSON values and bytes by name
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from late_interaction.errors import CorruptIndexError, InvalidRequestError

if TYPE_CHECKING:
    from late_interaction.engines.lancedb.addresses import Address

__all__ = [
    "BLOBS",
    "DOCUMENTS",
    "FORMAT_VERSION",
    "SETTINGS",
    "Format",
    "blobs_schema",
    "documents_schema",
    "settings_schema",
    "table_names",
]

FORMAT_VERSION = 1
DOCUMENTS, BLOBS, SETTINGS = "documents", "blobs", "settings"
_MARK = b"late_interaction"
_PRIMARY_KEY = {"lance-schema:unenforced-primary-key": "true"}  # so that concurrent merges do not insert an id twice


@dataclass(frozen=True)
class Format:
    """What is fixed when the tables are created. Each table has it in the metadata of its schema.

    Attributes:
        dim: Dimension of the token vectors.
        language: Language of stems, for lexical search; None for no stems.
        format_version: Version of the layout.
    """

    dim: int
    language: str | None
    format_version: int = FORMAT_VERSION

    def mark(self, kind: str) -> dict[bytes, bytes]:
        """Return the metadata of the schema of a table of this kind."""
        return {_MARK: json.dumps({"kind": kind, **asdict(self)}).encode()}

    @classmethod
    def of(cls, schema: pa.Schema, kind: str, address: Address) -> Format:
        """Return the format of an existing table of this kind.

        Raises:
            InvalidRequestError: It is not a table of this package.
            CorruptIndexError: It was written by a newer release, or the metadata is damaged.
        """
        mark = (schema.metadata or {}).get(_MARK)
        if mark is None:
            raise InvalidRequestError(
                f"The LanceDB table {address} exists and was not created by late-interaction, so it is left as it is. "
                "Pass another table= or another directory."
            )
        try:
            values = json.loads(mark)
            version, found = int(values["format_version"]), values["kind"]
            if version > FORMAT_VERSION:
                raise CorruptIndexError(
                    f"The index {address} has format version {version}, this release reads up to {FORMAT_VERSION}. "
                    "Install a newer release of late-interaction."
                )
            format_ = cls(int(values["dim"]), values["language"], version)
            expected = _SCHEMAS[kind](format_)
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptIndexError(
                f"The schema of the LanceDB table {address} is damaged: {error!r:.200}. Restore it from a copy."
            ) from None
        if found != kind or not all(
            field.name in schema.names and schema.field(field.name).type == field.type for field in expected
        ):
            raise CorruptIndexError(
                f"The LanceDB table of the {kind} of {address} has other columns than this release writes. Restore it "
                "from a copy."
            )
        return format_


def table_names(table: str) -> dict[str, str]:
    """Return the names of the tables of an index, by kind."""
    return {DOCUMENTS: table, BLOBS: f"{table}_blobs", SETTINGS: f"{table}_settings"}


def documents_schema(format_: Format) -> pa.Schema:
    """Return the schema of the table of documents."""
    fields: list[Any] = [
        pa.field("id", pa.string(), nullable=False, metadata=_PRIMARY_KEY),
        pa.field("key", pa.int64(), nullable=False),  # of the token vectors among the blobs
        pa.field("picture", pa.int64()),  # of the thumbnail among the blobs; often the same
        pa.field("order", pa.int64(), nullable=False),
        pa.field("version", pa.int64(), nullable=False),  # another one after each change
        pa.field("previous", pa.int64(), nullable=False),  # the version that was changed; 0 with new vectors
        pa.field("text", pa.string(), nullable=False),
        ("encoded_text", pa.string()),
        pa.field("metadata", pa.string(), nullable=False),  # JSON
        pa.field("keys", pa.list_(pa.string()), nullable=False),  # what filters find
        ("image", pa.string()),  # JSON
        pa.field("content", pa.string(), nullable=False),  # digest of the encoded content
        ("root", pa.int64()),
        pa.field("truncated", pa.bool_(), nullable=False),
        pa.field("checksum", pa.int64(), nullable=False),
        pa.field("tokens", pa.int32(), nullable=False),  # their number
        ("mean", pa.list_(pa.float32(), format_.dim)),  # zeros without tokens; never null, which LanceDB refuses
        ("centroids", pa.list_(pa.uint16())),  # null until there is a codebook
        pa.field("codebook", pa.int32(), nullable=False),  # centroids of the codebook that they were found among
        pa.field("words", pa.string(), nullable=False),
    ]
    return pa.schema(fields, metadata=format_.mark(DOCUMENTS))


def blobs_schema(format_: Format) -> pa.Schema:
    """Return the schema of the table of token vectors and thumbnails."""
    fields: list[Any] = [
        pa.field("key", pa.int64(), nullable=False),
        pa.field("written", pa.int64(), nullable=False),  # microseconds since 1970
        ("tokens", pa.list_(pa.list_(pa.float16(), format_.dim))),
        ("thumbnail", pa.binary()),
        pa.field("checksum", pa.int64(), nullable=False),
    ]
    return pa.schema(fields, metadata=format_.mark(BLOBS))


def settings_schema(format_: Format) -> pa.Schema:
    """Return the schema of the table of settings."""
    fields: list[Any] = [
        pa.field("name", pa.string(), nullable=False, metadata=_PRIMARY_KEY),
        ("value", pa.string()),  # JSON
        ("data", pa.large_binary()),
    ]
    return pa.schema(fields, metadata=format_.mark(SETTINGS))


_SCHEMAS = {DOCUMENTS: documents_schema, BLOBS: blobs_schema, SETTINGS: settings_schema}
