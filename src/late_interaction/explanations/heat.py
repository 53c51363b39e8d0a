"""How strongly the patches of a page stand out for the words of a query.

Where most of a page is text, most patches are a little similar to each word. A patch stands out if it is more similar
than the best patch of an unrelated page and the median patch of its own page, and by more than half as much as the best
patch of its own page is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["Range", "excess", "heat_of_page", "heat_of_word"]

_MIN_REACH = 1e-3  # in an index of equal vectors, unrelated pages have the similarity of the query itself


@dataclass(frozen=True)
class Range:
    """What similarities mean, for every query token vector.

    Attributes:
        null: Similarity that the best patch of an unrelated page has, (query tokens,).
        identity: Similarity of the token vector with the query itself, (query tokens,).
    """

    null: NDArray[np.float32]
    identity: NDArray[np.float32]

    def reach(self, rows: tuple[int, ...]) -> float:
        """Return the greatest excess that a word can have, given the rows of its tokens. Always positive."""
        return max(float((self.identity - self.null)[list(rows)].max()), _MIN_REACH)


def excess(similarities: NDArray[np.float32], limits: Range, rows: tuple[int, ...]) -> NDArray[np.float32]:
    """Return by how much each vector of a page is more similar to a word than an unrelated page is, (vectors,).

    Args:
        similarities: (query tokens, vectors).
        limits: What they mean.
        rows: The tokens of the word.
    """
    chosen = list(rows)
    above = similarities[chosen] - limits.null[chosen][:, None]
    return np.asarray(np.maximum(above.max(axis=0), 0), np.float32)


def heat_of_word(
    similarities: NDArray[np.float32], limits: Range, rows: tuple[int, ...], is_patch: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return how much each patch stands out for one word, (vectors,)."""
    if not is_patch.any():
        return np.zeros(len(is_patch), np.float32)
    usual = np.median(similarities[:, is_patch], axis=1)
    above = excess(similarities, Range(np.maximum(limits.null, usual), limits.identity), rows) * is_patch
    return np.asarray(np.maximum(2 * above - above.max(), 0), np.float32)


def heat_of_page(
    similarities: NDArray[np.float32],
    limits: Range,
    words: Mapping[str, tuple[int, ...]],
    is_patch: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Return how much each patch stands out for all words together, (vectors,): the sum over the words."""
    heat = np.zeros(len(is_patch), np.float32)
    for rows in words.values():
        heat += heat_of_word(similarities, limits, rows, is_patch)
    return heat
