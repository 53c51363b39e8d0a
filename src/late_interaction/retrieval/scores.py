"""Relevance in [0, 1] for the score of each mode of search."""

from __future__ import annotations

__all__ = ["fused_relevance", "late_relevance", "lexical_relevance"]

from late_interaction.retrieval.fusion import best_possible


def late_relevance(score: float, query_tokens: int) -> float:
    """Return MaxSim as the mean over the query's token vectors, which for unit vectors is a mean cosine."""
    return min(1.0, max(0.0, score / max(1, query_tokens)))


def lexical_relevance(score: float, highest: float | None) -> float:
    """Return a BM25 score as a share of the highest score of the query, or as ``score / (1 + score)`` without one."""
    if highest is None or highest <= 0:
        return score / (1 + score)
    return min(1.0, score / highest)


def fused_relevance(score: float, rankings: int) -> float:
    """Return a sum of reciprocal ranks as a share of the greatest possible one."""
    return score / best_possible(rankings)
