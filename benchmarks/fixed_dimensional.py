"""Fixed-dimensional encodings of MUVERA (arXiv 2405.19504), the baseline that other engines offer as a first stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from benchmarks.peers.protocol import Columns

__all__ = ["fde_scores"]

_REPETITIONS, _PLANES, _PROJECTED = 10, 5, 16  # 10 · 2**5 · 16 = 5,120 dimensions
_BLOCK_TOKENS = 16_384


class _Encoding:
    """Encodes documents and queries; space is divided around the mean of the document tokens."""

    def __init__(self, mean: np.ndarray) -> None:
        rng = np.random.default_rng(0)
        self.mean = mean
        self.planes = rng.normal(size=(_REPETITIONS, len(mean), _PLANES)).astype(np.float32)
        signs = rng.choice([-1, 1], size=(_REPETITIONS, len(mean), _PROJECTED))
        self.projections = (signs / np.sqrt(_PROJECTED)).astype(np.float32)
        cells = np.arange(2**_PLANES)
        self.hamming = np.array([[(one ^ other).bit_count() for other in cells.tolist()] for one in cells.tolist()])

    def documents(self, tokens: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Return the encodings of documents with tokens, (documents, 5120): the mean in each cell.

        A cell without tokens gets the token that is in the nearest cell.
        """
        owners = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        return self._encoded(tokens, owners, offsets)

    def queries(self, queries: list[np.ndarray]) -> np.ndarray:
        """Return the encodings of queries, (queries, 5120): the sum in each cell."""
        owners = np.repeat(np.arange(len(queries)), [len(query) for query in queries])
        return self._encoded(np.concatenate(queries), owners, None)

    def _encoded(self, tokens: np.ndarray, owners: np.ndarray, offsets: np.ndarray | None) -> np.ndarray:
        count, cells = int(owners[-1]) + 1, 2**_PLANES
        found = np.empty((count, _REPETITIONS, cells, _PROJECTED), np.float32)
        for at in range(_REPETITIONS):
            cell = ((tokens - self.mean) @ self.planes[at] > 0) @ (1 << np.arange(_PLANES))
            projected = tokens @ self.projections[at]
            keys = owners * cells + cell
            sums = np.stack([np.bincount(keys, column, count * cells) for column in projected.T], axis=1)
            if offsets is not None:
                numbers = np.bincount(keys, minlength=count * cells)
                sums /= np.maximum(numbers, 1)[:, None]
                nearest = self.hamming[cell] * len(tokens) + np.arange(len(tokens))[:, None]
                filling = np.minimum.reduceat(nearest, offsets[:-1], axis=0).ravel() % len(tokens)
                sums = np.where((numbers == 0)[:, None], projected[filling], sums)
            found[:, at] = sums.reshape(count, cells, _PROJECTED)
        return found.reshape(count, -1)


def fde_scores(columns: Columns) -> np.ndarray:
    """Return the dot products of the encodings of queries and documents, (queries, documents). All have tokens."""
    step = max(1, len(columns.tokens) // 100_000)
    encoding = _Encoding(columns.tokens[::step].astype(np.float32).mean(axis=0))
    queries = encoding.queries(columns.queries)
    scores = np.empty((len(queries), columns.documents), np.float32)
    first = 0
    while first < columns.documents:
        begin = columns.offsets[first]
        last = max(first + 1, int(np.searchsorted(columns.offsets, begin + _BLOCK_TOKENS)) - 1)
        offsets = columns.offsets[first : last + 1]
        encoded = encoding.documents(columns.tokens[begin : offsets[-1]].astype(np.float32), offsets - begin)
        scores[:, first:last] = queries @ encoded.T
        first = last
    return scores
