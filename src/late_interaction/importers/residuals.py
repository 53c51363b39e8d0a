"""Residual vectors as ColBERTv2 stores them: a centroid, and a bucket of a few bits for each dimension.

Santhanam et al., *ColBERTv2* (NAACL 2022). The layout of the bits is that of ``ResidualCodec`` in colbert-ai, which
other tools took over.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.errors import CorruptIndexError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NBITS", "check_codec", "check_tokens", "decompress"]

NBITS = (1, 2, 4, 8)
"""Bits per dimension: a byte holds a whole number of dimensions."""

_BLOCK_TOKENS = 16_384
_SMALLEST_NORM = 1e-12
_LARGEST_VALUE = float(np.finfo(np.float16).max)


def decompress(
    codes: NDArray[np.integer],
    packed_residuals: NDArray[np.uint8],
    centroids: NDArray[np.floating],
    bucket_weights: NDArray[np.floating],
    nbits: int,
) -> NDArray[np.float32]:
    """Return the token vectors, (tokens, dim) float32 of length 1, in the precision that colbert-ai has on a processor.

    A byte of residuals holds ``8 / nbits`` dimensions, the first one in its highest bits, and the bits of each
    dimension from the lowest to the highest. The arguments must have passed `check_codec` and `check_tokens`.

    Args:
        codes: (tokens,) the centroid of each token.
        packed_residuals: (tokens, dim * nbits / 8).
        centroids: (centroids, dim).
        bucket_weights: (2 ** nbits,) the residual that each bucket stands for.
        nbits: One of `NBITS`.
    """
    lookup = np.asarray(bucket_weights, np.float32)[_buckets_of_bytes(nbits)]
    vectors = np.empty((len(codes), centroids.shape[1]), np.float32)
    for start in range(0, len(codes), _BLOCK_TOKENS):
        block = slice(start, start + _BLOCK_TOKENS)
        values = lookup[packed_residuals[block]].reshape(-1, centroids.shape[1])
        values += centroids[codes[block]]
        values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), _SMALLEST_NORM)  # zeros stay zeros
        vectors[block] = values
    return vectors


def check_codec(
    centroids: NDArray[np.floating],
    bucket_weights: NDArray[np.floating],
    nbits: object,
    *,
    centroids_file: object,
    weights_file: object,
) -> None:
    """Check what all tokens of an index share.

    Raises:
        CorruptIndexError: ``nbits`` is not one of `NBITS`, a shape is wrong, or a value is not finite or beyond
            float16. The message names the file.
    """
    if type(nbits) is not int or nbits not in NBITS:
        raise CorruptIndexError(f"nbits must be one of {', '.join(map(str, NBITS))}, got {nbits!r}.")
    if centroids.ndim != 2 or not centroids.size or centroids.shape[1] * nbits % 8:
        raise CorruptIndexError(
            f"{centroids_file}: expected (centroids, dim) values with a dim that fills whole bytes at {nbits} bits, "
            f"got the shape {centroids.shape}."
        )
    if bucket_weights.shape != (2**nbits,):
        raise CorruptIndexError(
            f"{weights_file}: expected {2**nbits} bucket weights at {nbits} bits, got the shape {bucket_weights.shape}."
        )
    for values, file in ((centroids, centroids_file), (bucket_weights, weights_file)):
        if not np.issubdtype(values.dtype, np.floating) or not (np.abs(values) <= _LARGEST_VALUE).all():
            raise CorruptIndexError(f"{file}: expected finite numbers within float16, but some are not.")


def check_tokens(
    codes: NDArray[np.integer],
    packed_residuals: NDArray[np.uint8],
    centroids: NDArray[np.floating],
    nbits: int,
    *,
    codes_file: object,
    residuals_file: object,
) -> None:
    """Check the codes and residuals of some tokens.

    Raises:
        CorruptIndexError: A shape or type is wrong, or a code is not the number of a centroid. The message names the
            file.
    """
    if codes.ndim != 1 or not np.issubdtype(codes.dtype, np.integer):
        raise CorruptIndexError(f"{codes_file}: expected (tokens,) integers, got {codes.dtype} {codes.shape}.")
    expected = (len(codes), centroids.shape[1] * nbits // 8)
    if packed_residuals.dtype != np.uint8 or packed_residuals.shape != expected:
        raise CorruptIndexError(
            f"{residuals_file}: expected uint8 {expected} for the codes in {codes_file}, "
            f"got {packed_residuals.dtype} {packed_residuals.shape}."
        )
    if len(codes) and not (int(codes.min()) >= 0 and int(codes.max()) < len(centroids)):
        raise CorruptIndexError(
            f"{codes_file}: codes must be from 0 to {len(centroids) - 1}, the number of the last centroid, "
            f"got {codes.min()} to {codes.max()}."
        )


def _buckets_of_bytes(nbits: int) -> NDArray[np.intp]:
    """Return the buckets that each byte holds, (256, 8 / nbits)."""
    reversed_bits = [int(f"{bucket:0{nbits}b}"[::-1], 2) for bucket in range(2**nbits)]
    return np.array(list(product(reversed_bits, repeat=8 // nbits)), np.intp)
