"""Queries, exact scores, recall, and the measuring loop."""

from __future__ import annotations

import random

import numpy as np

from benchmarks.peers.protocol import Columns, K
from benchmarks.peers.workers import PeerError, Worker

NATURAL = "natural"
IN_TURN = 10  # queries that an engine answers before the next one
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


def recall(ids: list[int], scores: np.ndarray, k: int = K) -> float:
    """Return the fraction of the exact k best that was found; documents that tie with the last count as found."""
    k = min(k, len(scores))
    threshold = np.partition(scores, -k)[-k] - NEAR
    return float(sum(scores[at] >= threshold for at in set(ids[:k]))) / k


def ask_all(
    workers: dict[str, tuple[Worker, list[str]]], queries: range, rounds: int, seconds: float
) -> tuple[dict, dict[str, str]]:
    """Run every query with every engine and setting: ten queries in turn, in an order shuffled in each round.

    Ten in turn, so that the data of an engine is in the caches of the processor, as when it is used alone.

    Args:
        workers: The process of each engine, and its settings.
        queries: Numbers of the queries.
        rounds: How many times each query is timed.
        seconds: A setting that has taken this long is not asked in another round.

    Returns:
        By (engine, setting), the ids for each query and its milliseconds in each round except the first, which is a
        warm-up; and by engine, the reason if it failed.
    """
    settings = [(name, setting) for name, (_, settings) in workers.items() for setting in settings]
    order = [(*key, queries[first : first + IN_TURN]) for key in settings for first in range(0, len(queries), IN_TURN)]
    answers: dict = {key: {} for key in settings}
    spent = dict.fromkeys(settings, 0.0)
    failed: dict[str, str] = {}
    shuffle = random.Random(0).shuffle
    for turn in range(rounds + 1):
        shuffle(order)
        done = {key for key, took in spent.items() if turn > 1 and took > seconds}
        for name, setting, numbers in order:
            if name in failed or (name, setting) in done:
                continue
            try:
                told = [(at, workers[name][0].ask(at, setting)) for at in numbers]
            except PeerError as error:
                failed[name] = str(error)
                continue
            spent[name, setting] += sum(answer["ms"] for _, answer in told) / 1000
            for at, answer in told:
                kept = answers[name, setting].setdefault(at, {"ids": answer["ids"], "ms": [], "cpu_ms": []})
                for clock in ("ms", "cpu_ms") if turn else ():
                    kept[clock].append(answer[clock])
    return {key: got for key, got in answers.items() if key[0] not in failed}, failed
