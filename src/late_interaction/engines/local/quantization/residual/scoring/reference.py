"""The kernels that score documents of the residual codec, in plain NumPy: what the compiled ones are tested against.

The columns of tokens are flat: document ``d`` has the tokens ``offsets[d]:offsets[d + 1]``. Scores of centroids have a
column, or *lane*, for each query token, and further ones of zeros. So have other arrays of lanes.

Arguments that all or many have:

- scales, along, shares, alongs, centroids_along: What factors are unpacked from. See `unpack_factors` of the codec.
- codes: The centroid of each token, (tokens,).
- offsets: (documents of the segment + 1,).
- documents: Numbers of the documents to score, (n,).
- packed: The packed points of the tokens, (tokens, width).
- scores: Of centroids, (centroids, lanes).
- query: Query tokens that are multiplied with points, in integers, (query tokens, padded dim).
- units: What half an integer of a query token stands for, (lanes,).
- middle: What centering the grid subtracts from twice each dot product with levels, (query tokens,).
- query_along: Query tokens along the common direction, (lanes,).
- bits: Per dimension.
- corrected: Choose tokens by all factors but that of the point, instead of the centroid alone.

`maxsim_sums` has centroids as ``points`` of the grid, (centroids, padded dim), and ``point_scales``, (centroids,); the
``direction``, (padded dim,); and the components of query tokens across the common direction: of each 16 lanes, one
after the other, the coordinates, (padded dim, 16).

All return scores, (n,). A document without tokens gets 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.engines.local.quantization.residual.reference import unpack, unpack_factors

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["approximate_sums", "corrected_sums", "maxsim_sums", "refined_sums"]

_Factors = tuple["NDArray[Any]", "NDArray[Any]", "NDArray[Any]", "NDArray[Any]", "NDArray[Any]"]


def approximate_sums(
    codes: NDArray[np.uint16], offsets: NDArray[np.int64], documents: NDArray[np.int64], scores: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Score documents by MaxSim of the centroids of their tokens."""
    return _sums(scores[codes], offsets, documents)


def corrected_sums(
    factors: _Factors,
    codes: NDArray[np.uint16],
    offsets: NDArray[np.int64],
    documents: NDArray[np.int64],
    scores: NDArray[np.float32],
    query_along: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Score documents by MaxSim of their tokens without their points."""
    return _sums(_without_points(factors, codes, scores, query_along), offsets, documents)


def refined_sums(
    factors: _Factors,
    codes: NDArray[np.uint16],
    offsets: NDArray[np.int64],
    documents: NDArray[np.int64],
    packed: NDArray[np.uint8],
    scores: NDArray[np.float32],
    query: NDArray[np.int16],
    units: NDArray[np.float32],
    middle: NDArray[np.int32],
    query_along: NDArray[np.float32],
    corrected: bool,  # noqa: FBT001 (kernels take no keywords)
    bits: int,
) -> NDArray[np.float32]:
    """Score documents from one token for each query token: the first of those that are best without their points."""
    whole = _without_points(factors, codes, scores, query_along)
    chosen_by = whole if corrected else scores[codes]
    whole = whole[:, : len(query)] + _of_points(factors, codes, packed, query, units, middle, bits)
    sums = np.zeros(len(documents), np.float32)
    for i, document in enumerate(documents):
        start, end = offsets[document], offsets[document + 1]
        if start < end:
            nearest = start + chosen_by[start:end, : len(query)].argmax(axis=0)
            sums[i] = whole[nearest, np.arange(len(query))].sum()
    return sums


def maxsim_sums(
    factors: _Factors,
    codes: NDArray[np.uint16],
    offsets: NDArray[np.int64],
    documents: NDArray[np.int64],
    packed: NDArray[np.uint8],
    points: NDArray[np.int8],
    point_scales: NDArray[np.float32],
    query: NDArray[np.float32],
    query_along: NDArray[np.float32],
    direction: NDArray[np.float32],
    bits: int,
) -> NDArray[np.float32]:
    """Score documents by MaxSim of their stored vectors."""
    centroids_along, along = factors[4], factors[1]
    share, scale, third = unpack_factors(*factors, codes, np.arange(len(codes)))
    own = unpack(packed, np.arange(len(codes)), bits)
    residuals = np.zeros((len(codes), len(direction)), np.float32)
    residuals[:, : own.shape[1]] = scale[:, None] * own
    along_all = third + share * centroids_along[codes]
    if not len(along):  # the points keep the common direction
        along_all = along_all + residuals @ direction
    vectors = (share * point_scales[codes])[:, None] * points[codes] + residuals
    across = query.reshape(-1, len(direction), query.shape[1]).swapaxes(1, 2).reshape(-1, len(direction))
    return _sums(vectors @ across.T + along_all[:, None] * query_along, offsets, documents)


def _without_points(
    factors: _Factors, codes: NDArray[np.uint16], scores: NDArray[np.float32], query_along: NDArray[np.float32]
) -> NDArray[np.float32]:
    share, _, third = unpack_factors(*factors, codes, np.arange(len(codes)))
    return np.asarray(share[:, None] * scores[codes] + third[:, None] * query_along, np.float32)


def _of_points(
    factors: _Factors,
    codes: NDArray[np.uint16],
    packed: NDArray[np.uint8],
    query: NDArray[np.int16],
    units: NDArray[np.float32],
    middle: NDArray[np.int32],
    bits: int,
) -> NDArray[np.float32]:
    """Return what the points add to the scores, (tokens, query tokens)."""
    scale = unpack_factors(*factors, codes, np.arange(len(codes)))[1]
    levels = unpack(packed, np.arange(len(codes)), bits).astype(np.float64) + (2 ** (bits - 1) - 0.5)
    sums = 2 * levels @ query.T.astype(np.float64) - middle
    return np.asarray(scale[:, None] * units[: len(query)] * sums, np.float32)


def _sums(scores: NDArray[np.float32], offsets: NDArray[np.int64], documents: NDArray[np.int64]) -> NDArray[np.float32]:
    of_documents = [scores[offsets[document] : offsets[document + 1]] for document in documents]
    return np.array([of_one.max(axis=0).sum() if len(of_one) else 0 for of_one in of_documents], np.float32)
