"""The search plan.

Uncompressed documents are scored exactly. Compressed ones are scored in stages, each more accurate and more expensive:

1. coarsely, from a few bits for the centroid of each token;
2. from the scores of these centroids;
3. from the residual of one token for each query token;
4. exactly, from the residuals of all tokens.

The score of the k-th best document and the corrections from one stage to the next determine which other documents may
be among the k best. Only these are rescored, so the score of every hit is exact. Filters and deletions come before all
stages: documents that do not pass cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.local.search.device import DeviceQuery
from late_interaction.engines.local.search.exact import maxsim, top_k
from late_interaction.engines.local.storage.segment import CompressedSegment, UncompressedSegment
from late_interaction.forking import imports
from late_interaction.profiling import stage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from late_interaction.engines.local.catalog.reader import Place
    from late_interaction.engines.local.search.cpu import CpuQuery
    from late_interaction.engines.local.search.device import Device
    from late_interaction.engines.local.snapshot import Snapshot

__all__ = ["search"]

_FIRST_DOCUMENTS, _FIRST_DOCUMENTS_PER_HIT = (256, 64, 64), (4, 2, 2)
"""Documents scored first in each stage after the coarse one: at least this many, or this many for each of the k hits.

The last two stages score the same documents. If the last one scored only the best of the third, their corrections would
be smaller than those of other documents, and so no estimate for them.
"""

_MAX_RESCORED_DOCUMENTS = 4096
"""Maximum number of further documents scored in each stage."""

_MARGIN_DEVIATIONS = (3.5, 3.5, 3.5)
"""Margin for rescoring a candidate, in standard deviations of the score correction, by stage (`benchmarks.recall`)."""

_SHARED_MARGIN_DEVIATIONS = (3.5, 4.5, 4.5)
"""The same where all vectors share a direction: with margins as above, the last two stages miss more there."""


def search(
    query: NDArray[np.float32],
    snapshot: Snapshot,
    positions: Mapping[int, NDArray[np.int64]],
    k: int,
    device: Device | None = None,
) -> list[tuple[Place, float]]:
    """Return the k best documents at some positions of each segment with their exact scores, best first.

    Of documents with equal scores, the older is first.

    Args:
        query: Token vectors, (query tokens, dim).
        snapshot: The segments of one commit.
        positions: By segment number, the ascending positions of the documents to search.
        k: How many documents to return; fewer if there are fewer.
        device: Scores compressed documents; None for the processor.
    """
    numbers: list[NDArray[np.int64]] = []
    places: list[NDArray[np.int64]] = []
    scores: list[NDArray[np.float32]] = []
    compressed = {}
    with stage("exact segments"):
        for number, at in positions.items():
            segment = snapshot.segments[number]
            if isinstance(segment, UncompressedSegment):
                numbers.append(np.full(len(at), number))
                places.append(at)
                scores.append(maxsim(query, segment.vectors, segment.offsets, at))
            elif isinstance(segment, CompressedSegment) and len(at):
                compressed[number] = segment, at
    if compressed:
        found = _search_compressed(query, snapshot, compressed, k, device)
        numbers.append(found[0])
        places.append(found[1])
        scores.append(found[2])
    if not numbers:
        return []
    return _best(np.concatenate(numbers), np.concatenate(places), np.concatenate(scores), k)


def _search_compressed(
    query: NDArray[np.float32],
    snapshot: Snapshot,
    compressed: Mapping[int, tuple[CompressedSegment, NDArray[np.int64]]],
    k: int,
    device: Device | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return segment numbers, positions and exact scores of compressed documents, among them the k best."""
    codec, codebook = snapshot.coding
    numbers = np.repeat(list(compressed), [len(at) for _, at in compressed.values()])
    places = np.concatenate([at for _, at in compressed.values()])
    if not len(query):
        return numbers, places, np.zeros(len(places), np.float32)
    with stage("centroid scores"):
        scored_query = (
            _cpu_query_type()(query, codebook, codec) if device is None else DeviceQuery(query, codebook, codec, device)
        )
    documents = _Chosen(scored_query, compressed, numbers, places)
    if len(places) <= max(_FIRST_DOCUMENTS[-1], k):
        return numbers, places, documents.exact(np.arange(len(places)))
    with stage("scan"):
        sketched = scored_query.sketched(list(compressed.values()))
    margins = _MARGIN_DEVIATIONS if codebook.stretch == 1 else _SHARED_MARGIN_DEVIATIONS
    scores = _best_scores(documents, sketched, k, margins)
    known = np.flatnonzero(np.isfinite(scores))
    return numbers[known], places[known], scores[known]


