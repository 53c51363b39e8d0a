"""Records, a numpy oracle, and skips that follow from what an engine declares."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from late_interaction import Document
from late_interaction.engines import Record

DIM = 16


def needs(engine, *names):
    """Skip unless the engine declares these capabilities."""
    for name in names:
        if not getattr(engine.capabilities, name):
            pytest.skip(f"{type(engine).__name__} does not declare the capability {name!r}")


def needs_operators(engine, *operators):
    """Skip unless the engine declares these filter operators."""
    for operator in operators:
        if operator not in engine.capabilities.filter_operators:
            pytest.skip(f"{type(engine).__name__} does not declare {operator} among its filter_operators")


def at_most(engine, number):
    """The number, or what the engine takes at a time."""
    limit = engine.capabilities.max_candidates
    return number if limit is None else min(number, limit)


def unit_vectors(seed, tokens, dim=DIM):
    """Random token vectors of length one, (tokens, dim)."""
    vectors = np.random.default_rng(seed).normal(size=(tokens, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if tokens else vectors


def record(document_id, *, tokens=3, text=None, vectors=None, **metadata):
    """A record whose text and vectors follow from its id, unless they are given."""
    if vectors is None:
        seed = int.from_bytes(hashlib.sha256(document_id.encode("utf-8")).digest()[:4], "little")
        vectors = unit_vectors(seed, tokens)
    text = f"text of {document_id}" if text is None else text
    return Record(Document(text, id=document_id, metadata=metadata), vectors)


def collection(count, *, seed=0):
    """Records of 0 to 24 tokens."""
    lengths = np.random.default_rng(seed).integers(0, 25, size=count).tolist()
    return [
        record(f"d{number}", tokens=length, n=number, even=number % 2 == 0) for number, length in enumerate(lengths)
    ]


def queries():
    """Queries of 1 to 32 token vectors, one of them not of length one."""
    return [unit_vectors(1000 + tokens, tokens) for tokens in (1, 5, 32)] + [2.5 * unit_vectors(7, 4)]


def maxsim(query, vectors):
    """MaxSim by its definition, in double precision."""
    query, vectors = np.asarray(query, np.float64), np.asarray(vectors, np.float64)
    return sum(max((float(np.dot(token, other)) for other in vectors), default=0.0) for token in query)


class Truth:
    """What the scores of an engine must be: MaxSim of the vectors it gives back, or of those that it was given."""

    def __init__(self, engine, records):
        self.vectors = {one.document.id: one.vectors for one in records}
        self.error = 1e-3  # of one similarity, in half precision
        if engine.capabilities.vectors:
            self.vectors = engine.vectors(list(self.vectors))
            # A server that stores float16 may round the query to it, too.
            self.error = 5e-4 if engine.capabilities.remote else 5e-5

    def scores(self, query, ids=None):
        ids = self.vectors if ids is None else ids
        return {key: maxsim(query, self.vectors[key]) for key in ids if key in self.vectors}

    def tolerance(self, query):
        return self.error * float(np.linalg.norm(query, axis=1).sum()) + 1e-6

    def check(self, query, found):
        """Scores are true, in their order, and no document comes twice."""
        ids, scores = [match.id for match in found], [match.score for match in found]
        assert len(set(ids)) == len(ids)
        assert all(isinstance(score, float) for score in scores)
        assert scores == sorted(scores, reverse=True)
        expected = self.scores(query, ids)
        assert dict(zip(ids, scores, strict=True)) == pytest.approx(expected, abs=self.tolerance(query))

    def check_best(self, query, found, k, ids=None):
        """They are also the k best, but for equal scores."""
        self.check(query, found)
        best = sorted(self.scores(query, ids).values(), reverse=True)[:k]
        assert [match.score for match in found] == pytest.approx(best, abs=self.tolerance(query))


def ids_of(found):
    return [one.id for one in found]
