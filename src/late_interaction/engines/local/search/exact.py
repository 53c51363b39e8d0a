"""MaxSim of uncompressed documents, and the selection of the highest scores."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.local.kernels import kernels_of
from late_interaction.engines.parallel import cores
from late_interaction.forking import renew_in_child

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["maxsim", "top_k"]

_kernels = partial(kernels_of, "late_interaction.engines.local.search")

_MIN_PIECE_PRODUCTS = 2**21
"""Dot products for which a further thread is used, at least: about 20 milliseconds of one core."""

_TOGETHER = 4  # tokens that the kernel widens at a time


def maxsim(
    query: NDArray[np.float32], vectors: NDArray[np.float16], offsets: NDArray[np.int64], positions: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Score some documents of a segment by exact MaxSim, many of them on all cores that this process may use.

    Args:
        query: Token vectors of the query, (query tokens, dim).
        vectors: Token vectors of all documents, one document after the other, (tokens, dim).
        offsets: Where each document begins, and where the last ends, (documents + 1,).
        positions: The documents to score, ascending, (n,).

    Returns:
        Scores, (n,). A document without tokens scores 0.
    """
    query = np.ascontiguousarray(query)
    scores = np.empty(len(positions), np.float32)

    def score(start: int, end: int) -> None:
        wide, best = np.empty((_TOGETHER, query.shape[1]), np.float32), np.empty(len(query), np.float32)
        columns = vectors.view(np.uint16), offsets, positions[start:end]
        _kernels().maxsim_sums(query, *columns, wide, best, scores[start:end])

    first, *others = _pieces(len(query), offsets, positions)
    waiting = [_pool().submit(score, *piece) for piece in others]
    score(*first)
    for one in waiting:
        one.result()
    return scores


def _pieces(query_tokens: int, offsets: NDArray[np.int64], positions: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Divide ``positions`` into ranges with about equally many tokens, each as (start, end), one for each thread."""
    most = query_tokens * int(offsets[-1]) // _MIN_PIECE_PRODUCTS
    if most <= 1 or cores() == 1:
        return [(0, len(positions))]
    tokens = np.cumsum(offsets[positions + 1] - offsets[positions])
    count = max(1, min(cores(), query_tokens * int(tokens[-1]) // _MIN_PIECE_PRODUCTS)) if len(tokens) else 1
    cuts = np.searchsorted(tokens, np.linspace(0, tokens[-1], count + 1)[1:-1]).tolist() if count > 1 else []
    return list(pairwise([0, *cuts, len(positions)]))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), thread_name_prefix="late-interaction")


renew_in_child(_pool.cache_clear)  # a forked child does not have the threads of its parent


def top_k(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the positions of the k highest scores, best first; of equal scores, the lower position first."""
    if k < len(scores):
        threshold = np.partition(scores, -k)[-k]
        above = np.flatnonzero(scores > threshold)
        equal_values = np.flatnonzero(scores == threshold)[: k - len(above)]
        chosen = np.concatenate([above, equal_values])
    else:
        chosen = np.arange(len(scores))
    return chosen[np.lexsort((chosen, -scores[chosen]))]
