"""Run the work of one query on several cores. Kernels release the GIL, so threads suffice."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.libraries import torch_module
from late_interaction.forking import renew_in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["pieces", "run"]

_MIN_PIECE_TOKENS = 2**18  # half a millisecond of scanning: for fewer, starting a thread costs more than it saves


def pieces(offsets: NDArray[np.int64], positions: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Divide ``positions`` into ranges with about equally many tokens, one for each thread that torch may use.

    Args:
        offsets: Where each document of the segment begins, and where the last ends, (documents + 1,).
        positions: Documents of the segment, ascending, (n,).

    Returns:
        Ranges of ``positions``, each as (start, end).
    """
    tokens = np.cumsum(offsets[positions + 1] - offsets[positions])
    count = min(torch_module().get_num_threads(), max(1, int(tokens[-1]) // _MIN_PIECE_TOKENS))
    cuts = np.searchsorted(tokens, np.linspace(0, tokens[-1], count + 1)[1:-1]).tolist()
    edges = [0, *cuts, len(positions)]
    return [(start, end) for start, end in pairwise(edges) if start < end]


def run(tasks: Sequence[Callable[[], None]]) -> None:
    """Run tasks concurrently, the first in the calling thread."""
    others = [_pool().submit(task) for task in tasks[1:]] if len(tasks) > 1 else []
    for task in tasks[:1]:
        task()
    for other in others:
        other.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="late-interaction")


renew_in_child(_pool.cache_clear)  # a forked child does not have the threads of its parent
