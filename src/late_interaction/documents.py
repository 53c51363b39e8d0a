"""`Document`, `DocumentFields` and `Hit`: what users add to an index and what they get from it."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, TypeAlias, overload

from late_interaction.errors import ImageUnavailableError, InvalidDocumentError
from late_interaction.images import PageImage
from late_interaction.images.pictures import to_jpeg
from late_interaction.notebook import beginning, hits_html
from late_interaction.validation import MAX_METADATA_DEPTH, check_id, check_string, plain_json

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Document", "DocumentFields", "FieldName", "Hit", "Hits", "check_metadata"]

_SHOWN_CHARACTERS = 80  # of a text or of metadata, in a terminal

FieldName: TypeAlias = Literal["text", "encoded_text", "metadata", "image"]


@dataclass(frozen=True, init=False)
class Document:
    """A passage of text or a page image, with its id and metadata.

    Args:
        text: The passage, as users see it. For a page, the text on it, if any, for lexical search.
        image: The page: a `PageImage`, the path of an image file (for a TIFF with several pages, the first page is
            used), or a Pillow image. If there is an image, it is encoded instead of the text.
        id: The id. By default, a hash of the content (text, image, encoded text and metadata), so that adding the same
            document again replaces it.
        metadata: A dict of JSON values. Filters refer to nested values by dotted paths. Keys that begin with ``_`` are
            stored but cannot be filtered. Other values are stored as what stands for them in JSON, and filters take
            the same values: dates and times as ISO 8601 text (with a time zone, converted to UTC, so that they sort),
            a `timedelta` as seconds, a `Decimal` as the nearest number, a `UUID` or `Path` as text, an enum as its
            value, numpy scalars and arrays as numbers and lists. Anything else is an error.
        encoded_text: The text for the encoder and for lexical search, if it differs from ``text``; for example the
            passage with its title.

    Raises:
        InvalidDocumentError: A field has the wrong type; a string or the metadata cannot be stored; there is neither
            text nor image; or the image cannot be read.

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
        id: str | None = None,  # noqa: A002  # the name that users know
        metadata: Mapping[str, Any] | None = None,
        encoded_text: str | None = None,
    ) -> None:
        if id is not None:
            check_id(id)
        try:
            page = None if image is None else _as_page_image(image)
            if text is None:
                if page is None:
                    raise InvalidDocumentError("A document needs a text, an image, or both.")
                text = ""
            check_string(text, "text")
            if encoded_text is not None:
                check_string(encoded_text, "encoded_text")
            metadata = check_metadata({} if metadata is None else metadata)
        except InvalidDocumentError as error:
            if id is None:
                raise
            raise InvalidDocumentError(f"The document {id!r:.200}: {error}") from None
        if id is None:
            id = _content_hash(text, encoded_text, metadata, page)  # noqa: A001
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
        """Return a document read from an index. Its texts must be valid Unicode, and its metadata valid JSON.

        The nesting depth of the metadata is not limited, because earlier releases allowed deeper metadata.

        Raises:
            InvalidDocumentError: The id is invalid, or the metadata is not a dict.
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
        # Leaves out the metadata, which is an unhashable dict. Equal documents have equal ids and texts.
        return hash((self.id, self.text))

    def with_metadata(self, metadata: Mapping[str, Any]) -> Document:
        """Return this document with these keys in its metadata besides its other ones. The id stays."""
        return Document.restored(
            self.text,
            id=self.id,
            metadata={**self.metadata, **check_metadata(metadata)},
            encoded_text=self.encoded_text,
            image=self.image,
        )

    def __repr__(self) -> str:
        return f"Document({_shown(self)})"

    @property
    def text_to_encode(self) -> str:
        """The text for the encoder and for lexical search."""
        return self.text if self.encoded_text is None else self.encoded_text

    @property
    def encoded_content(self) -> tuple[str | int | None, ...]:
        """What token vectors are made of, whatever the metadata: the encoded text, or the page. For comparisons."""
        return (self.text_to_encode,) if self.image is None else (self.image.digest, self.image.page)

    @property
    def has_content_id(self) -> bool:
        """Whether the id is the hash of the content. If so, documents with equal ids are equal."""
        return self.id == _content_hash(self.text, self.encoded_text, self.metadata, self.image)

    def load_image(self) -> Image:
        """Return the page image, RGB and upright. A PDF page is rendered at 144 dpi.

        Raises:
            ImageUnavailableError: The document has no image, or the image file is missing, has changed or cannot be
                read.
        """
        if self.image is None:
            raise ImageUnavailableError(f"The document {self.id!r}", "it is a text and has no image")
        return self.image.load()


@dataclass(frozen=True)
class DocumentFields:
    """Some fields of a stored document, returned by `Index.scan` with ``fields=``.

    Attributes:
        id: The document's id.
        text: Its text; None if not requested.
        encoded_text: Its encoded text; None if not requested or if there is none.
        metadata: Its metadata; None if not requested.
        image: Its page image; None if not requested or if there is none.
    """

    id: str
    text: str | None = None
    encoded_text: str | None = None
    metadata: Mapping[str, Any] | None = None
    image: PageImage | None = None


@dataclass(frozen=True)
class Hit:
    """A search result: a document with its score.

    Attributes:
        document: The stored document.
        score: The score that hits are ranked by. Mode ``late`` and `Index.rerank`: MaxSim, the sum over all query token
            vectors of the maximum dot product with a document token vector. ``lexical``: BM25. ``hybrid``: the sum of
            reciprocal ranks.
        relevance: In [0, 1], and within one query in the order of the scores. Mode ``late`` and `Index.rerank`: 0 is
            what an unrelated document gets, the median of a sample of the index; 1 is what the query itself would get
            as a document; a score between the two is mapped linearly. So it means the same for all queries and
            encoders. With 5,000 software descriptions, a threshold of 0.2 drops no best hit; 0.4 leaves a hit to 96 of
            100 queries with an answer and drops all hits of 17 to 30 of 100 without; 0.5: 84 and 57 to 73; 0.6: 67 and
            83 to 88 (`benchmarks.abstention`). ``lexical``: BM25 as a share of the highest score that any document
            could have for the query; if the engine cannot tell, ``score / (1 + score)``. ``hybrid``: the sum of
            reciprocal ranks divided by its maximum, which tells ranks alone: the best hit has a high one, related or
            not.
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

    def image_base64(self) -> str:
        """Return the page image as JPEG in base64, with sides of at most 2,048 pixels, for models and APIs.

        Raises:
            ImageUnavailableError: The document has no image, or the image file is missing, has changed or cannot be
                read.
        """
        return to_jpeg(self.document.load_image())

    def image_url(self) -> str:
        """Return the same as a data URL, for chat messages and web pages.

        Raises:
            ImageUnavailableError: As for `image_base64`.
        """
        return f"data:image/jpeg;base64,{self.image_base64()}"

    def __repr__(self) -> str:
        return f"Hit(score={self.score:.4f}, relevance={self.relevance:.4f}, {_shown(self.document)})"

    def _repr_html_(self) -> str:
        return hits_html([self])


