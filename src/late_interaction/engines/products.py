"""Products of matrices on one thread.

OpenBLAS, the library behind NumPy's products, starts threads for large ones. They spin while they wait for the next
product, so many products in a row take several times the processor time of one thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["products"]

_MAX_PRODUCTS = 2**19 - 1  # multiplications at a time: OpenBLAS starts a second thread for more


def products(vectors: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``vectors @ others``, (n, m), a few rows at a time.

    Args:
        vectors: (n, dim), C-ordered.
        others: (dim, m), C-ordered.
    """
    found = np.empty((len(vectors), others.shape[1]), np.float32)
    rows = max(1, _MAX_PRODUCTS // max(others.size, 1))
    whole = len(vectors) // rows * rows
    stack = found[:whole].reshape(-1, rows, others.shape[1])
    np.matmul(vectors[:whole].reshape(-1, rows, len(others)), others, out=stack)
    np.matmul(vectors[whole:], others, out=found[whole:])
    return found
