"""The search plan.

Uncompressed documents are scored exactly. Compressed ones are scored in stages, each more accurate and more expensive:

1. coarsely, from a few bits for the centroid of each token;
2. from the scores of these centroids;
3. from the residual of one token for each query token;
4. exactly, from the residuals of all tokens.

The score of the k-th best document and the corrections from one stage to the next determine which other documents may
be among the k best. Only these are rescored, so the score of every hit is exact. Filters and deletions come before all
stages.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np

from late_interaction.engines.local.search.buffers import borrowed
from late_interaction.engines.local.search.cpu import CpuQuery
from late_interaction.engines.local.search.device_query import DeviceQuery
from late_interaction.engines.local.search.exact import maxsim
from late_interaction.profiling import stage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from late_interaction.engines.local.catalog.reader import Place
    from late_interaction.engines.local.search.device import Device
    from late_interaction.engines.local.search.selection import Selection
    from late_interaction.engines.local.snapshot import Snapshot

__all__ = ["search"]

_FIRST_DOCUMENTS, _FIRST_DOCUMENTS_PER_HIT = (512, 192, 64), (4, 2, 1)
"""Documents scored first in each stage after the coarse one: at least this many, or this many for each of k hits."""

_SCANNED_FROM = 4
"""Up to this many times as many documents as are scored first in the second stage, there is no coarse stage."""

_MAX_RESCORED_DOCUMENTS = 4096
"""Maximum number of further documents that the coarse stage gives to the second."""

_MIN_DEVIATION = 1e-30  # so that an infinite margin stays one

_GROUP_DOCUMENTS = 32
"""Documents scored exactly at a time, the most hopeful first, at least."""

_MARGIN_DEVIATIONS = (3.5, 3.5, 6.0)
"""Margin for rescoring a candidate, in standard deviations of the score correction, by stage (`benchmarks.recall`).

For more than ten hits it is smaller: a hit that is missed then is one of more.
"""


def search(
    query: NDArray[np.float32], snapshot: Snapshot, selection: Selection, k: int, device: Device | None = None
) -> list[tuple[Place, float]]:
    """Return the k best documents of a selection with their exact scores, best first.

    Of documents with equal scores, the older is first.

    Args:
        query: Token vectors, (query tokens, dim).
        snapshot: The segments of one commit.
        selection: The documents to search.
        k: How many documents to return; fewer if there are fewer.
        device: Scores compressed documents; None for the processor.
    """
    found = []
    with stage("exact segments"):
        for number, (segment, at) in selection.uncompressed.items():
            scores = maxsim(query, segment.vectors, segment.offsets, at)
            found.append((np.full(len(at), number), at, scores))
    if selection.parts:
        documents, scores = _search_compressed(query, snapshot, selection, k, device)
        found.append((*selection.places(documents), scores))
    with stage("select"):
        return _best(found, k)


class Query(Protocol):
    """A query and the compressed documents that it is searched in, by stage. See `cpu.CpuQuery`."""

    def scan(self) -> Coarse: ...

    def approximate(self, documents: NDArray[np.int64]) -> NDArray[np.float32]: ...

    def refined(self, documents: NDArray[np.int64]) -> NDArray[np.float32]: ...

    def maxsim(self, documents: NDArray[np.int64]) -> NDArray[np.float32]: ...


class Coarse(Protocol):
    """Coarse scores of all documents. See `scan.Scan`."""

    def best(self, most: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]: ...

    def others(self, least: float, most: int) -> NDArray[np.int64]: ...


def _search_compressed(
    query: NDArray[np.float32], snapshot: Snapshot, selection: Selection, k: int, device: Device | None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return numbers and exact scores of compressed documents, among them the k best."""
    codec, codebook = snapshot.coding
    if not len(query):
        documents = np.union1d(selection.documents, selection.empty)[:k]
        return documents, np.zeros(len(documents), np.float32)
    if device is not None:
        documents, scores = DeviceQuery(query, selection, codebook, codec, device).best(k)
    else:
        with borrowed() as buffers:
            with stage("centroid scores"):
                scored = CpuQuery(query, selection, codebook, codec, buffers)
            if selection.count <= max(_FIRST_DOCUMENTS[-1], k):
                documents = selection.documents
                with stage("exact"):
                    scores = scored.maxsim(documents)
            else:
                documents, scores = best_documents(scored, selection, k)
    if len(scores) < k or np.partition(scores, -k)[-k] <= 0:
        empty = selection.empty[:k]
        documents, scores = (
            np.concatenate([documents, empty]),
            np.concatenate([scores, np.zeros(len(empty), np.float32)]),
        )
    return documents, scores


