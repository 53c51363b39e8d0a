"""Documents as JSON objects, which engines over a server store beside the vectors, and back.

Other programs can read the objects: ``id``, ``text`` and ``metadata`` are what they seem. The other fields are
there if a document has them. What comes from a server is checked, because other programs can write there.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any, NoReturn

from late_interaction.documents import Document, DocumentFields
from late_interaction.errors import CorruptIndexError
from late_interaction.images import PageImage
from late_interaction.validation import MAX_METADATA_DEPTH, check_id, check_string, plain_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from late_interaction.documents import FieldName
    from late_interaction.engines.records import Record

__all__ = [
    "CONTENT",
    "ENCODED_TEXT",
    "ID",
    "IMAGE",
    "METADATA",
    "METADATA_JSON",
    "ORDER",
    "ROOT",
    "TEXT",
    "THUMBNAIL",
    "TRUNCATED",
    "VERSION",
    "content_digest",
    "document_of",
    "field_keys",
    "fields_of",
    "id_of",
    "metadata_payload",
    "payload_of",
    "root_of",
    "truncated_of",
]

ID, TEXT, ENCODED_TEXT, METADATA, IMAGE = "id", "text", "encoded_text", "metadata", "image"
METADATA_JSON = "metadata_json"
"""The metadata as JSON text, which is what documents are made of. `METADATA` is for other programs.

A server changes a JSON object: the order of keys, and Qdrant the last bit of a quarter of the floats with 17 digits.
"""
THUMBNAIL = "thumbnail"
"""The thumbnail of the page as base64. Read it only if it is wanted: it may be 100 kB."""
ROOT, TRUNCATED, ORDER, VERSION = "root", "truncated", "order", "version"
CONTENT = "content"
"""A digest of `Document.encoded_content`."""

_FIELD_KEYS: dict[FieldName, tuple[str, ...]] = {
    "text": (TEXT,),
    "encoded_text": (ENCODED_TEXT,),
    "metadata": (METADATA_JSON,),
    "image": (IMAGE, THUMBNAIL),
}
_DOCUMENT_KEYS = (ID, TEXT, ENCODED_TEXT, METADATA_JSON, IMAGE, THUMBNAIL, ROOT, TRUNCATED)
_DIGEST_BYTES = 16
_ADVICE = "Add it again, or restore it from a copy."


def payload_of(record: Record, *, order: int, version: str) -> dict[str, Any]:
    """Return a record without its vectors as a dict of JSON values.

    Args:
        record: The record.
        order: Increases from one document to the next, below 2**53.
        version: Differs for each time that a document is written.
    """
    document = record.document
    payload = {
        ID: document.id,
        TEXT: document.text,
        ENCODED_TEXT: document.encoded_text,
        **metadata_payload(document.metadata),
        IMAGE: None if document.image is None else document.image.to_json(),
        THUMBNAIL: None if document.image is None else _base64(document.image.thumbnail),
        ROOT: record.root,
        TRUNCATED: record.truncated or None,
        ORDER: order,
        VERSION: version,
        CONTENT: content_digest(document),
    }
    return {name: value for name, value in payload.items() if value is not None}


def metadata_payload(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a payload that hold the metadata; `METADATA` is None if it is nested too deep."""
    return {
        METADATA: dict(metadata) if _is_shallow(metadata) else None,
        METADATA_JSON: json.dumps(metadata, ensure_ascii=False),
    }


def _base64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def content_digest(document: Document) -> str:
    """Return a digest that is equal for documents of equal `Document.encoded_content`."""
    content = json.dumps(document.encoded_content).encode()
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()


def field_keys(fields: Iterable[FieldName] | None = None) -> list[str]:
    """Return the keys of a payload that `fields_of` needs for these fields; None for what `document_of` needs."""
    if fields is None:
        return list(_DOCUMENT_KEYS)
    return [ID, *(key for name in dict.fromkeys(fields) if name in _FIELD_KEYS for key in _FIELD_KEYS[name])]


