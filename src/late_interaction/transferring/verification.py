"""Compare what the source and the target find for the same queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from late_interaction.engines import Engine, Match

__all__ = ["Comparison", "compare"]

_K = 10
_QUERY_TOKENS = 32
"""Token vectors of a document that become a query: its first ones."""

_TIE = 1e-4
"""Difference of scores below which two documents are equally good. A document as good as the tenth counts as found."""

_MAX_SEARCHED = 100
"""Documents that the target is asked for, at most, where it holds some that the source does not."""


@dataclass(frozen=True)
class Comparison:
    """What the queries have shown.

    Attributes:
        queries: How many there were.
        overlap: The share of the source's ten best documents that are among the target's ten best; None without any.
        score_difference: The greatest difference between the two scores of a document that both find; None without any.
    """

    queries: int = 0
    overlap: float | None = None
    score_difference: float | None = None


def compare(
    source: Engine, target: Engine, documents: Iterable[NDArray[np.floating[Any]]], *, others: int
) -> Comparison:
    """Search both engines with the first token vectors of documents.

    Args:
        source: The source.
        target: The target.
        documents: The token vectors of documents, each (tokens, dim). Those without tokens are left out.
        others: How many documents the target holds that the source does not.
    """
    searched = min(_K + others, max(_K, _MAX_SEARCHED))
    if target.capabilities.max_candidates is not None:
        searched = min(searched, target.capabilities.max_candidates)
    queries = wanted = common = 0
    differences = [0.0]
    for vectors in documents:
        query = np.asarray(vectors[:_QUERY_TOKENS], np.float32)
        if not len(query):
            continue
        queries += 1
        expected, found = source.search(query, _K), target.search(query, searched)
        scores = {match.id: match.score for match in expected}
        best = _best(source, query, scores, found)
        wanted += len(expected)
        common += min(len(expected), sum(score >= expected[-1].score - _TIE for _, score in best))
        differences += [abs(match.score - scores[match.id]) for match, _ in best if match.id in scores]
    if not wanted:
        return Comparison(queries)
    return Comparison(queries, common / wanted, max(differences))


def _best(
    source: Engine, query: NDArray[np.float32], scores: dict[str, float], found: list[Match]
) -> list[tuple[Match, float]]:
    """Return the ten best matches of the target that are documents of the source, with their scores in the source."""
    missing = [match.id for match in found if match.id not in scores]
    known = scores | source.score(query, missing) if missing else scores
    return [(match, known[match.id]) for match in found if match.id in known][:_K]
