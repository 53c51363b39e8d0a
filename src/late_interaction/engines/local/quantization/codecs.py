"""The codecs that compress residuals, and the table that chooses one by the setting ``bits`` of an index.

A codec keeps of each residual one scale (f16) and `Codec.width` bytes (u8): the columns ``scales`` and ``residuals`` of
a segment. It encodes and decodes them, and scores stored tokens for a query. All vectors that it is given are in
rotated coordinates (see `rotation`). Its kernels, compiled and in NumPy, stand beside it.

To add a codec, write its module and add a row to the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from late_interaction.engines.local.quantization import residual

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from late_interaction.engines.local.storage.segment import CompressedSegment

__all__ = ["BITS", "Codec", "CodecQuery", "codec_for"]


class Codec(Protocol):
    """Compresses residuals of one dimension."""

    @property
    def dim(self) -> int:
        """Dimension of the residuals."""
        ...

    @property
    def width(self) -> int:
        """Bytes of a residual, without its scale."""
        ...

    def encode(self, residuals: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
        """Return residuals, (n, dim), in compressed form: bytes, (n, width), and scales, (n,)."""
        ...

    def decode(self, packed: NDArray[np.uint8], scales: NDArray[np.float16]) -> NDArray[np.float32]:
        """Return the residuals that bytes and scales stand for, (n, dim)."""
        ...

    def query(self, rotated: NDArray[np.float32]) -> CodecQuery:
        """Return what scores stored tokens for a query, (query tokens, dim), on the processor."""
        ...

    def dots_on_device(self, packed: Any, scales: Any, rotated: Any) -> Any:
        """Return dot products of residuals with query tokens, (n, query tokens) f32, on the device of the tensors.

        Args:
            packed: Bytes, (n, width) u8.
            scales: (n,) f32.
            rotated: Query tokens, (query tokens, dim) f32.
        """
        ...


class CodecQuery(Protocol):
    """Scores documents of a segment for one query, from centroids and residuals.

    Positions are ascending, (n,), in a segment that has tokens. ``centroid_scores`` are the dot products of centroids
    with query tokens, (centroids, query tokens). Scores are float32, (n,); a document without tokens scores 0.
    """

    def refined(
        self, segment: CompressedSegment, positions: NDArray[np.int64], centroid_scores: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return MaxSim from one token for each query token: the one with the best centroid."""
        ...

    def exact(
        self, segment: CompressedSegment, positions: NDArray[np.int64], centroid_scores: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return MaxSim of the stored vectors."""
        ...


_CODECS: dict[int, Callable[[int, int], Codec]] = {
    **dict.fromkeys(residual.BITS, residual.ResidualCodec),
}
"""By the setting ``bits``, the class of the codec, which takes the dimension and the bits. One row per codec."""

BITS = _CODECS.keys()
"""Bits per dimension of compressed vectors that an index can have."""


def codec_for(dim: int, bits: int) -> Codec:
    """Return the codec of an index with this dimension and this setting ``bits``."""
    return _CODECS[bits](dim, bits)
