"""Write a segment: stream the columns of its documents into a new directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.engines.local.postings import are_worthwhile, columns_for
from late_interaction.engines.local.postings.building import append_postings
from late_interaction.engines.local.storage.columns import ColumnWriter
from late_interaction.engines.local.storage.files import SEGMENTS
from late_interaction.engines.local.storage.segment import SegmentEntry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from late_interaction.engines.local.quantization.codecs import Codec

__all__ = ["SegmentWriter"]


class SegmentWriter(ColumnWriter):
    """Streams documents into a new segment: a compressed one with a codec, an uncompressed one without.

    Args:
        root: The directory of the index.
        name: The name of the directory of the segment.
        dim: Dimension of the token vectors.
        codec: The codec of the index.
        centroids: The number of centroids in the codebook.
    """

    def __init__(self, root: Path, name: str, dim: int, codec: Codec | None = None, centroids: int = 0) -> None:
        vectors: dict[str, Any] = {"vectors": (np.float16, (dim,))}
        if codec is not None:
            vectors = {"codes": (np.uint16, ()), **codec.columns}
        super().__init__(root / SEGMENTS, name, {**vectors, "offsets": (np.int64, ())})
        self._offsets = [0]
        self._centroids = 0 if codec is None else centroids

    def append_documents(self, lengths: Sequence[int], **columns: NDArray[Any]) -> int:
        """Append documents, in order; return the position of the first.

        Args:
            lengths: The number of tokens of each document.
            columns: The columns of their tokens.
        """
        self.append(**columns)
        first = len(self._offsets) - 1
        for length in lengths:
            self._offsets.append(self._offsets[-1] + length)
        return first

    def finish_segment(self) -> SegmentEntry:
        """Make the files durable. Readers see them once the catalog names them."""
        offsets = np.array(self._offsets, np.int64)
        documents, tokens = len(offsets) - 1, self._offsets[-1]
        self.append(offsets=offsets)
        if self._centroids and are_worthwhile(documents, tokens, self._centroids):
            self.add_columns(columns_for(self._centroids))
            append_postings(self, self.written("codes"), offsets, self._centroids)
        return SegmentEntry(self.name, documents, tokens, self.finish())
