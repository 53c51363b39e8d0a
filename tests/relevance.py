"""Relevance by its definition, in plain loops over double precision."""

from __future__ import annotations

import statistics

import numpy as np


def maxsim(query, document):
    """The sum, over query tokens, of the greatest dot product."""
    return sum(max((float(np.dot(token, other)) for other in document), default=0.0) for token in query)


def null_score(query, documents):
    """What an unrelated document gets, given the token vectors of documents; None without any tokens."""
    query = np.asarray(query, np.float64)
    documents = [np.asarray(document, np.float64) for document in documents if len(document)]
    if not documents:
        return None
    median = statistics.median_low([maxsim(query, document) for document in documents])
    length = statistics.fmean(map(len, documents))
    greatest = statistics.NormalDist().inv_cdf((length - 0.375) / (length + 0.25))
    bound = 0.0
    for token in query:
        dots = [float(np.dot(token, other)) for document in documents for other in document]
        mean = statistics.fmean(dots)
        itself = max(float(np.dot(token, other)) for other in query)
        bound += min(mean + greatest * statistics.pstdev(dots), (mean + itself) / 2)
    return max(0.0, min(median, bound))


def relevance(query, null, score):
    """The relevance of a score, given the null score."""
    null, identity = null or 0.0, maxsim(query, query)
    if identity > 0 and abs(identity - null) <= 1e-3 * identity:
        return float(score >= 0.999 * identity)
    if identity <= null:
        return float(score > null)
    return min(1.0, max(0.0, (score - null) / (identity - null)))


def null_of(engine, query):
    """The null score of the documents that an engine samples; without stored vectors, from its first ones."""
    if engine.capabilities.vectors:
        background = engine.background()
        return null_score(query, np.split(background.vectors, background.offsets[1:-1]))
    ids = [document.id for document in engine.scan()][:32]
    scores = [score for score in engine.score(query, ids).values() if score]
    return max(0.0, statistics.median_low(scores)) if len(scores) >= 16 else None
