"""Queries, exact scores, recall, and the measuring loop."""

from __future__ import annotations

import random

import numpy as np

from benchmarks.peers.protocol import Columns, K
from benchmarks.peers.workers import PeerError, Worker

NATURAL = "natural"
BLOCK = 8_192  # document tokens scored at a time
NEAR = 1e-4  # scores within this distance are equal except for rounding


def joined(queries: list[np.ndarray], lanes: int) -> list[np.ndarray]:
    """Return each query joined with the following ones, cut to exactly ``lanes`` tokens.

    Models that pad queries always search with 32 tokens. Joined queries are harder than padded ones, because they
    combine several questions. They serve to measure latency.
    """
    result = []
    for first in range(len(queries)):
        parts, at = [queries[first]], first
        while sum(map(len, parts)) < lanes:
            at = (at + 1) % len(queries)
            parts.append(queries[at])
        result.append(np.concatenate(parts)[:lanes])
    return result


def exact_scores(columns: Columns) -> np.ndarray:
    """Return the MaxSim of every query and document, (queries, documents) float32."""
    starts = np.cumsum([0, *map(len, columns.queries)])
    query_tokens = np.concatenate(columns.queries).T
    scores = np.zeros((len(columns.queries), columns.documents), np.float32)
    filled = np.flatnonzero(np.diff(columns.offsets))  # documents without tokens score 0
    first = 0
    while first < len(filled):
        begin = columns.offsets[filled[first]]
        last = max(first + 1, int(np.searchsorted(columns.offsets[filled + 1], begin + BLOCK, side="right")))
        block, first = filled[first:last], last
        products = columns.tokens[begin : columns.offsets[block[-1] + 1]].astype(np.float32) @ query_tokens
        best = np.maximum.reduceat(products, columns.offsets[block] - begin, axis=0)
        scores[:, block] = np.add.reduceat(best, starts[:-1], axis=1).T
    return scores


def recall(ids: list[int], scores: np.ndarray) -> float:
    """Return the fraction of the exact K best that was found; documents that tie with the last count as found."""
    k = min(K, len(scores))
    threshold = np.partition(scores, -k)[-k] - NEAR
    return float(sum(scores[at] >= threshold for at in set(ids[:k]))) / k


def ask_all(workers: dict[str, tuple[Worker, list[str]]], queries: range, rounds: int) -> tuple[dict, dict[str, str]]:
    """Run every query with every engine and setting, one at a time, in an order that is shuffled in each round.

    Returns:
        By (engine, setting), the ids for each query and its milliseconds in each round except the first, which is a
        warm-up; and by engine, the reason if it failed.
    """
    order = [(name, setting, at) for name, (_, settings) in workers.items() for setting in settings for at in queries]
    answers = {(name, setting): {} for name, setting, _ in order}
    failed: dict[str, str] = {}
    shuffle = random.Random(0).shuffle
    for turn in range(rounds + 1):
        shuffle(order)
        for name, setting, at in order:
            if name in failed:
                continue
            try:
                ids, ms = workers[name][0].ask(at, setting)
            except PeerError as error:
                failed[name] = str(error)
                continue
            answer = answers[name, setting].setdefault(at, {"ids": ids, "ms": []})
            answer["ms"] += [ms] if turn else []
    return {key: got for key, got in answers.items() if key[0] not in failed}, failed
