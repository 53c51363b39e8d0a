"""The search plan.

Exact documents are scored exactly. Compressed ones in three rounds: all by the centroids of their tokens alone; the
best of them again, by what one token adds for each query token; and, best first, by all their tokens, until the rest
have no chance to be among the k best. Filters and deletions come before: what is not asked for is not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.local.device import DeviceQuery
from late_interaction.engines.local.kernels import maxsim, top_k
from late_interaction.engines.local.segment import CodedSegment, FlatSegment
from late_interaction.profiling import stage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from late_interaction.engines.local.device import Device
    from late_interaction.engines.local.rows import Place
    from late_interaction.engines.local.scoring import CodedQuery
    from late_interaction.engines.local.snapshot import Snapshot

__all__ = ["search"]

_SCANNED = 8192
"""Of so many documents of the best approximate scores some may be refined."""

_REFINE_BATCH, _REFINE_RANK, _REFINE_DEVIATIONS = 512, 128, 5.0
_EXACT_BATCH, _EXACT_DEVIATIONS = 64, 6.0
"""How many documents a round scores at a time, and by how many standard deviations more than others of the query the
next may gain for the round to go on. See `benchmarks.recall`."""


def search(
    query: NDArray[np.float32],
    snapshot: Snapshot,
    positions: Mapping[int, NDArray[np.int64]],
    k: int,
    device: Device | None = None,
) -> list[tuple[Place, float]]:
    """The k best of the documents at some positions of each segment, best first; of equal ones the older is first.

    Compressed ones are scored on the device, if there is one.
    """
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
        found = _search_coded(query, snapshot, coded, k, device)
        numbers.append(found[0])
        places.append(found[1])
        scores.append(found[2])
    if not numbers:
        return []
    return _best(np.concatenate(numbers), np.concatenate(places), np.concatenate(scores), k)


def _search_coded(
    query: NDArray[np.float32],
    snapshot: Snapshot,
    coded: Mapping[int, tuple[CodedSegment, NDArray[np.int64]]],
    k: int,
    device: Device | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Segment numbers, positions and scores of compressed documents, among them the k best."""
    from late_interaction.engines.local.scoring import CodedQuery  # compiled kernels take a moment to import

    codec, codebook = snapshot.coding
    numbers = np.repeat(list(coded), [len(at) for _, at in coded.values()])
    places = np.concatenate([at for _, at in coded.values()])
    if not len(query):
        return numbers, places, np.zeros(len(places), np.float32)
    with stage("centroid scores"):
        coded_query = (
            CodedQuery(query, codebook, codec) if device is None else DeviceQuery(query, codebook, codec, device)
        )
    documents = _Chosen(coded_query, coded, numbers, places)
    order = np.arange(len(places))
    if len(order) <= max(_EXACT_BATCH, k):
        return numbers, places, documents.exact(order)
    with stage("scan"):
        approximate = coded_query.approximate(list(coded.values()))
        order = top_k(approximate, max(_SCANNED, 16 * k))
    with stage("refine"):
        refined = _round(
            documents.refined, order, approximate[order], max(_REFINE_RANK, 2 * k), _REFINE_BATCH, _REFINE_DEVIATIONS
        )
        best_first = np.argsort(-refined, kind="stable")
        order, refined = order[best_first], refined[best_first]
    with stage("rerank"):
        scores = _round(documents.exact, order, refined, k, _EXACT_BATCH, _EXACT_DEVIATIONS)
    order = order[: len(scores)]
    return numbers[order], places[order], scores


@dataclass(frozen=True)
class _Chosen:
    """Compressed documents of several segments, by their numbers in one list."""

    query: CodedQuery | DeviceQuery
    coded: Mapping[int, tuple[CodedSegment, NDArray[np.int64]]]
    numbers: NDArray[np.int64]
    places: NDArray[np.int64]

    def refined(self, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._scores(self.query.refined, chosen)

    def exact(self, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._scores(self.query.exact, chosen)

    def _scores(
        self,
        score: Callable[[CodedSegment, NDArray[np.int64]], NDArray[np.float32]],
        chosen: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        scores = np.empty(len(chosen), np.float32)
        for number, (segment, _) in self.coded.items():
            here = np.flatnonzero(self.numbers[chosen] == number)
            here = here[np.argsort(self.places[chosen[here]])]  # in the order of the files
            if len(here):
                scores[here] = score(segment, self.places[chosen[here]])
        return scores


def _round(
    score: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    order: NDArray[np.int64],
    estimates: NDArray[np.float32],
    k: int,
    size: int,
    deviations: float,
) -> NDArray[np.float32]:
    """Better scores of documents, best estimates first, as far as one may still be among the k best.

    What the better score adds to the estimate is alike for the documents of a query: its mean and deviation over those
    last seen say what the next may reach.
    """
    scores = np.empty(0, np.float32)
    while len(scores) < len(order):
        batch = slice(len(scores), len(scores) + max(size, k))
        scores = np.concatenate([scores, score(order[batch])])
        added = scores[batch] - estimates[batch]
        reach = added.mean() + deviations * added.std()
        if len(scores) < len(order) and estimates[len(scores)] + reach < np.partition(scores, -k)[-k]:
            break
    return scores


def _best(
    numbers: NDArray[np.int64], places: NDArray[np.int64], scores: NDArray[np.float32], k: int
) -> list[tuple[Place, float]]:
    order = np.lexsort((places, numbers))
    chosen = order[top_k(scores[order], k)]
    return [((int(numbers[at]), int(places[at])), float(scores[at])) for at in chosen]
