"""Between `Document` and the documents of frameworks that have a text, an id and metadata, and no other fields.

What else a document has goes into the metadata, under keys that begin with an underscore: the page image as a
reference, and the encoded text with a hash of the text it belongs to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import repeat
from typing import TYPE_CHECKING, Any

from late_interaction.documents import Document
from late_interaction.errors import InvalidDocumentError, InvalidRequestError
from late_interaction.images.reference import PAGE_IMAGE, from_metadata, to_metadata
from late_interaction.validation import is_invisible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["as_document", "as_documents", "column", "metadata_of"]

_ENCODED_TEXT = "_encoded_text"


def as_document(
    text: str,
    metadata: Mapping[str, Any] | None,
    *,
    id: str | None,  # noqa: A002
    as_image: bool = True,
    keep_metadata: bool = True,
) -> Document:
    """Return the document that a text and metadata stand for. The inverse of `metadata_of`.

    Args:
        text: The text.
        metadata: The metadata, with what `metadata_of` puts there.
        id: The id; None for a hash of the content.
        as_image: Encode a page as its image. Else, for encoders that read text alone, encode the text on it.
        keep_metadata: Store the metadata. Reranking needs none, and it may not be JSON.

    Raises:
        InvalidDocumentError: The document cannot be stored, or is a page without text where only text is read.
    """
    if not isinstance(text, str) or not isinstance(metadata, Mapping):
        return Document(text, id=id, metadata=metadata)
    image = from_metadata(metadata) if as_image else None
    encoded_text = _encoded_text(text, metadata)
    if not keep_metadata:
        return Document(text, id=id, image=image, encoded_text=encoded_text)
    if not as_image and PAGE_IMAGE in metadata and is_invisible(text):
        raise InvalidDocumentError(f"{id!r} is a page without text, and the encoder reads text alone.")
    own = {key: value for key, value in metadata.items() if key not in (PAGE_IMAGE, _ENCODED_TEXT)}
    return Document(text, id=id, image=image, encoded_text=encoded_text, metadata=own)


def as_documents(
    texts: Iterable[str],
    metadatas: Sequence[Mapping[str, Any]] | None,
    ids: Sequence[str | None] | None,
    *,
    as_image: bool,
) -> list[Document]:
    """Return the documents that columns of texts, metadata and ids stand for. See `as_document`.

    Raises:
        InvalidRequestError: The columns differ in length, or ``texts`` is one string.
    """
    if isinstance(texts, str):
        raise InvalidRequestError("A list of texts is needed: pass `[text]`.")
    texts = list(texts)
    rows = zip(texts, column("metadatas", metadatas, len(texts)), column("ids", ids, len(texts)), strict=True)
    return [as_document(text, metadata, id=given, as_image=as_image) for text, metadata, given in rows]


def column(name: str, values: Sequence[Any] | None, length: int) -> Iterable[Any]:
    """Return one value for each of ``length`` documents; None for each without values.

    Raises:
        InvalidRequestError: There are more or fewer.
    """
    if values is None:
        return repeat(None, length)
    if len(values) != length:
        raise InvalidRequestError(f"{name} has {len(values)} entries for {length} documents.")
    return values


def metadata_of(document: Document) -> dict[str, Any]:
    """Return the metadata of a document, with everything for which a framework's document has no field."""
    metadata = dict(document.metadata)
    if document.encoded_text is not None:
        metadata[_ENCODED_TEXT] = {"of": _hash(document.text), "text": document.encoded_text}
    if document.image is not None:
        metadata |= to_metadata(document.image)
    return metadata


def _encoded_text(text: str, metadata: Mapping[str, Any]) -> str | None:
    encoded = metadata.get(_ENCODED_TEXT)
    if isinstance(encoded, dict) and encoded.get("of") == _hash(text):
        return encoded.get("text")
    return None  # there is none, or the text was changed since


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
