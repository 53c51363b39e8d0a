"""Page images for frameworks: given as files or base64, and given back as JPEG in base64."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from late_interaction.adapters.documents import at_position, column
from late_interaction.documents import Document
from late_interaction.errors import (
    ImageUnavailableError,
    InvalidDocumentError,
    InvalidRequestError,
    UnknownIdError,
    UnsupportedError,
)
from late_interaction.images import PageImage
from late_interaction.images.page_image import file_digest
from late_interaction.images.pictures import from_base64, to_jpeg
from late_interaction.images.reference import from_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from PIL.Image import Image

    from late_interaction.index import Index

__all__ = [
    "IMAGE_ERROR",
    "as_image_query",
    "held_document",
    "image_documents",
    "jpeg",
    "jpeg_of",
    "page_image",
    "problem_with",
]

IMAGE_ERROR = "image_error"
"""The metadata key for the reason why a page came without its image."""


def page_image(
    name: str, metadata: Mapping[str, Any], *, data: str | None = None, path: str | None = None
) -> PageImage | None:
    """Return the page image of a framework's document; None if it has none. Nothing is fetched.

    Args:
        name: How to name the document in errors.
        metadata: Its metadata, which may refer to a page image; that comes first.
        data: The image in base64, plain or as a data URI.
        path: The image file.

    Raises:
        InvalidDocumentError: The image cannot be read, or the reference is malformed.
    """
    referred = from_metadata(metadata)
    try:
        if referred is not None:
            # Of an image that came without a file the reference has no pixels, but the document may.
            return referred.with_pixels(from_base64(data)) if data and referred.path is None else referred
        if data:
            return PageImage.from_pixels(from_base64(data))
        return PageImage.from_file(path) if path else None
    except ImageUnavailableError as error:
        raise InvalidDocumentError(f"The image of {name} cannot be read: {error}") from None


def as_image_query(image: PageImage | Image | str | os.PathLike[str]) -> Image:
    """Return the pixels of an image that is searched for: the path of an image file, or a PIL image.

    Raises:
        InvalidDocumentError: It is neither, or a URL, which is never fetched, or the file cannot be read.
    """
    return Document(image=image).load_image()


def image_documents(
    index: Index,
    images: Iterable[PageImage | Image | str | os.PathLike[str]],
    metadatas: Iterable[Mapping[str, Any]] | None,
    ids: Iterable[str | None] | None,
) -> list[Document]:
    """Return the documents that columns of image files, or PIL images, metadata and ids stand for.

    Raises:
        InvalidRequestError: The columns differ in length, ``images`` is one path, or the index has no page encoder.
        InvalidDocumentError: One is not an image, or a URL, which is never fetched, or the file cannot be read.
    """
    if isinstance(images, (str, os.PathLike)):
        raise InvalidRequestError("A list of images is needed: pass `[path]`.")
    if "image" not in index.modalities:
        raise UnsupportedError("This index has no encoder that reads images, so none can be added.")
    given = list(images)
    rows = zip(given, column("metadatas", metadatas, len(given)), column("ids", ids, len(given)), strict=False)
    documents = []
    for position, (image, metadata, name) in enumerate(rows):
        with at_position(position, name):
            documents.append(Document(image=image, metadata=metadata, id=name))
    return documents


def problem_with(image: PageImage) -> str | None:
    """Return why a stored page image is unavailable, without rendering it; None if its file is there and unchanged."""
    if image.path is None or image.has_thumbnail:
        return None
    try:
        if file_digest(image.path) == image.digest:
            return None
        raise ImageUnavailableError(image.path, "the file has changed since it was indexed; index it again")
    except ImageUnavailableError as error:
        return str(error)


def jpeg(image: PageImage) -> str:
    """Return a page image as JPEG in base64, of at most 2,048 pixels a side.

    Raises:
        ImageUnavailableError: Its file is gone or has changed, and the index keeps no thumbnail.
    """
    return to_jpeg(image.load())


def jpeg_of(document: Document) -> str:
    """Return the page image of a document as `jpeg` does.

    Raises:
        ImageUnavailableError: It has none, or as for `jpeg`.
    """
    return to_jpeg(document.load_image())


def held_document(index: Index, document_id: str | None) -> Document:
    """Return the stored document of an id.

    Raises:
        UnknownIdError: The index does not hold it.
    """
    held = index.get([document_id]) if document_id else []
    if not held:
        raise UnknownIdError(f"The index does not contain {document_id!r}.")
    return held[0]