def best_documents(query: Query, selection: Selection, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return documents, among them the k best, and their exact scores.

    Args:
        query: Scores documents.
        selection: The documents.
        k: How many are wanted.
    """
    first = [max(n, per_hit * k) for n, per_hit in zip(_FIRST_DOCUMENTS, _FIRST_DOCUMENTS_PER_HIT, strict=True)]
    coarse = None
    if selection.count > _SCANNED_FROM * first[0]:
        with stage("scan"):
            coarse = query.scan()
            some, estimates = coarse.best(first[0])
    else:
        some = selection.documents
    with stage("approximate"):
        near = query.approximate(some)
        nearest = _highest(near, first[1])
    with stage("refine"):
        nearer = query.refined(some[nearest])
        best = _highest(nearer, first[2])
        found = some[nearest[best]]
    with stage("exact"):
        scores = query.maxsim(found)
    if len(some) > len(found):
        # The correction from one stage to the next varies little between the documents of a query.
        corrections = [near - estimates] if coarse is not None else [np.zeros(1, np.float32)]
        corrections += [nearer - near[nearest], scores - nearer[best]]
        least = _least_scores(_kth(scores, k), corrections, k)
        with stage("approximate"):
            others, hope = np.delete(some, nearest), np.delete(near, nearest)
            if coarse is not None:
                more = coarse.others(least[0], _MAX_RESCORED_DOCUMENTS)
                others, hope = np.concatenate([others, more]), np.concatenate([hope, query.approximate(more)])
        with stage("refine"):
            others = np.sort(others[hope >= least[1]])
            refined = query.refined(others)
            hope = np.concatenate([refined, np.delete(nearer, best)])
            others = np.concatenate([others, np.delete(some[nearest], best)])
        with stage("exact"):
            found, scores = _with_others(query, found, scores, others, hope, k, _kth(scores, k) - least[2])
    return found, scores


def _with_others(
    query: Query,
    found: NDArray[np.int64],
    scores: NDArray[np.float32],
    others: NDArray[np.int64],
    hope: NDArray[np.float32],
    k: int,
    margin: float,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Add documents that may be among the k best, with their exact scores, to those whose scores are known.

    The most hopeful come first: each group can raise the k-th best score, which fewer of the rest reach.

    Args:
        query: Scores documents.
        found: Documents whose exact scores are known.
        scores: These scores.
        others: Other documents.
        hope: Their scores of the stage before.
        k: How many are wanted.
        margin: By how much a document may fall short of the k-th best score in that stage.
    """
    order = np.lexsort((others, -hope))
    others, hope = others[order], hope[order]
    group = max(_GROUP_DOCUMENTS, k // 4)
    while len(others) and hope[0] >= (least := _kth(scores, k) - margin):
        chosen = np.sort(others[:group][hope[:group] >= least])
        found, scores = np.concatenate([found, chosen]), np.concatenate([scores, query.maxsim(chosen)])
        others, hope = others[group:], hope[group:]
    return found, scores


def _least_scores(kth_score: float, corrections: list[NDArray[np.float32]], k: int) -> list[float]:
    """Return the score by stage from which a document may be among the k best.

    Args:
        kth_score: The exact score of the k-th best document so far.
        corrections: By stage, what the next stage added to the scores of some documents.
        k: How many are wanted.
    """
    means = [float(some.mean()) for some in corrections]
    variances = [float(some.var()) for some in corrections]
    least = []
    for number, deviations in enumerate(_MARGIN_DEVIATIONS):
        deviation = max(math.sqrt(sum(variances[number:])), _MIN_DEVIATION)
        margin = deviations / math.sqrt(max(1, math.log10(k))) * deviation
        least.append(kth_score - sum(means[number:]) - margin)
    return least


def _kth(scores: NDArray[np.float32], k: int) -> float:
    return float(np.partition(scores, -k)[-k]) if k <= len(scores) else -math.inf


def _highest(scores: NDArray[np.float32], n: int) -> NDArray[np.int64]:
    """Return the ascending positions of the n highest scores, fewer if there are fewer."""
    return np.sort(np.argpartition(-scores, n)[:n]) if n < len(scores) else np.arange(len(scores))


def _best(
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]], k: int
) -> list[tuple[Place, float]]:
    """Return the k best of documents given by segment numbers, positions and scores."""
    if not found:
        return []
    numbers, places, scores = (np.concatenate(columns) for columns in zip(*found, strict=True))
    if k < len(scores):
        hopeful = np.flatnonzero(scores >= np.partition(scores, -k)[-k])
        numbers, places, scores = numbers[hopeful], places[hopeful], scores[hopeful]
    order = np.lexsort((places, numbers, -scores))[:k]
    return list(
        zip(zip(numbers[order].tolist(), places[order].tolist(), strict=True), scores[order].tolist(), strict=True)
    )
