"""`ExactEncoder`: float32 vectors in an index that keeps float16."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.retrieval.encoding import encode_queries
from late_interaction.validation import check_vectors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from late_interaction.encoders import Encoder

__all__ = ["ExactEncoder"]

_SCALE = np.float32(2**11)  # a remainder is at most 2⁻¹¹ of its value: scaled, it is far from the limits of float16
_FORWARDED = frozenset({"document_length", "modalities", "query_length", "truncated", "viewed_size"})


class ExactEncoder:
    """Doubles the dimensions of an encoder, so that dot products in float16 equal those of its vectors in float32.

    A document vector becomes its value rounded to float16, and beside it the remainder; a query vector is repeated. So
    MaxSim is exact to about 1e-6 of each similarity, and not to the 1e-4 of float16, which may add up to .004 over the
    32 tokens of a query.

    Args:
        encoder: The encoder.

    Example:
        >>> from late_interaction import load_encoder
        >>> encoder = load_encoder("minilm")
        >>> (query,), (document,) = encoder.encode_queries(["a river"]), encoder.encode_documents(["the Nile"])
        >>> exact = ExactEncoder(encoder)
        >>> (long_query,), (pairs,) = exact.encode_queries(["a river"]), exact.encode_documents(["the Nile"])
        >>> float(abs(long_query @ pairs.astype("float16").astype("float32").T - query @ document.T).max()) < 1e-6
        True
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.dim = 2 * encoder.dim

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Return the fingerprint of the encoder, and what is done to its vectors."""
        return {**self.encoder.fingerprint, "dim": self.dim, "float16_pairs": True}

    def encode_queries(self, texts: list[str]) -> list[NDArray[np.float32]]:
        """Return the token vectors of each query, (query tokens, 2 dim): the vector, and the vector scaled down."""
        return [np.hstack([vectors, vectors / _SCALE]) for vectors in encode_queries(self.encoder, texts)]

    def encode_documents(self, texts: list[str]) -> list[NDArray[np.float32]]:
        """Return the token vectors of each passage, (tokens, 2 dim): rounded to float16, and the remainder scaled."""
        return self._pairs(self.encoder.encode_documents(texts))

    def __getattr__(self, name: str) -> Any:
        if name == "encode_images":
            encode: Any = self.encoder.encode_images  # type: ignore[attr-defined]  # AttributeError if it reads none
            return lambda images: self._pairs(encode(images))
        if name in _FORWARDED:
            return getattr(self.encoder, name)
        raise AttributeError(name)

    def _pairs(self, encoded: Sequence[Any]) -> list[NDArray[np.float32]]:
        checked = [check_vectors(vectors, self.encoder.dim, "The encoder's vectors") for vectors in encoded]
        rounded = [vectors.astype(np.float16).astype(np.float32) for vectors in checked]
        return [np.hstack([value, (vectors - value) * _SCALE]) for vectors, value in zip(checked, rounded, strict=True)]
