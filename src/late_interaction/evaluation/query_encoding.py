"""`QueryEncoder`: encodes each query once for all systems of an evaluation, and tells how long that took."""

from __future__ import annotations

import hashlib
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from late_interaction.encoders import ReducedEncoder
from late_interaction.retrieval.queries import Query, encode
from late_interaction.retrieval.truncation import Truncation

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from late_interaction.encoders import Encoder
    from late_interaction.evaluation.dataset import JudgedQuery

    _Vectors: TypeAlias = NDArray[np.floating[Any]]

__all__ = ["QueryEncoder", "reduced_alike"]


class QueryEncoder:
    """Encodes what it is asked for once, and keeps it: the queries of an evaluation, for each of its systems.

    It has no `encode_documents` of its own: documents are encoded by the encoder itself. All other attributes are those
    of the encoder.

    Args:
        encoder: The encoder.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._known: dict[Hashable, tuple[_Vectors, float]] = {}
        self._milliseconds: dict[str, float] = {}
        self._spent = 0.0

    @property
    def dim(self) -> int:
        """Dimension of the token vectors."""
        return self.encoder.dim

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """The fingerprint of the encoder."""
        return self.encoder.fingerprint

    def encode_queries(self, texts: list[str]) -> list[_Vectors]:
        """Return the token vectors of each query, (query tokens, dim)."""
        return [self._once(text, partial(_first, self.encoder.encode_queries, text)) for text in texts]

    def encode_documents(self, texts: list[str]) -> Any:
        """Return the token vectors of each passage, (tokens, dim). Nothing is kept."""
        return self.encoder.encode_documents(texts)

    @property
    def encode_images(self) -> Callable[[list[Image.Image]], list[_Vectors]]:
        """Return ``encode_images(images)``, for images that are queries."""
        encode_images: Any = self.encoder.encode_images  # type: ignore[attr-defined]  # AttributeError if it reads none
        return lambda images: [self._once(_digest(image), partial(_first, encode_images, image)) for image in images]

    def milliseconds(self, query: JudgedQuery) -> float:
        """Return how long the encoder took for a query, encoded alone; it is encoded now unless it was before."""
        if query.id not in self._milliseconds:
            asked = Query.of(query.query, self.dim)
            self._spent = 0.0
            if asked.text is not None:  # not by `encode`, which does not ask again for a text of another query
                self.encode_queries([asked.text])
            if asked.image is not None:
                encode([Query(image=asked.image)], lambda: self, Truncation())
            self._milliseconds[query.id] = self._spent
        return self._milliseconds[query.id]

    def _once(self, key: Hashable, encode_one: Callable[[], _Vectors]) -> _Vectors:
        if key not in self._known:
            start = time.perf_counter()
            vectors = encode_one()
            self._known[key] = vectors, (time.perf_counter() - start) * 1000
        vectors, milliseconds = self._known[key]
        self._spent += milliseconds
        return vectors

    def __getattr__(self, name: str) -> Any:
        if name == "encoder" or name.startswith("__"):  # not set yet, as while being copied; how to copy this object
            raise AttributeError(name)
        return getattr(self.encoder, name)


def reduced_alike(encoder: Encoder, wrap: Callable[[Encoder], Encoder]) -> Encoder:
    """Return an encoder wrapped; of a `ReducedEncoder`, the encoder inside is wrapped and reduced alike."""
    if isinstance(encoder, ReducedEncoder):
        return ReducedEncoder(wrap(encoder.encoder), **encoder.reduction)
    return wrap(encoder)


def _first(encode_all: Callable[[list[Any]], Any], one: Any) -> _Vectors:
    vectors: _Vectors = encode_all([one])[0]
    return vectors


def _digest(image: Image.Image) -> Hashable:
    return image.size, image.mode, hashlib.sha256(image.tobytes()).digest()
