"""MaxSim of uncompressed documents, its definition, and the selection of the highest scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.libraries import torch_module

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["maxsim", "maxsim_reference", "top_k"]

_BLOCK_TOKENS = 8192  # token vectors scored at a time: 12 MB of float32 at 384 dimensions


def maxsim(
    query: NDArray[np.float32], vectors: NDArray[np.float16], offsets: NDArray[np.int64], positions: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Score some documents of a segment by exact MaxSim, on all the cores that torch may use.

    The float16 columns are converted to float32 block by block. Torch converts about thirty times as fast as NumPy, and
    CPUs without half-precision units multiply float32 far faster than float16.

    Args:
        query: Token vectors of the query, (query tokens, dim).
        vectors: Token vectors of all documents, one document after the other, (tokens, dim).
        offsets: Where each document begins, and where the last ends, (documents + 1,).
        positions: The documents to score, ascending, (n,).

    Returns:
        Scores, (n,). A document without tokens scores 0.
    """
    torch = torch_module()
    scores = np.zeros(len(positions), np.float32)
    starts, ends = offsets[positions], offsets[positions + 1]
    lengths = ends - starts
    filled = np.flatnonzero(lengths)
    if not len(filled) or not len(query):
        return scores
    starts, ends, lengths = starts[filled], ends[filled], lengths[filled]
    cumulative = np.concatenate([[0], np.cumsum(lengths)])
    tokens_of_query = torch.from_numpy(query).T
    first = 0
    while first < len(filled):
        last = max(first + 1, int(np.searchsorted(cumulative, cumulative[first] + _BLOCK_TOKENS, side="right")) - 1)
        contiguous = ends[last - 1] - starts[first] == cumulative[last] - cumulative[first]
        block = (
            vectors[starts[first] : ends[last - 1]]
            if contiguous
            else np.concatenate(
                [vectors[start:end] for start, end in zip(starts[first:last], ends[first:last], strict=True)]
            )
        )
        similarities = (torch.from_numpy(block).float() @ tokens_of_query).numpy()
        best = np.maximum.reduceat(similarities, cumulative[first:last] - cumulative[first], axis=0)
        scores[filled[first:last]] = best.sum(axis=1)
        first = last
    return scores


def maxsim_reference(query: NDArray[np.floating], document: NDArray[np.floating]) -> float:
    """Score one document by the definition of MaxSim: the sum, over query tokens, of the highest dot product.

    Khattab & Zaharia, "ColBERT", SIGIR 2020, equation 3.
    """
    if not len(document):
        return 0.0
    return float((query.astype(np.float64) @ document.astype(np.float64).T).max(axis=1).sum())


def top_k(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the positions of the k highest scores, best first; of equal scores, the lower position first."""
    if k < len(scores):
        threshold = torch_module().topk(torch_module().from_numpy(scores), k, sorted=False).values.min().numpy()
        above = np.flatnonzero(scores > threshold)
        equal_values = np.flatnonzero(scores == threshold)[: k - len(above)]
        chosen = np.concatenate([above, equal_values])
    else:
        chosen = np.arange(len(scores))
    return chosen[np.lexsort((chosen, -scores[chosen]))]
