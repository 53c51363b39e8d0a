"""The coordinates of centroids and residuals: those of the encoder, rotated by a fixed orthogonal matrix.

The rotation makes the coordinates of a residual nearly Gaussian, whatever the encoder.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.local.quantization.residual.grid import compiled_kernels
from late_interaction.engines.products import products

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["rotated", "rotation"]


@cache
def rotation(dim: int) -> NDArray[np.float32]:
    """Return a fixed random orthogonal matrix, (dim, dim): the same on every machine and in every release.

    Part of the format on disk. It is drawn from the raw stream of a bit generator, which NumPy promises to keep, not
    from a distribution, which it does not.
    """
    raw = np.random.PCG64(0).random_raw(dim * dim).reshape(dim, dim)
    return np.ascontiguousarray(_orthogonal((raw >> np.uint64(11)) / 2.0**52 - 1.0), np.float32)


def rotated(vectors: NDArray[np.float16]) -> NDArray[np.float32]:
    """Return finite vectors of the encoder, (n, dim), C-ordered, in rotated coordinates."""
    wide = np.empty(vectors.shape, np.float32)
    compiled_kernels().widen(vectors.view(np.uint16), wide)  # NumPy takes several times as long
    return products(wide, np.ascontiguousarray(rotation(vectors.shape[1]).T))


def _orthogonal(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the orthogonal factor of a square matrix whose triangular factor has a positive diagonal.

    By Gram-Schmidt, each column twice, which is as accurate as LAPACK (Giraud et al., "The loss of orthogonality in the
    Gram-Schmidt orthogonalization process", 2005). LAPACK would wake the threads of BLAS in the first search, where
    they take more time than all of this: 3 milliseconds at 128 dimensions.
    """
    rows = np.ascontiguousarray(columns.T)
    for at, row in enumerate(rows):
        before = rows[:at]
        for _ in range(2):
            row -= np.einsum("i,ij->j", np.einsum("ij,j->i", before, row), before)
        row /= np.sqrt(np.einsum("i,i->", row, row))
    return rows.T
