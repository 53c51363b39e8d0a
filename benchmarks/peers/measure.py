"""What is asked, what is right, and the asking."""

from __future__ import annotations

import random

import numpy as np

from benchmarks.peers.protocol import Columns, K
from benchmarks.peers.workers import PeerError, Worker

NATURAL = "natural"
BLOCK = 8_192  # document tokens scored at a time
NEAR = 1e-4  # scores closer than this differ by rounding alone


def joined(queries: list[np.ndarray], lanes: int) -> list[np.ndarray]:
    """Each query with the ones after it, cut to exactly so many tokens.

    Models that pad their queries always search with 32. These are harder than such queries, for they ask for
    several things at once: the latency is what they are for.
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
    """MaxSim of every query and document in f32, (queries, documents)."""
    starts = np.cumsum([0, *map(len, columns.queries)])
    query_tokens = np.concatenate(columns.queries).T
    scores = np.zeros((len(columns.queries), columns.documents), np.float32)
    filled = np.flatnonzero(np.diff(columns.offsets))  # one without tokens scores 0
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
    """The share of the exact K best that was found; documents that tie with the last of them count as it."""
    k = min(K, len(scores))
    threshold = np.partition(scores, -k)[-k] - NEAR
    return float(sum(scores[at] >= threshold for at in set(ids[:k]))) / k


def ask_all(workers: dict[str, tuple[Worker, list[str]]], queries: range, rounds: int) -> tuple[dict, dict[str, str]]:
    """Every query of every engine and setting, one at a time in an order shuffled anew each round.

    Returns:
        By (engine, setting), the ids that each query got and its milliseconds in each round but the first, which
        warms up; and by engine why it failed, where it did.
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
