"""The search plan.

Exact documents are scored exactly. Of compressed ones, all get an approximate score from the centroids of their tokens
alone; then, best first, their residuals are counted too, until the rest have no chance to be among the k best. Filters
and deletions come before: what is not asked for is not looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.local.kernels import maxsim, top_k
from late_interaction.engines.local.segment import CodedSegment, FlatSegment
from late_interaction.profiling import stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from late_interaction.engines.local.rows import Place
    from late_interaction.engines.local.scoring import CodedQuery
    from late_interaction.engines.local.snapshot import Snapshot

__all__ = ["search"]

_MIN_CANDIDATES = 128
_MAX_CANDIDATES = 1024
_CANDIDATES_PER_HIT = 2
_BATCH = 128
"""Documents whose residuals are counted: at first, at most (or eight times k), by hit wanted, and at a time."""

_DEVIATIONS = 2.5
"""How many standard deviations more than others a document's residuals may add to its approximate score."""


def search(
    query: NDArray[np.float32], snapshot: Snapshot, positions: Mapping[int, NDArray[np.int64]], k: int
) -> list[tuple[Place, float]]:
    """The k best of the documents at some positions of each segment, best first; of equal ones the older is first."""
    numbers: list[NDArray[np.int64]] = []
    places: list[NDArray[np.int64]] = []
    scores: list[NDArray[np.float32]] = []
    coded = {}
    with stage("exact segments"):
        for number, at in positions.items():
            segment = snapshot.segments[number]
            if isinstance(segment, FlatSegment):
                numbers.append(np.full(len(at), number))
                places.append(at)
                scores.append(maxsim(query, segment.vectors, segment.offsets, at))
            elif isinstance(segment, CodedSegment) and len(at):
                coded[number] = segment, at
    if coded:
        found = _search_coded(query, snapshot, coded, k)
        for column, more in zip((numbers, places, scores), found, strict=True):
            column.append(more)
    if not numbers:
        return []
    return _best(np.concatenate(numbers), np.concatenate(places), np.concatenate(scores), k)


def _search_coded(
    query: NDArray[np.float32],
    snapshot: Snapshot,
    coded: Mapping[int, tuple[CodedSegment, NDArray[np.int64]]],
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Segment numbers, positions and scores of compressed documents, among them the k best."""
    from late_interaction.engines.local.scoring import CodedQuery

    codec, codebook = snapshot.coding
    with stage("centroid scores"):
        coded_query = CodedQuery(query, codebook, codec)
    numbers = np.repeat(list(coded), [len(at) for _, at in coded.values()])
    places = np.concatenate([at for _, at in coded.values()])
    if len(places) <= max(_MIN_CANDIDATES, _CANDIDATES_PER_HIT * k):
        order = np.arange(len(places))
        return numbers, places, _exact(coded_query, coded, numbers, places, order)
    with stage("scan"):
        approximate = coded_query.approximate(list(coded.values()))
        order = top_k(approximate, max(_MAX_CANDIDATES, 8 * k))
    with stage("rerank"):
        scores = _rerank(coded_query, coded, numbers, places, approximate, order, k)
    order = order[: len(scores)]
    return numbers[order], places[order], scores


def _rerank(
    query: CodedQuery,
    coded: Mapping[int, tuple[CodedSegment, NDArray[np.int64]]],
    numbers: NDArray[np.int64],
    places: NDArray[np.int64],
    approximate: NDArray[np.float32],
    order: NDArray[np.int64],
    k: int,
) -> NDArray[np.float32]:
    """Scores of documents in descending order of their approximate ones, as far as one may still be among the k best.

    How much residuals add is alike for the documents of a query: its mean and deviation over those last seen say what
    the next may reach at most.
    """
    scores = np.empty(0, np.float32)
    size = max(_MIN_CANDIDATES, _CANDIDATES_PER_HIT * k)
    while len(scores) < len(order):
        batch = order[len(scores) : len(scores) + size]
        scores = np.concatenate([scores, _exact(query, coded, numbers, places, batch)])
        size = max(_BATCH, k)
        if len(scores) < min(len(order), k):
            continue
        added = scores[-len(batch) :] - approximate[batch]
        reach = added.mean() + _DEVIATIONS * added.std()
        threshold = np.partition(scores, -k)[-k]
        if len(scores) < len(order) and approximate[order[len(scores)]] + reach < threshold:
            break
    return scores


def _exact(
    query: CodedQuery,
    coded: Mapping[int, tuple[CodedSegment, NDArray[np.int64]]],
    numbers: NDArray[np.int64],
    places: NDArray[np.int64],
    chosen: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Scores of chosen documents from all that is stored of them, (n,)."""
    scores = np.empty(len(chosen), np.float32)
    for number, (segment, _) in coded.items():
        here = np.flatnonzero(numbers[chosen] == number)
        here = here[np.argsort(places[chosen[here]])]  # in the order of the files
        if len(here):
            scores[here] = query.exact(segment, places[chosen[here]])
    return scores


def _best(
    numbers: NDArray[np.int64], places: NDArray[np.int64], scores: NDArray[np.float32], k: int
) -> list[tuple[Place, float]]:
    order = np.lexsort((places, numbers))
    chosen = order[top_k(scores[order], k)]
    return [((int(numbers[at]), int(places[at])), float(scores[at])) for at in chosen]
