"""The residual codec: a token vector from its centroid, the common direction, and a point of the grid.

::

    vector  ≈  share · centroid  +  along · direction  +  scale · point

The centroid and the point are taken without their components in the common direction (`Codebook.direction`). So the
component of the vector in that direction is exact up to the rounding of one coefficient. Where all vectors of an
encoder lie in a narrow cone, queries point there too, and an error there would count more than in other directions.
``share``, near 1, and ``scale`` make two dot products of the rest exact: with the rest of the vector, and with that of
its centroid. MaxSim takes the tokens nearest to a query token, so errors in the direction of the token count most.

With 8 bits, where it would hardly differ from 1, there is no share (see `factors`).

Segments of formats before 5 have no ``along``: their share is 1, and the point keeps the common direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.engines.libraries import torch_module
from late_interaction.engines.local.quantization.residual.factors import Packing, packing
from late_interaction.engines.local.quantization.residual.grid import BITS, Grid, compiled_kernels
from late_interaction.engines.local.quantization.residual.scoring.query import ResidualQuery

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from late_interaction.engines.local.quantization.codebook import Codebook
    from late_interaction.engines.local.search.buffers import Buffers
    from late_interaction.engines.local.storage.segment import CompressedSegment

__all__ = ["BITS", "ResidualCodec"]

_MIN_DETERMINANT = 0.4
"""Of the two conditions for ``share`` and ``scale``, relative: below, a residual and its centroid are nearly parallel.

The solution would then follow from the error of the point alone, and be many times as large as the residual.
"""

_MIN_CENTROID = 1e-4
"""Squared length of a centroid across the common direction, relative to that along it: below, rounding decides."""


@dataclass(frozen=True)
class ResidualCodec:
    """Compresses token vectors of one dimension. See `codecs.Codec`.

    Attributes:
        dim: Dimension of the vectors.
        bits: One of `BITS` per dimension.
    """

    dim: int
    bits: int

    @property
    def grid(self) -> Grid:
        """Rounds residuals."""
        return Grid(self.dim, self.bits)

    @property
    def packing(self) -> Packing:
        """How the factors of a token are packed."""
        return packing(self.dim, self.bits, self.grid.step)

    @property
    def columns(self) -> dict[str, tuple[Any, tuple[int, ...]]]:
        """Type and shape of what a token has in each column besides its centroid."""
        return {"scales": (np.float16, ()), "along": (np.uint8, ()), "residuals": (np.uint8, (self.grid.width,))}

    def encode(
        self, vectors: NDArray[np.float32], codes: NDArray[np.uint16], codebook: Codebook
    ) -> dict[str, NDArray[Any]]:
        """Return the columns of token vectors, (n, dim), with these centroids, (n,)."""
        direction = codebook.direction
        residuals, along = np.empty(vectors.shape, np.float32), np.empty(len(vectors), np.float32)
        compiled_kernels().residuals(vectors, codes, codebook.centroids, direction, residuals, along)
        packed, half_scales = self.grid.encode(residuals)
        shares, scales = np.ones(len(vectors), np.float32), half_scales.astype(np.float32)
        if len(self.packing.shares) > 1:
            products = np.empty((5, len(vectors)), np.float32)
            arguments = codebook.centroids, codes, residuals, packed, self.bits, direction
            compiled_kernels().inner_products(*arguments, np.empty(self.grid.padded_dim, np.float32), products)
            shares, scales = _solved(products, scales, codebook.along[codes])
        packed_scales, packed_along = self.packing.packed(shares, scales, along)
        return {"scales": packed_scales, "along": packed_along, "residuals": packed}

    def decode(self, columns: Mapping[str, NDArray[Any]], codebook: Codebook) -> NDArray[np.float32]:
        """Return the vectors that columns, with ``codes``, stand for, (n, dim)."""
        tokens = np.arange(len(columns["codes"]))
        points = self.grid.points(columns["residuals"], tokens)[:, : self.dim]
        shares, scales, alongs = self.factors(columns, tokens, codebook)
        vectors = shares[:, None] * codebook.centroids[columns["codes"]] + scales[:, None] * points
        if "along" in columns:
            alongs -= scales * np.einsum("ij,j->i", points, codebook.direction)
        return np.asarray(vectors + alongs[:, None] * codebook.direction, np.float32)

    def factors(
        self, columns: Mapping[str, NDArray[Any]], tokens: NDArray[np.int64], codebook: Codebook
    ) -> NDArray[np.float32]:
        """Return the factors of some tokens: of the centroid, of the point, and of the common direction, (3, n).

        The factor of the direction is what the component of ``share · centroid`` lacks, so that scores of centroids
        need not be corrected.
        """
        factors = np.empty((3, len(tokens)), np.float32)
        compiled_kernels().unpack_factors(*self.factor_arguments(columns, codebook), columns["codes"], tokens, factors)
        return factors

    def factor_arguments(
        self, columns: Mapping[str, NDArray[Any]], codebook: Codebook
    ) -> tuple[NDArray[Any], NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return what kernels take to unpack factors: columns, tables, and the centroids along the direction."""
        is_new = "along" in columns
        along = columns["along"] if is_new else _NO_ALONG
        shares, alongs = (self.packing.shares, self.packing.alongs) if is_new else (_NO_SHARES, _NO_ALONGS)
        return columns["scales"].view(np.uint16), along, shares, alongs, codebook.along

    def query(self, rotated: NDArray[np.float32], lanes: int, codebook: Codebook, buffers: Buffers) -> ResidualQuery:
        """Return what scores stored tokens for a query, (query tokens, dim), on the processor."""
        return ResidualQuery(self, rotated, lanes, codebook, buffers)

    def tokens_on_device(self, segment: CompressedSegment, codebook: Codebook, to_device: Any) -> tuple[Any, ...]:
        """Return what scores the tokens of a segment on a device: tensors that `similarities_on_device` takes."""
        tokens = np.arange(segment.entry.tokens)
        factors = self.factors(segment.token_columns, tokens, codebook)
        # The points keep the common direction only in segments before format 5.
        direction = codebook.direction if "along" in segment.token_columns else np.zeros(self.dim, np.float32)
        residuals = to_device(np.array(segment.token_columns["residuals"]))
        return residuals, to_device(factors), to_device(direction), to_device(codebook.direction)

    def similarities_on_device(self, held: tuple[Any, ...], tokens: Any, centroid_scores: Any, rotated: Any) -> Any:
        """Return dot products of stored tokens with query tokens, (n, query tokens), in the precision of the query.

        Args:
            held: What `tokens_on_device` returned.
            tokens: The numbers of the tokens, (n,).
            centroid_scores: Of the centroid of each token, (n, query tokens).
            rotated: Query tokens, (query tokens, dim).
        """
        residuals, factors, removed, direction = held
        removed, direction = removed.to(rotated.dtype), direction.to(rotated.dtype)
        packed = residuals[tokens]
        shares, scales, alongs = factors[:, tokens, None]
        points = _levels_on_device(packed, self.bits)[:, : self.dim].to(rotated.dtype) - (2 ** (self.bits - 1) - 0.5)
        query = rotated - (rotated @ removed)[:, None] * removed
        return shares * centroid_scores + scales * (points @ query.T) + alongs * (rotated @ direction)


