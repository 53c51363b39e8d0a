"""Documents and queries of random words, and rankings of them by plain NumPy."""

from __future__ import annotations

import random

import numpy as np

from late_interaction import Document

_SYLLABLES = [a + b for a in "bdfgklmnprst" for b in "aeiou"]


def vocabulary(size):
    """Words, the same at each call."""
    rng = random.Random(7)
    words = {}
    while len(words) < size:
        words["".join(rng.choices(_SYLLABLES, k=3))] = None
    return list(words)


def random_documents(count, *, words=12, size=400, seed=0):
    """Documents of random words; their ids are not in the order of their contents."""
    rng = random.Random(seed)
    known = vocabulary(size)
    return [
        Document(" ".join(rng.choices(known, k=words)), id=f"d{(number * 7919) % 10007}") for number in range(count)
    ]


def random_queries(documents, count, *, seed=1):
    """Dicts of queries: two words of a relevant document, and one that is none of its words."""
    rng = random.Random(seed)
    chosen = rng.sample(documents, count)
    queries = []
    for number, document in enumerate(chosen):
        words = rng.sample(document.text.split(), 2)
        queries.append({"id": f"q{number}", "query": " ".join([*words, "zzz"]), "relevant": document.id})
    return queries


def maxsim_rankings(queries, documents, query_vectors, document_vectors):
    """Ids of all documents for each query id, by MaxSim, best first."""
    found = {}
    for query, asked in zip(queries, query_vectors, strict=True):
        scores = [float((asked @ vectors.T).max(axis=1).sum()) for vectors in document_vectors]
        found[query["id"]] = [documents[at].id for at in np.argsort(-np.array(scores), kind="stable")]
    return found
