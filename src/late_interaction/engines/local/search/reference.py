"""The kernel that scores uncompressed documents in plain NumPy: the definition that the compiled one is tested against.

The columns of tokens are flat: document ``d`` has the tokens ``offsets[d]:offsets[d + 1]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["maxsim_sums"]


def maxsim_sums(
    query: NDArray[np.float32], vectors: NDArray[np.float16], offsets: NDArray[np.int64], documents: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Score some documents by MaxSim: the sum, over query tokens, of the highest dot product with a token.

    Khattab & Zaharia, "ColBERT", SIGIR 2020, equation 3. The compiled kernel takes the bits of ``vectors`` (u16), and
    memory to work in: four vectors, (4, dim), and the best dot product of each query token, (query tokens,).

    Args:
        query: Token vectors of the query, (query tokens, dim).
        vectors: Token vectors of all documents, (tokens, dim).
        offsets: Where each document begins, and where the last ends, (documents + 1,).
        documents: Numbers of the documents to score, (n,).

    Returns:
        Scores in double precision, (n,). A document without tokens scores 0.
    """
    wide, dots = vectors.astype(np.float64), query.astype(np.float64)
    scores = [
        (dots @ wide[offsets[d] : offsets[d + 1]].T).max(axis=1).sum() if offsets[d] < offsets[d + 1] else 0.0
        for d in documents
    ]
    return np.array(scores, np.float64)