@cache
def _cpu_query_type() -> type[CpuQuery]:
    """Return the class. It is imported late, since loading compiled kernels takes a second."""
    with imports:
        from late_interaction.engines.local.search.cpu import CpuQuery

        return CpuQuery


def _best_scores(
    documents: _Chosen, sketched: NDArray[np.float32], k: int, margins: tuple[float, ...]
) -> NDArray[np.float32]:
    """Return exact scores, given the coarse ones; minus infinity for documents that cannot be among the k best.

    Args:
        documents: The documents.
        sketched: Their coarse scores, (n,).
        k: How many are wanted.
        margins: By stage, the deviations of the corrections by which a document may fall short.
    """
    stages = (("approximate", documents.approximate), ("refine", documents.refined), ("rerank", documents.exact))
    scores = [sketched, *(np.full(len(sketched), -np.inf, np.float32) for _ in stages)]

    def score(number: int, chosen: NDArray[np.int64]) -> None:
        name, function = stages[number]
        with stage(name):
            scores[number + 1][chosen] = function(chosen)

    chosen = np.arange(len(sketched))
    for number, first in enumerate(_FIRST_DOCUMENTS):
        chosen = chosen[top_k(scores[number][chosen], max(first, _FIRST_DOCUMENTS_PER_HIT[number] * k))]
        score(number, chosen)
    kth_score = np.partition(scores[-1][chosen], -k)[-k]
    corrections = [
        better[known] - worse[known] for worse, better in pairwise(scores) for known in [np.isfinite(better)]
    ]
    for number in range(len(stages)):
        margin = sum(correction.mean() for correction in corrections[number:])
        margin += margins[number] * np.sqrt(sum(correction.var() for correction in corrections[number:]))
        margin = max(margin, (scores[-1][chosen] - scores[number][chosen]).max())
        candidates = np.flatnonzero((scores[number] + margin >= kth_score) & np.isinf(scores[number + 1]))
        if len(candidates) > _MAX_RESCORED_DOCUMENTS:
            candidates = candidates[top_k(scores[number][candidates], _MAX_RESCORED_DOCUMENTS)]
        score(number, candidates)
    return scores[-1]


@dataclass(frozen=True)
class _Chosen:
    """Compressed documents of several segments, numbered from 0 in one list.

    Attributes:
        query: Scores documents of a segment.
        compressed: By segment number, the segment and its positions.
        numbers: The segment number of each document, (n,).
        places: The position of each document in its segment, (n,).
    """

    query: CpuQuery | DeviceQuery
    compressed: Mapping[int, tuple[CompressedSegment, NDArray[np.int64]]]
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
        score: Callable[[CompressedSegment, NDArray[np.int64]], NDArray[np.float32]],
        chosen: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        scores = np.empty(len(chosen), np.float32)
        for number, (segment, _) in self.compressed.items():
            here = np.flatnonzero(self.numbers[chosen] == number)
            here = here[np.argsort(self.places[chosen[here]])]  # files are read in order
            if len(here):
                scores[here] = score(segment, self.places[chosen[here]])
        return scores


def _best(
    numbers: NDArray[np.int64], places: NDArray[np.int64], scores: NDArray[np.float32], k: int
) -> list[tuple[Place, float]]:
    order = np.lexsort((places, numbers))
    chosen = order[top_k(scores[order], k)]
    return [((int(numbers[at]), int(places[at])), float(scores[at])) for at in chosen]
