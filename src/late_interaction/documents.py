"""What goes in and what comes out: `Document` and `Hit`."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from late_interaction.errors import ImageUnavailableError, InvalidDocumentError
from late_interaction.images import PageImage
from late_interaction.validation import MAX_METADATA_DEPTH, check_id, check_string, plain_json

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Document", "DocumentFields", "FieldName", "Hit"]

FieldName: TypeAlias = Literal["text", "encoded_text", "metadata", "image"]


@dataclass(frozen=True, init=False)
class Document:
    """A passage of text, or a page as an image, with its id and metadata.

    Args:
        text: The passage, as users see it. Of a page the text on it, if there is any, for lexical search.
        image: The page: a `PageImage`, the path of an image file (of a TIFF with several its first page), or an image
            of Pillow. Where there is one, it is what the encoder sees.
        id: Your own id. Without one, a hash of the content (text, image, encoded text and metadata), so that adding
            the same document again replaces it.
        metadata: JSON values under string keys. Filters reach nested values by dotted paths; keys that begin with
            ``_`` are stored but not filterable.
        encoded_text: What the encoder and lexical search see, where that is not the text itself (for example the
            passage under its title). None for the text.

    Raises:
        InvalidDocumentError: A field has the wrong type, or a string or the metadata cannot be stored; neither text
            nor image; an image that cannot be read.

    Example:
        >>> Document("Paris is the capital of France.", id="paris", metadata={"lang": "en"}).id
        'paris'
    """

    text: str
    id: str
    metadata: Mapping[str, Any]
    encoded_text: str | None
    image: PageImage | None

    def __init__(
        self,
        text: str | None = None,
        *,
        image: PageImage | Image | str | os.PathLike[str] | None = None,
        id: str | None = None,  # noqa: A002  # the name users know
        metadata: Mapping[str, Any] | None = None,
        encoded_text: str | None = None,
    ) -> None:
        page = None if image is None else _as_page_image(image)
        if text is None:
            if page is None:
                raise InvalidDocumentError("A document needs a text, an image, or both.")
            text = ""
        check_string(text, "text")
        if encoded_text is not None:
            check_string(encoded_text, "encoded_text")
        metadata = {} if metadata is None else metadata
        if not isinstance(metadata, Mapping):
            raise InvalidDocumentError(f"metadata must be a dict, not {type(metadata).__name__}.")
        metadata = plain_json(dict(metadata), "metadata", max_depth=MAX_METADATA_DEPTH)
        if id is None:
            id = _content_hash(text, encoded_text, metadata, page)  # noqa: A001
        else:
            check_id(id)
        self._set(text, id, metadata, encoded_text, page)

    @classmethod
    def restored(
        cls,
        text: str,
        *,
        id: str,  # noqa: A002
        metadata: object,
        encoded_text: str | None,
        image: PageImage | None,
    ) -> Document:
        """Return a document that an index holds. Its texts are valid Unicode and its metadata is valid JSON.

        Earlier releases stored metadata nested deeper than new documents may have it.

        Raises:
            InvalidDocumentError: It has no id, or its metadata is not a dict.
        """
        if not isinstance(metadata, dict):
            raise InvalidDocumentError(f"metadata must be a dict, not {type(metadata).__name__}.")
        check_id(id)
        document = cls.__new__(cls)
        document._set(text, id, metadata, encoded_text, image)
        return document

    def _set(
        self,
        text: str,
        id: str,  # noqa: A002
        metadata: Mapping[str, Any],
        encoded_text: str | None,
        image: PageImage | None,
    ) -> None:
        fields = {"text": text, "id": id, "metadata": metadata, "encoded_text": encoded_text, "image": image}
        for name, value in fields.items():
            object.__setattr__(self, name, value)  # the dataclass is frozen

    def __hash__(self) -> int:
        # Without the metadata, which is a dict. Equal documents have equal ids and texts.
        return hash((self.id, self.text))

    @property
    def text_to_encode(self) -> str:
        """The text that stands for this document in retrieval."""
        return self.text if self.encoded_text is None else self.encoded_text

    @property
    def has_content_id(self) -> bool:
        """Whether the id is the hash of the content, so that equal ids mean equal documents."""
        return self.id == _content_hash(self.text, self.encoded_text, self.metadata, self.image)

    def load_image(self) -> Image:
        """The image of the page, RGB and upright; a page of a PDF at 144 dpi.

        Raises:
            ImageUnavailableError: There is none, its file is gone or has changed, or it cannot be read.
        """
        if self.image is None:
            raise ImageUnavailableError(f"The document {self.id!r}", "it is a text and has no image")
        return self.image.load()


@dataclass(frozen=True)
class DocumentFields:
    """Some fields of a stored document, as `Index.scan` reads them with ``fields=``. It is not a document.

    Attributes:
        id: The document's id.
        text: Its text; None if it was not read.
        encoded_text: Its encoded text; None also if it was not read.
        metadata: Its metadata; None if it was not read.
        image: Its page image; None also if it was not read.
    """

    id: str
    text: str | None = None
    encoded_text: str | None = None
    metadata: Mapping[str, Any] | None = None
    image: PageImage | None = None


@dataclass(frozen=True)
class Hit:
    """A document that was found, with how well it matches.

    Attributes:
        document: The stored document.
        score: What the hits are ranked by: MaxSim (mode ``late`` and rerank; the sum over the query's token vectors of
            the best dot product with the document's), BM25 (``lexical``) or the reciprocal-rank sum (``hybrid``).
        relevance: The score in [0, 1], comparable between queries of one mode: MaxSim divided by the number of query
            token vectors, BM25 as ``b / (1 + b)``, the reciprocal-rank sum divided by the greatest possible.
    """

    document: Document
    score: float
    relevance: float

    @property
    def id(self) -> str:
        """The document's id."""
        return self.document.id

    @property
    def text(self) -> str:
        """The document's text."""
        return self.document.text

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The document's metadata."""
        return self.document.metadata


def _as_page_image(image: object) -> PageImage:
    """The page image; a file is looked at, and nothing is ever fetched.

    Raises:
        InvalidDocumentError: It is no image, or a file that cannot be read.
    """
    if isinstance(image, PageImage):
        try:
            PageImage.from_json(image.to_json())  # or what was made by hand could be stored and not read again
        except ValueError as error:
            raise InvalidDocumentError(f"image cannot be stored: {error}.") from None
        return image
    if isinstance(image, (str, os.PathLike)):
        name = os.fspath(image)
        if "://" in name or name.startswith("data:"):
            raise InvalidDocumentError(f"image is an address ({name:.60}), and nothing is fetched. Download it first.")
        if name.lower().endswith(".pdf"):
            raise InvalidDocumentError(
                f"image is a PDF ({name}), which has pages: take one with PageImage.from_file(path, page=1), or all "
                'with late_interaction.readers.read_paths([path], modalities=["image"]).'
            )
    pillow = sys.modules.get("PIL.Image")  # whoever has an image of Pillow has imported it
    try:
        if isinstance(image, (str, os.PathLike)):
            return PageImage.from_file(image)
        if pillow is not None and isinstance(image, pillow.Image):
            return PageImage.from_pixels(image)
    except ImageUnavailableError as error:
        raise InvalidDocumentError(f"image cannot be read: {error}") from None
    raise InvalidDocumentError(
        f"image must be a PageImage, the path of an image file or an image of Pillow, not {type(image).__name__}."
    )


def _content_hash(text: str, encoded_text: str | None, metadata: Mapping[str, Any], image: PageImage | None) -> str:
    content: list[Any] = [text, encoded_text, metadata]
    if image is not None:
        content += [image.digest, image.page]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
