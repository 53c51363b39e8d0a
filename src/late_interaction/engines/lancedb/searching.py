"""Candidates of both first stages, scored by exact MaxSim."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.engines.first_stage import MEAN_SHARE, query_mean
from late_interaction.engines.lancedb.filters import bounds
from late_interaction.engines.lancedb.scoring import best_positions, exact_scores
from late_interaction.engines.lancedb.sql import conditions_of_numbers
from late_interaction.engines.records import Match
from late_interaction.filters import matches, parse
from late_interaction.profiling import stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from late_interaction.engines.first_stage import Centroids
    from late_interaction.engines.lancedb.codebooks import Codebooks
    from late_interaction.engines.lancedb.snapshot import Snapshot
    from late_interaction.filters import Filter, Where

__all__ = ["matches_at", "passing", "ranked_rows", "search", "version_condition"]

_MIN_CANDIDATES = 500
_CANDIDATES_PER_K = 4
_MAX_KEPT_FILTERS = 32
_GROWTH = 4  # how many times as many are asked for if too few of them pass


def passing(snapshot: Snapshot, where: Where | None, ids: Sequence[str] | None = None) -> NDArray[np.int64] | None:
    """Return the positions of the documents that pass, ascending; None for all.

    Args:
        snapshot: The documents.
        where: A filter.
        ids: Only documents of these ids.
    """
    passed = None if where is None else _passing_filter(snapshot, parse(where))
    if ids is None:
        return passed
    chosen = snapshot.positions_of_ids(ids)
    return chosen if passed is None else np.intersect1d(chosen, passed, assume_unique=True)


def _passing_filter(snapshot: Snapshot, clause: Filter) -> NDArray[np.int64] | None:
    sql = bounds(clause)
    if sql.is_always_true:
        return None
    if sql.is_always_false:
        return np.empty(0, np.int64)
    if clause not in snapshot.passing:
        columns = ["order"] if sql.is_exact else ["metadata", "text"]
        table = snapshot.scan(columns, sql.necessary)
        positions = snapshot.rows.positions(table["_rowid"].to_numpy())
        if not sql.is_exact:
            rows = zip(table["metadata"].to_pylist(), table["text"].to_pylist(), strict=True)
            positions = positions[[matches(clause, json.loads(metadata), text) for metadata, text in rows]]
        with snapshot.mutex:
            if len(snapshot.passing) >= _MAX_KEPT_FILTERS:
                snapshot.passing.clear()
            snapshot.passing[clause] = np.sort(positions)
    return snapshot.passing[clause]


def version_condition(snapshot: Snapshot, positions: NDArray[np.int64]) -> str:
    """Return SQL that is true for the documents at these positions, unless they were written again."""
    versions = snapshot.take(positions, ["version"])["version"].to_pylist() if len(positions) else []
    return next(conditions_of_numbers("version", versions, limit=None), "false")


def search(
    snapshot: Snapshot,
    query: NDArray[np.float32],
    k: int,
    *,
    where: Where | None,
    ids: Sequence[str] | None,
    codebooks: Codebooks,
    depth: int | None,
) -> list[Match]:
    """Return the k best documents, best first. See `Engine.search`.

    Args:
        snapshot: The documents.
        query: (query tokens, dim).
        k: The number of matches.
        where: A filter.
        ids: Only documents of these ids, all of which are scored.
        codebooks: The codebook of the documents.
        depth: Candidates of the first stages; None for the default, and for all documents while there is no codebook.
    """
    with stage("filter"):
        positions = passing(snapshot, where, ids)
    centroids = codebooks.of(snapshot)
    # Mean vectors alone miss too many documents, and before there are centroids it is quick to score all of them.
    finds_candidates = ids is None and len(query) > 0 and (depth is not None or centroids is not None)
    depth = max(k, depth) if depth is not None else max(_MIN_CANDIDATES, _CANDIDATES_PER_K * k)
    documents = len(snapshot.rows) if positions is None else len(positions)
    if finds_candidates and documents > depth:
        with stage("first stage"):
            candidates = _candidates(snapshot, query, positions, where, centroids, depth)
        with stage("scores"):
            best, scores = _best(snapshot, query, candidates, k)
        if len(best) < k or scores[-1] < 0:  # documents without tokens score 0
            candidates = np.union1d(candidates, _without_tokens(snapshot, positions, k))
            best, scores = _best(snapshot, query, candidates, k)
        if len(best) >= k:
            return matches_at(snapshot, best, scores)
    everything = np.arange(len(snapshot.rows)) if positions is None else positions
    with stage("scores"):
        best, scores = _best(snapshot, query, everything, k)
    return matches_at(snapshot, best, scores)


def _best(
    snapshot: Snapshot, query: NDArray[np.float32], positions: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    scores = exact_scores(snapshot, query, positions)
    best = best_positions(scores, positions, k)
    return positions[best], scores[best]


def matches_at(snapshot: Snapshot, positions: NDArray[np.int64], scores: NDArray[Any]) -> list[Match]:
    """Return documents at these positions as matches, in this order."""
    if not len(positions):
        return []
    with stage("matches"):
        ids = snapshot.take(positions, ["id"])["id"].to_pylist()
    # The key of the vectors tells whether the score is still right. Metadata may change meanwhile.
    keys = snapshot.rows.keys[positions].tolist()
    return [Match(*one) for one in zip(ids, scores.tolist(), keys, strict=True)]


def _without_tokens(snapshot: Snapshot, positions: NDArray[np.int64] | None, k: int) -> NDArray[np.int64]:
    """Return the first k documents without tokens."""
    chosen = np.arange(len(snapshot.rows)) if positions is None else positions
    return chosen[np.flatnonzero(snapshot.rows.tokens[chosen] == 0)[:k]]


def _candidates(
    snapshot: Snapshot,
    query: NDArray[np.float32],
    positions: NDArray[np.int64] | None,
    where: Where | None,
    centroids: Centroids | None,
    depth: int,
) -> NDArray[np.int64]:
    """Return the candidates of both first stages; of the mean vectors alone while there is no codebook."""
    by_centroids = np.empty(0, np.int64)
    mean_share = math.ceil(MEAN_SHARE * depth)
    if centroids is not None:
        by_centroids = _by_centroids(snapshot, query, positions, centroids, depth - mean_share)
    # Documents whose centroids are not known yet are only found by their mean vectors.
    is_complete = centroids is not None and snapshot.postings.is_complete
    request = snapshot.documents.query().nearest_to(query_mean(query)).column("mean").distance_type("dot")
    limit = mean_share if is_complete else depth
    by_mean = ranked_rows(snapshot, request, "_distance", where, positions, limit)[0]
    return np.union1d(by_mean, by_centroids)


def _by_centroids(
    snapshot: Snapshot,
    query: NDArray[np.float32],
    positions: NDArray[np.int64] | None,
    centroids: Centroids,
    count: int,
) -> NDArray[np.int64]:
    scores = snapshot.postings.scores(centroids.query(query))
    if positions is not None:
        scores = scores[positions]
    best = np.argpartition(-scores, count - 1)[:count] if count < len(scores) else np.arange(len(scores))
    best = best[scores[best] > 0]
    return best if positions is None else positions[best]


def ranked_rows(
    snapshot: Snapshot,
    request: Any,
    score: str,
    where: Where | None,
    positions: NDArray[np.int64] | None,
    count: int,
    ids_condition: str | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the first documents of a ranking of LanceDB that pass, and their scores.

    Args:
        snapshot: The documents.
        request: A vector or full-text query of LanceDB.
        score: The column of the score.
        where: A filter.
        positions: The documents that pass; None for all.
        count: The number of documents.
        ids_condition: One more condition.
    """
    sql = None if where is None else bounds(parse(where))
    parts = [one for one in (ids_condition, None if sql is None else sql.necessary) if one is not None]
    condition = " AND ".join(f"({part})" for part in parts)
    limit = count
    while True:
        query = request.select([score]).with_row_id().limit(limit)
        table = snapshot.call((query.where(condition) if condition else query).to_arrow)
        rows, scores = table["_rowid"].to_numpy(), table[score].to_numpy()
        found = snapshot.rows.positions(rows)
        if sql is not None and not sql.is_exact and positions is not None:
            passes = np.isin(found, positions, assume_unique=True)
            found, scores = found[passes], scores[passes]
        if len(found) >= count or len(rows) < limit:
            return found[:count], scores[:count]
        limit *= _GROWTH