def document_of(payload: Mapping[str, Any] | None) -> Document:
    """Return the document of a payload.

    Raises:
        CorruptIndexError: The payload is not one that `payload_of` returned.
    """
    payload = payload or {}
    document_id = id_of(payload)
    try:
        return Document.restored(
            _text_of(payload, TEXT),
            id=document_id,
            metadata=_metadata_of(payload),
            encoded_text=_optional_text(payload, ENCODED_TEXT),
            image=_image_of(payload),
        )
    except (ValueError, RecursionError) as error:
        raise _damaged(document_id, error) from None


def fields_of(payload: Mapping[str, Any] | None, fields: Iterable[FieldName]) -> DocumentFields:
    """Return some fields of the document of a payload, which needs no keys but `field_keys` of these.

    Raises:
        CorruptIndexError: The payload is not one that `payload_of` returned.
    """
    payload = payload or {}
    document_id = id_of(payload)
    try:
        return DocumentFields(document_id, **{name: _READERS[name](payload) for name in fields if name in _READERS})
    except (ValueError, RecursionError) as error:
        raise _damaged(document_id, error) from None


def id_of(payload: Mapping[str, Any] | None) -> str:
    """Return the id of the document of a payload.

    Raises:
        CorruptIndexError: There is no valid id.
    """
    document_id = (payload or {}).get(ID)
    try:
        check_id(document_id)
    except ValueError as error:
        raise CorruptIndexError(f"A stored document has no valid id: {error} {_ADVICE}") from None
    return str(document_id)


def root_of(payload: Mapping[str, Any]) -> int | None:
    """Return the root of the document of a payload.

    Raises:
        CorruptIndexError: It is not the number of a root.
    """
    root = payload.get(ROOT)
    if root is not None and (type(root) is not int or not 0 <= root < 2**63):
        raise _damaged(id_of(payload), ValueError(f"its root is {root!r:.80}"))
    return root


def truncated_of(payload: Mapping[str, Any]) -> bool:
    """Return whether the vectors stand for the beginning of the text only."""
    return payload.get(TRUNCATED) is True


def _damaged(document_id: str, error: Exception) -> CorruptIndexError:
    reason = str(error) or type(error).__name__
    return CorruptIndexError(f"The stored document {document_id!r:.200} is damaged: {reason:.500} {_ADVICE}")


def _text_of(payload: Mapping[str, Any], name: str) -> str:
    value = payload.get(name)
    check_string(value, name)
    return str(value)


def _optional_text(payload: Mapping[str, Any], name: str) -> str | None:
    return None if payload.get(name) is None else _text_of(payload, name)


def _metadata_of(payload: Mapping[str, Any]) -> dict[str, Any]:
    metadata = _DECODER.decode(_text_of(payload, METADATA_JSON))
    if not isinstance(metadata, dict):
        raise ValueError(f"its metadata is a {type(metadata).__name__}, not a dict.")  # noqa: TRY004  # stored, not given
    restored: dict[str, Any] = plain_json(metadata, "metadata")
    return restored


def _image_of(payload: Mapping[str, Any]) -> PageImage | None:
    if payload.get(IMAGE) is None:
        return None
    thumbnail = _optional_text(payload, THUMBNAIL)
    return PageImage.from_json(
        payload[IMAGE], None if thumbnail is None else base64.b64decode(thumbnail, validate=True)
    )


_READERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "text": lambda payload: _text_of(payload, TEXT),
    "encoded_text": lambda payload: _optional_text(payload, ENCODED_TEXT),
    "metadata": _metadata_of,
    "image": _image_of,
}


def _is_shallow(value: object, depth: int = 0) -> bool:
    if isinstance(value, (dict, list)):
        items = value.values() if isinstance(value, dict) else value
        return depth <= MAX_METADATA_DEPTH and all(_is_shallow(item, depth + 1) for item in items)
    return True


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)
