"""The search plan.

Uncompressed documents are scored exactly. Compressed ones are scored in stages, each more accurate and more expensive:
coarsely, from a few bits for the centroid of each token; by these centroids; by what one token adds for each query
token; and exactly, by all tokens. The score of the k-th best document, and the corrections from one stage to the next,
tell which others may still be among the k best; only these are rescored. So the score of every hit is exact. Filters
and deletions come before all stages: documents that are not asked for cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.local.search.device import DeviceQuery
from late_interaction.engines.local.search.exact import maxsim, top_k
from late_interaction.engines.local.storage.segment import CodedSegment, FlatSegment
from late_interaction.forking import imports
from late_interaction.profiling import stage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from late_interaction.engines.local.catalog.reader import Place
    from late_interaction.engines.local.search.cpu import CodedQuery
    from late_interaction.engines.local.search.device import Device
    from late_interaction.engines.local.snapshot import Snapshot

__all__ = ["search"]

_FIRST, _FIRST_PER_HIT = (256, 64, 64), (4, 2, 2)
"""Documents scored first in each stage after the coarse one: at least this many, or this many for each of the k hits.

The last two stages score the same ones: the best of the refined would gain less from the last stage than others do."""

_MAX_RESCORED_DOCUMENTS = 4096
"""Documents scored after these in each stage, at most."""

_DEVIATIONS = 3.5
"""Margin, in standard deviations of the score correction, for rescoring a candidate. See `benchmarks.recall`."""


def search(
    query: NDArray[np.float32],
    snapshot: Snapshot,
    positions: Mapping[int, NDArray[np.int64]],
    k: int,
    device: Device | None = None,
) -> list[tuple[Place, float]]:
    """Return the k best of the documents at some positions of each segment, with their exact scores, best first.

    Of equal documents the older is first. Compressed ones are scored on the device, if there is one.
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
    """Return segment numbers, positions and exact scores of compressed documents, among them the k best."""
    codec, codebook = snapshot.coding
    numbers = np.repeat(list(coded), [len(at) for _, at in coded.values()])
    places = np.concatenate([at for _, at in coded.values()])
    if not len(query):
        return numbers, places, np.zeros(len(places), np.float32)
    with stage("centroid scores"):
        coded_query = (
            _coded_query_type()(query, codebook, codec)
            if device is None
            else DeviceQuery(query, codebook, codec, device)
        )
    documents = _Chosen(coded_query, coded, numbers, places)
    if len(places) <= max(_FIRST[-1], k):
        return numbers, places, documents.exact(np.arange(len(places)))
    with stage("scan"):
        sketched = coded_query.sketched(list(coded.values()))
    scores = _best_scores(documents, sketched, k)
    known = np.flatnonzero(np.isfinite(scores))
    return numbers[known], places[known], scores[known]


@cache
def _coded_query_type() -> type[CodedQuery]:
    """Return the class, imported late: compiled kernels take a moment."""
    with imports:
        from late_interaction.engines.local.search.cpu import CodedQuery

        return CodedQuery


def _best_scores(documents: _Chosen, sketched: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """Return exact scores, given the coarse ones; minus infinity for documents that are out of reach."""
    stages = (("approximate", documents.approximate), ("refine", documents.refined), ("rerank", documents.exact))
    scores = [sketched, *(np.full(len(sketched), -np.inf, np.float32) for _ in stages)]

    def score(number: int, chosen: NDArray[np.int64]) -> None:
        name, function = stages[number]
        with stage(name):
            scores[number + 1][chosen] = function(chosen)

    chosen = np.arange(len(sketched))
    for number, first in enumerate(_FIRST):
        chosen = chosen[top_k(scores[number][chosen], max(first, _FIRST_PER_HIT[number] * k))]
        score(number, chosen)
    least = np.partition(scores[-1][chosen], -k)[-k]
    gains = [better[known] - worse[known] for worse, better in pairwise(scores) for known in [np.isfinite(better)]]
    for number in range(len(stages)):
        reach = sum(gain.mean() for gain in gains[number:])
        reach += _DEVIATIONS * np.sqrt(sum(gain.var() for gain in gains[number:]))
        reach = max(reach, (scores[-1][chosen] - scores[number][chosen]).max())
        candidates = np.flatnonzero((scores[number] + reach >= least) & np.isinf(scores[number + 1]))
        if len(candidates) > _MAX_RESCORED_DOCUMENTS:
            candidates = candidates[top_k(scores[number][candidates], _MAX_RESCORED_DOCUMENTS)]
        score(number, candidates)
    return scores[-1]


@dataclass(frozen=True)
class _Chosen:
    """Compressed documents of several segments, by their numbers in one list."""

    query: CodedQuery | DeviceQuery
    coded: Mapping[int, tuple[CodedSegment, NDArray[np.int64]]]
    numbers: NDArray[np.int64]
    places: NDArray[np.int64]

    def approximate(self, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._scores(self.query.approximate, chosen)

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


def _best(
    numbers: NDArray[np.int64], places: NDArray[np.int64], scores: NDArray[np.float32], k: int
) -> list[tuple[Place, float]]:
    order = np.lexsort((places, numbers))
    chosen = order[top_k(scores[order], k)]
    return [((int(numbers[at]), int(places[at])), float(scores[at])) for at in chosen]
