"""What users search for, in any form, as what retrieval needs: words, token vectors, or both."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np

from late_interaction.documents import Document
from late_interaction.encoders import ReducedEncoder, reads_images
from late_interaction.encoders.images import as_rgb
from late_interaction.errors import InvalidRequestError, InvalidVectorsError
from late_interaction.retrieval.recent_queries import query_vectors
from late_interaction.validation import check_given_vectors, check_query, check_vectors, is_invisible

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray
    from PIL.Image import Image

    from late_interaction.encoders.protocol import Encoder
    from late_interaction.images import PageImage
    from late_interaction.retrieval.truncation import Truncation

    QueryLike: TypeAlias = str | Document | Image | ArrayLike

__all__ = ["Query", "encode", "query_vectors"]


@dataclass(frozen=True)
class Query:
    """A query of any form.

    Attributes:
        text: The words; None if it has none that are visible.
        image: The page to compare with.
        vectors: Token vectors of the caller, (query tokens, dim).
    """

    text: str | None = None
    image: Image | PageImage | None = None
    vectors: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, query: object, dim: int) -> Query:
        """Return the query that a caller gives: a text, an image, a document of both, or token vectors.

        Args:
            query: The query.
            dim: Dimension of the token vectors.

        Raises:
            InvalidRequestError: It has none of these forms.
            InvalidVectorsError: Vectors of another shape or dimension, not numbers, NaN or infinity.
        """
        if isinstance(query, str):
            return cls(_visible(check_query(query)))
        if isinstance(query, Document):
            return cls(_visible(query.text_to_encode), query.image)
        pillow = sys.modules.get("PIL.Image")  # loaded if the caller has a Pillow image
        if pillow is not None and isinstance(query, pillow.Image):
            return cls(image=query)
        if _is_array(query):
            return cls(vectors=check_given_vectors(query, dim, "Query vectors"))
        several = " For several queries there is search_many." if isinstance(query, (list, tuple)) else ""
        raise InvalidRequestError(
            f"A query must be a string, a PIL image, a Document or an array of token vectors, (tokens, {dim}), not "
            f"{type(query).__name__}.{several}"
        )

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing to search for: no visible character, no image, no vector."""
        return self.text is None and self.image is None and (self.vectors is None or not len(self.vectors))

    def check_mode(self, mode: str) -> None:
        """Raise unless the query can be asked in this mode.

        Raises:
            InvalidRequestError: The mode needs words, and the query has none.
        """
        if mode == "late" or self.text is not None or self.is_blank:
            return
        given = "token vectors" if self.image is None else "an image"
        raise InvalidRequestError(
            f"mode={mode!r} searches for words, and the query is {given} without text. Use mode='late', or pass a "
            "string or Document(text, image=…)."
        )


def encode(
    queries: Sequence[Query], load_encoder: Callable[[], Encoder], truncation: Truncation
) -> list[NDArray[np.float32]]:
    """Return the token vectors of each query, (query tokens, dim) float32: its own, or those of its text and its image.

    Args:
        queries: The queries, none of them blank.
        load_encoder: Returns the encoder; called if a query has no vectors of its own.
        truncation: Notes the texts that are longer than the encoder reads.

    Raises:
        MissingEncoderError: There is no encoder, and a query needs one.
        InvalidRequestError: The encoder does not read images, and a query has one.
        ImageUnavailableError: The image of a query cannot be read.
    """
    texts = list(dict.fromkeys(query.text for query in queries if query.vectors is None and query.text is not None))
    of_text: dict[str, NDArray[np.float32]] = {}
    if texts:  # all of them together
        truncation.queries(load_encoder(), texts)
        of_text = dict(zip(texts, query_vectors(load_encoder(), texts), strict=True))
    encoded = []
    for query in queries:
        if query.vectors is not None:
            encoded.append(query.vectors)
            continue
        parts = [] if query.text is None else [of_text[query.text]]
        if query.image is not None:
            parts.append(_image_vectors(load_encoder(), query.image))
        encoded.append(parts[0] if len(parts) == 1 else np.concatenate(parts))
    return encoded


def _image_vectors(encoder: Encoder, image: Image | PageImage) -> NDArray[np.float32]:
    """Return the vectors of an image, (vectors, dim). They are not pooled, as those of no query are."""
    if not reads_images(encoder):
        raise InvalidRequestError(
            f"The query is an image, and {type(encoder).__name__} encodes text only. Pass a text, or use an index "
            "whose encoder reads pages, for example vidore/colqwen2.5-v0.2."
        )
    pillow = sys.modules.get("PIL.Image")
    is_loaded = pillow is not None and isinstance(image, pillow.Image)
    loaded: Any = as_rgb(image) if is_loaded else image.load(encoder.viewed_size)  # type: ignore[arg-type, call-arg]
    reduced: Any = encoder if isinstance(encoder, ReducedEncoder) else None
    vectors = encoder.encode_images([loaded]) if reduced is None else reduced.encode_images_unpooled([loaded])
    if not hasattr(vectors, "__len__") or len(vectors) != 1:
        raise InvalidVectorsError("The encoder must return one array for each input, 1 in this call.")
    return check_vectors(vectors[0], encoder.dim, "The encoder's vectors of the query image")


def _visible(text: str) -> str | None:
    return None if is_invisible(text) else text


def _is_array(query: object) -> TypeGuard[ArrayLike]:
    """Return whether this is meant as token vectors: an array, or a list of lists of numbers."""
    if isinstance(query, (list, tuple)) and query:
        return isinstance(query[0], (list, tuple, int, float)) or hasattr(query[0], "__array__")
    return isinstance(query, (list, tuple)) or hasattr(query, "__array__")
