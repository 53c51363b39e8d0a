"""Documents and queries through an encoder, in bounded windows."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from late_interaction.engines import Record
from late_interaction.engines.base import check_vectors
from late_interaction.errors import InvalidRequestError, InvalidVectorsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from late_interaction.documents import Document
    from late_interaction.encoders import Encoder

__all__ = ["encode_documents", "encode_queries", "is_blank"]

_WINDOW = 128  # documents encoded together: enough to form batches of like length, few enough to bound memory


def encode_documents(
    encoder: Encoder, documents: Iterable[Document], report: Callable[[int], object] | None = None
) -> Iterator[Record]:
    """Each document with its token vectors, in order and unchecked; ``report`` is told how many more are done."""
    remaining = iter(documents)
    while window := list(islice(remaining, _WINDOW)):
        texts = [document.text_to_encode for document in window]
        yield from map(Record, window, _same_length(encoder.encode_documents(texts), texts))
        if report is not None:
            report(len(window))


def encode_queries(encoder: Encoder, queries: Sequence[str]) -> list[NDArray[np.float32]]:
    """The token vectors of each query, (query tokens, dim)."""
    if not queries:
        return []
    encoded = _same_length(encoder.encode_queries(list(queries)), queries)
    return [check_vectors(vectors, encoder.dim, "The encoder's query vectors") for vectors in encoded]


def is_blank(query: object) -> bool:
    """Whether there is nothing to search for.

    Raises:
        InvalidRequestError: The query is no string.
    """
    if not isinstance(query, str):
        raise InvalidRequestError(f"A query must be a string, not {type(query).__name__}.")
    return not query.strip()


def _same_length(encoded: Sequence[Any], texts: Sequence[str]) -> Sequence[Any]:
    if not hasattr(encoded, "__len__") or len(encoded) != len(texts):
        raise InvalidVectorsError(f"The encoder was given {len(texts)} texts and did not return as many arrays.")
    return encoded
