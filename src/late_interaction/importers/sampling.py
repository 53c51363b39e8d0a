"""A sample of a source: documents to search with, and documents to encode again."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.validation import is_invisible

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from late_interaction.documents import Document
    from late_interaction.importers.foreign import ForeignIndex

__all__ = ["QUERY_TOKENS", "Sample", "sampled"]

QUERY_TOKENS = 32
"""Token vectors of a document that become a query: its first ones."""

_BLOCKS = 10
"""Places of the source, evenly spaced, from which documents are taken. Each place is sought once."""

_MAX_QUERIES = 400
_MIN_QUERIES = 10
_MAX_PRODUCTS = 3 * 10**11
"""Products of numbers that exact scores may take: some ten seconds on two cores. Very large sources take more."""

_MAX_TOKENS = 1_024
"""Token vectors of a document that are compared with what the index stores: its first ones."""

_MAX_BYTES = 128 * 2**20
"""Bytes of token vectors of a sample."""

_MAX_ENCODED = 8
"""Documents that are encoded again."""


@dataclass
class Sample:
    """Documents of a source.

    Attributes:
        vectors: By id, their first token vectors, (tokens, dim), each at least one.
        readable: Some of them that can be encoded again, with their token vectors: with a text, unless the source says
            that images were encoded (``settings["encodes"] == "images"``), or with an image.
    """

    vectors: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    readable: list[tuple[Document, NDArray[np.float32]]] = field(default_factory=list)


def sampled(source: ForeignIndex, wanted: int) -> Sample:
    """Return so many documents of a source, or fewer, such that exact scores of all its documents are affordable.

    Raises:
        CorruptIndexError: The source is damaged.
    """
    affordable = _MAX_PRODUCTS // max(1, QUERY_TOKENS * source.tokens * source.dim)
    number = min(wanted, source.documents, _MAX_QUERIES, max(_MIN_QUERIES, affordable))
    sample = Sample()
    reads_texts = source.settings.get("encodes") != "images"
    blocks = min(_BLOCKS, number)
    size = 0
    for block in range(blocks):
        start = block * source.documents // blocks
        length = (block + 1) * number // blocks - block * number // blocks
        for document, vectors in islice(source.read(start), length):
            if not len(vectors) or size > _MAX_BYTES:
                continue
            kept = np.array(vectors[:_MAX_TOKENS], np.float32)  # a copy, so that the block of the source can go
            size += kept.nbytes
            sample.vectors[document.id] = kept
            if len(sample.readable) < _MAX_ENCODED and _is_readable(document, texts=reads_texts):
                sample.readable.append((document, kept))
    return sample


def _is_readable(document: Document, *, texts: bool) -> bool:
    return document.image is not None or (texts and not is_invisible(document.text_to_encode))
