"""The codecs that compress token vectors, and the table that chooses one by the setting ``bits`` of an index.

A codec keeps a few columns for each token, besides the number of its centroid. It encodes and decodes them, and scores
stored tokens for a query. All vectors that it is given are in rotated coordinates (see `rotation`). Its kernels,
compiled and in NumPy, stand beside it.

To add a codec, write its module and add a row to the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from late_interaction.engines.local.quantization import codes_alone, residual

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from late_interaction.engines.local.quantization.codebook import Codebook
    from late_interaction.engines.local.search.buffers import Buffers
    from late_interaction.engines.local.storage.segment import CompressedSegment

__all__ = ["BITS", "Codec", "CodecQuery", "codec_for"]


class Codec(Protocol):
    """Compresses token vectors of one dimension."""

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        ...

    @property
    def columns(self) -> dict[str, tuple[Any, tuple[int, ...]]]:
        """Type and shape of what a token has in each column besides its centroid. See `segment` for the names."""
        ...

    def encode(
        self, vectors: NDArray[np.float32], codes: NDArray[np.uint16], codebook: Codebook
    ) -> dict[str, NDArray[Any]]:
        """Return the columns of token vectors, (n, dim), with these centroids, (n,)."""
        ...

    def decode(self, columns: Mapping[str, NDArray[Any]], codebook: Codebook) -> NDArray[np.float32]:
        """Return the vectors that columns, with ``codes``, stand for, (n, dim)."""
        ...

    def query(self, rotated: NDArray[np.float32], lanes: int, codebook: Codebook, buffers: Buffers) -> CodecQuery:
        """Return what scores stored tokens for a query, (query tokens, dim), on the processor.

        Args:
            rotated: Query tokens, (query tokens, dim).
            lanes: The number of columns that scores of centroids will have, at least one for each query token.
            codebook: The codebook.
            buffers: Reused memory, which belongs to this query.
        """
        ...

    def tokens_on_device(self, segment: CompressedSegment, codebook: Codebook, to_device: Callable[..., Any]) -> Any:
        """Return what `similarities_on_device` needs of a segment, on the device to which `to_device` copies arrays."""
        ...

    def similarities_on_device(self, held: Any, tokens: Any, centroid_scores: Any, rotated: Any) -> Any:
        """Return dot products of stored tokens with query tokens, (n, query tokens), in the precision of the query.

        Args:
            held: What `tokens_on_device` returned.
            tokens: The numbers of the tokens, (n,).
            centroid_scores: Of the centroid of each token, (n, query tokens).
            rotated: Query tokens, (query tokens, dim) f32 or f64.
        """
        ...


class CodecQuery(Protocol):
    """Scores documents of a segment for one query, in stages, each more accurate and more expensive than before.

    Documents are positions, (n,). ``centroid_scores`` are the dot products of centroids with query tokens,
    (centroids, lanes): a column for each query token, and further ones of zeros. Scores are float32, (n,); a document
    without tokens scores 0.
    """

    def approximate(
        self, segment: CompressedSegment, documents: NDArray[np.int64], centroid_scores: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return MaxSim without residuals."""
        ...

    def refined(
        self, segment: CompressedSegment, documents: NDArray[np.int64], centroid_scores: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return MaxSim from one token for each query token: the best one without residuals."""
        ...

    def maxsim(self, segment: CompressedSegment, documents: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return MaxSim of the stored vectors in single precision: the score of a hit."""
        ...


_CODECS: dict[int, Callable[[int, int], Codec]] = {
    **dict.fromkeys(codes_alone.BITS, codes_alone.CodesAlone),
    **dict.fromkeys(residual.BITS, residual.ResidualCodec),
}
"""By the setting ``bits``, the class of the codec, which takes the dimension and the bits. One row per codec."""

BITS = _CODECS.keys()
"""Bits per dimension of compressed vectors that an index can have; 0 for codes alone."""


def codec_for(dim: int, bits: int) -> Codec:
    """Return the codec of an index with this dimension and this setting ``bits``."""
    return _CODECS[bits](dim, bits)
