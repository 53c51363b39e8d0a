"""Find out whether an encoder made the vectors of a source, before the index remembers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.errors import IncompatibleEncoderError
from late_interaction.retrieval.encoding import encode_documents
from late_interaction.retrieval.truncation import Truncation
from late_interaction.wording import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from late_interaction.documents import Document
    from late_interaction.encoders import Encoder
    from late_interaction.importers.foreign import ForeignIndex

__all__ = ["checked_agreement"]

_MIN_EXACT = 0.95
"""Mean cosine similarity of token vectors of the same encoder: of other releases, processors and number types."""

_MIN_COMPRESSED = 0.75
"""The same if the source is compressed, or its page images are thumbnails. ColBERTv2 has .85 and more at 1 bit."""

_MAX_EXACT_BITS = 16
_PRIOR_TOKENS = 32


def checked_agreement(
    source: ForeignIndex, encoder: Encoder, documents: list[tuple[Document, NDArray[np.float32]]]
) -> float | None:
    """Encode documents again and return how similar their token vectors are; None if there are no documents.

    The similarity of a document is the mean, over its token vectors, of the greatest cosine similarity with one of the
    other ones: in the direction in which it is greater, since either may have read more of the text. The median of the
    documents is returned. The mean vector of the source is subtracted from all: vectors with a strong common direction,
    as those of recent ColBERTs, have cosine similarities of .95 and more with those of any other text.

    Args:
        source: The source.
        encoder: The encoder.
        documents: Documents with a text or an image, with their token vectors in the source.

    Raises:
        IncompatibleEncoderError: It is too low.
    """
    if not documents:
        return None
    records = encode_documents(encoder, [document for document, _ in documents], truncation=Truncation())
    common = _common(np.concatenate([vectors for _, vectors in documents]))
    found = [
        _agreement(vectors - common, np.asarray(record.vectors, np.float32) - common)
        for (_, vectors), record in zip(documents, records, strict=True)
    ]
    agreement = float(np.median(found))
    bits = source.settings.get("bits")
    is_exact = (bits is None or bits >= _MAX_EXACT_BITS) and all(document.image is None for document, _ in documents)
    least = _MIN_EXACT if is_exact else _MIN_COMPRESSED
    if agreement < least:
        named = "" if source.encoder is None else f" The source names the model {source.encoder!r:.200}."
        raise IncompatibleEncoderError(
            f"The encoder did not make the vectors of the source: of {counted(len(documents), 'document')}, the mean "
            f"cosine similarity of its token vectors and the source's is {agreement:.3f}, at least {least} is "
            f"expected.{named} Pass the encoder that made the vectors, or import without one."
        )
    return agreement


def _common(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean vector, shortened if there are few: a mean of one vector would leave nothing of it."""
    mean: NDArray[np.float32] = vectors.sum(axis=0) / np.float32(len(vectors) + _PRIOR_TOKENS)
    return mean


def _agreement(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    if not len(first) or not len(second):
        return 0.0
    products = _normalized(first) @ _normalized(second).T
    return float(max(products.max(axis=1).mean(), products.max(axis=0).mean()))


def _normalized(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths: NDArray[Any] = np.linalg.norm(vectors, axis=1, keepdims=True)
    normalized: NDArray[np.float32] = vectors / np.maximum(lengths, np.float32(np.finfo(np.float32).tiny))
    return normalized