def _levels_on_device(packed: Any, bits: int) -> Any:
    """Return packed levels, (n, width) u8, as a tensor of them, (n, padded dim) u8. See `reference.quantize`."""
    torch = torch_module()
    if bits == 3:
        third = packed.shape[1] // 3
        low, high = _levels_on_device(packed[:, : 2 * third], 2), _levels_on_device(packed[:, 2 * third :], 1)
        return low | (high << 2)
    return torch.cat([(packed >> (plane * bits)) & (2**bits - 1) for plane in range(8 // bits)], dim=1)


def _solved(
    products: NDArray[np.float32], unbiased_scales: NDArray[np.float32], centroids_along: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the shares and scales with which a decoded vector has the right dot products, (n,) each.

    With ``x`` the vector, ``c`` its centroid, ``p`` its point: ``c · (share c + scale p) = c · x`` and
    ``x · (share c + scale p) = x · x``, solved for the difference of the share from 1, which is small.

    Args:
        products: As `reference.inner_products` returns them, (5, n).
        unbiased_scales: The scales for a share of 1, used where the two conditions hardly differ, (n,).
        centroids_along: Components of the centroids in the common direction, (n,).
    """
    centroid_squares, centroid_residuals, centroid_points, residual_points, residual_squares = products
    determinants = centroid_squares * residual_points - centroid_points * centroid_residuals
    is_sound = determinants > _MIN_DETERMINANT * centroid_squares * residual_points
    is_sound &= centroid_squares > _MIN_CENTROID * centroids_along**2
    divisors = np.where(is_sound, determinants, 1)
    missing = (centroid_residuals * residual_points - centroid_points * residual_squares) / divisors
    solved = (centroid_squares * residual_squares - centroid_residuals * centroid_residuals) / divisors
    return np.where(is_sound, 1 + missing, 1), np.where(is_sound & (solved > 0), solved, unbiased_scales)


_NO_ALONG = np.empty(0, np.uint8)
_NO_SHARES = np.ones(1, np.float32)
_NO_ALONGS = np.zeros(256, np.float32)