class Hits(list[Hit]):
    """The hits of one query, best first: a list that notebooks show as a table."""

    @overload
    def __getitem__(self, key: SupportsIndex, /) -> Hit: ...

    @overload
    def __getitem__(self, key: slice, /) -> Hits: ...

    def __getitem__(self, key: SupportsIndex | slice, /) -> Hit | Hits:
        return Hits(super().__getitem__(key)) if isinstance(key, slice) else super().__getitem__(key)

    def _repr_html_(self) -> str:
        return hits_html(self)


def _shown(document: Document) -> str:
    """Return the fields of a document for a terminal, on one line and shortened."""
    fields = {"id": repr(document.id), "text": repr(beginning(document.text, _SHOWN_CHARACTERS))}
    if document.metadata:
        fields["metadata"] = beginning(repr(document.metadata), _SHOWN_CHARACTERS)
    if document.image is not None:
        fields["image"] = f"page {document.image.page} of {document.image.path!r}"
    return ", ".join(f"{name}={value}" for name, value in fields.items())


def check_metadata(metadata: object) -> dict[str, Any]:
    """Return the metadata as a dict of JSON values.

    Raises:
        InvalidDocumentError: It is not a dict, or has a value that cannot be stored.
    """
    if not isinstance(metadata, Mapping):
        raise InvalidDocumentError(f"metadata must be a dict, not {type(metadata).__name__}.")
    checked: dict[str, Any] = plain_json(dict(metadata), "metadata", max_depth=MAX_METADATA_DEPTH)
    return checked


def _as_page_image(image: object) -> PageImage:
    """Return the page image. Files are read, but nothing is downloaded.

    Raises:
        InvalidDocumentError: It is not an image, or a file that cannot be read.
    """
    if isinstance(image, PageImage):
        try:
            PageImage.from_json(image.to_json())  # raises now if it could not be read back from an index
        except ValueError as error:
            raise InvalidDocumentError(f"image cannot be stored: {error}.") from None
        return image
    if isinstance(image, (str, os.PathLike)):
        name = os.fspath(image)
        if "://" in name or name.startswith("data:"):
            raise InvalidDocumentError(
                f"image is a URL ({name:.60}), which is never downloaded. Download it and pass the file's path."
            )
        if name.lower().endswith(".pdf"):
            raise InvalidDocumentError(
                f"image is a PDF ({name}), not a single page. Pass PageImage.from_file(path, page=1) for one page, or "
                'use late_interaction.readers.read_paths([path], modalities=["image"]) for all pages.'
            )
    pillow = sys.modules.get("PIL.Image")  # loaded if the caller has a Pillow image
    try:
        if isinstance(image, (str, os.PathLike)):
            return PageImage.from_file(image)
        if pillow is not None and isinstance(image, pillow.Image):
            return PageImage.from_pixels(image)
    except ImageUnavailableError as error:
        raise InvalidDocumentError(f"image cannot be read: {error}") from None
    raise InvalidDocumentError(
        f"image must be a PageImage, the path of an image file or a Pillow image, not {type(image).__name__}."
    )


def _content_hash(text: str, encoded_text: str | None, metadata: Mapping[str, Any], image: PageImage | None) -> str:
    content: list[Any] = [text, encoded_text, metadata]
    if image is not None:
        content += [image.digest, image.page]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
