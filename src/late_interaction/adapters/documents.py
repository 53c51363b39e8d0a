"""Between `Document` and the documents of frameworks that have a text, an id and metadata, and no other fields.

What else a document has goes into the metadata, under keys that begin with an underscore: the page image as a
reference, and the encoded text with a hash of the text it belongs to.
"""

from __future__ import annotations

import hashlib
import reprlib
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from itertools import repeat
from typing import TYPE_CHECKING, Any

from late_interaction.documents import Document
from late_interaction.errors import InvalidDocumentError, InvalidRequestError
from late_interaction.images.reference import PAGE_IMAGE, from_metadata, to_metadata
from late_interaction.validation import is_id, is_invisible, valid_unicode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from late_interaction.images import PageImage

__all__ = ["as_candidate", "as_document", "as_documents", "at_position", "column", "metadata_of"]

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
        keep_metadata: Store the document with its metadata. Without it, the document is only encoded: the metadata may
            be anything, and so may the id and an image that the metadata refers to; surrogates in the text are
            replaced.

    Raises:
        InvalidDocumentError: The document cannot be stored, or is a page without text where only text is read.
    """
    if not isinstance(text, str) or not isinstance(metadata, Mapping):
        return Document(text, id=id, metadata=metadata)
    if not keep_metadata:
        return as_candidate(
            text, _encoded_text(text, metadata), id=id, image=lambda: from_metadata(metadata) if as_image else None
        )
    image = from_metadata(metadata) if as_image else None
    encoded_text = _encoded_text(text, metadata)
    if not as_image and PAGE_IMAGE in metadata and is_invisible(text):
        raise InvalidDocumentError(f"{id!r} is a page without text, and the encoder reads text alone.")
    own = {key: value for key, value in metadata.items() if key not in (PAGE_IMAGE, _ENCODED_TEXT)}
    return Document(text, id=id, image=image, encoded_text=encoded_text, metadata=own)


def as_candidate(
    text: str,
    encoded_text: object,
    *,
    id: str | None,  # noqa: A002
    image: Callable[[], PageImage | None],
) -> Document:
    """Return a document that is ranked and not stored, whatever in it could not be stored.

    Args:
        text: The text. Surrogates are replaced.
        encoded_text: The text for the encoder, if it differs.
        id: The id, which is left out if the index could not have it.
        image: Called for the image of a page. If it cannot be read, the text is ranked.
    """
    try:
        page = image()
    except InvalidDocumentError:
        page = None
    encoded = valid_unicode(encoded_text) if isinstance(encoded_text, str) else None
    return Document(valid_unicode(text), id=id if is_id(id) else None, image=page, encoded_text=encoded)


def as_documents(
    texts: Iterable[str],
    metadatas: Iterable[Mapping[str, Any]] | None,
    ids: Iterable[str | None] | None,
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
    found = []
    for position, (text, metadata, given) in enumerate(rows):
        with at_position(position, given):
            found.append(as_document(text, metadata, id=given, as_image=as_image))
    return found


@contextmanager
def at_position(position: int, id: str | None) -> Iterator[None]:  # noqa: A002
    """Name a document that cannot be stored by its position in the call, if it has no id, which names it better."""
    try:
        yield
    except InvalidDocumentError as error:
        if is_id(id):
            raise
        raise InvalidDocumentError(f"documents[{position}]: {error}") from None


def column(name: str, values: Iterable[Any] | None, length: int) -> Iterable[Any]:
    """Return one value for each of ``length`` documents; None for each without values.

    Raises:
        InvalidRequestError: There are more or fewer, or they are one value.
    """
    if values is None:
        return repeat(None, length)
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InvalidRequestError(f"{name} must be a list, one entry for each document, got {reprlib.repr(values)}.")
    listed = list(values)
    if len(listed) != length:
        raise InvalidRequestError(f"{name} has {len(listed)} entries for {length} documents.")
    return listed


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
