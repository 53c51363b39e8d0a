"""Documents that recombine spans of real tokens, and their exact scores.

A document is two to seven spans of 8 to 24 consecutive tokens, 72 tokens on average. Each token keeps its vector, so a
large collection needs neither an encoder nor its vectors: the dot products of the real tokens give the MaxSim of all
documents, and compressed columns are copied.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np

_SPANS, _LENGTHS = (2, 8), (8, 25)  # of a document, of a span; the last is excluded
_MEAN_TOKENS = 72


@dataclass(frozen=True)
class Spans:
    """Documents as spans of a flat list of tokens.

    Attributes:
        starts: The first token of each span.
        lengths: Its number of tokens.
        offsets: The first span of each document, and the end of the last, (documents + 1,).
    """

    starts: np.ndarray
    lengths: np.ndarray
    offsets: np.ndarray

    @classmethod
    def drawn(cls, tokens: int, given: int) -> Spans:
        """Return documents of about this many tokens in all, drawn from the given ones; the same each time."""
        rng = np.random.default_rng(tokens)
        counts = rng.integers(*_SPANS, max(1, tokens // _MEAN_TOKENS))
        offsets = np.concatenate([[0], np.cumsum(counts)])
        starts = rng.integers(given - _LENGTHS[1], size=offsets[-1])
        return cls(starts, rng.integers(*_LENGTHS, len(starts)), offsets)

    @property
    def documents(self) -> int:
        """The number of documents."""
        return len(self.offsets) - 1

    @property
    def tokens(self) -> int:
        """The number of tokens."""
        return int(self.lengths.sum())

    def rows(self, first: int, last: int) -> tuple[list[int], np.ndarray]:
        """Return the lengths of some documents, and which token each of theirs is."""
        begin, end = self.offsets[first], self.offsets[last]
        starts, lengths = self.starts[begin:end], self.lengths[begin:end]
        before = np.cumsum(lengths) - lengths
        ends = np.concatenate([[0], np.cumsum(lengths)])[self.offsets[first : last + 1] - begin]
        return np.diff(ends).tolist(), np.arange(lengths.sum()) + np.repeat(starts - before, lengths)

    def scores(self, products: np.ndarray) -> np.ndarray:
        """Return the MaxSim of all documents, given the dot products of the given and the query's tokens."""
        scores = np.empty(self.documents, np.float32)
        _sum_of_greatest(
            products, self.starts, self.lengths, self.offsets, np.empty(products.shape[1], np.float32), scores
        )
        return scores


@nb.njit(cache=True, nogil=True)
def _sum_of_greatest(products, starts, lengths, offsets, greatest, scores):
    for document in range(len(scores)):
        greatest[:] = -np.inf
        for span in range(offsets[document], offsets[document + 1]):
            for token in range(starts[span], starts[span] + lengths[span]):
                row = products[token]
                for lane in range(len(greatest)):
                    greatest[lane] = max(greatest[lane], row[lane])
        scores[document] = greatest.sum()
