"""Documents and queries whose token vectors share common directions, and recall against exact MaxSim, in NumPy."""

from __future__ import annotations

import numpy as np

from benchmarks.anisotropy import mix

DIM, DOCUMENTS, TOKENS = 64, 500, 16
K = 10


def unit(vectors):
    """Vectors, (n, dim), at length one."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def collection(documents=DOCUMENTS, queries=60):
    """Token vectors of documents, one after the other, of `TOKENS` each, and of queries, of 8 each.

    A token is a word of 500, of which few are frequent, the topic of its document, and noise.
    """
    rng = np.random.default_rng(0)
    words = unit(rng.normal(size=(500, DIM)))
    frequencies = 1 / np.arange(1, 501)
    vectors = []
    for _ in range(documents):
        chosen = words[rng.choice(500, TOKENS, p=frequencies / frequencies.sum())]
        topic, noise = unit(rng.normal(size=(1, DIM))), unit(rng.normal(size=(TOKENS, DIM)))
        vectors.append(unit(chosen + 0.5 * topic + 0.5 * noise))
    asked = [
        unit(vectors[at][rng.choice(TOKENS, 8, replace=False)] + 0.7 * unit(rng.normal(size=(8, DIM))))
        for at in rng.choice(documents, queries, replace=False)
    ]
    return np.concatenate(vectors), asked


def _one_direction(cosine):
    return lambda vectors, seed: mix(vectors, cosine, seed=seed)


def _three_directions(vectors, seed):
    """Three directions, of which each vector has other coefficients."""
    directions = np.linalg.qr(np.random.default_rng(0).normal(size=(DIM, 3)))[0].T
    coefficients = 1 + 0.3 * np.random.default_rng(seed).normal(size=(len(vectors), 3))
    common = coefficients * np.array([1, 0.6, 0.4]) / np.sqrt(1.52) @ directions
    return unit(np.sqrt(0.91) * common + np.sqrt(0.09) * vectors)


def _lengths(vectors, seed):
    """One direction, and documents, which have the seed 1, whose vectors are not of length one."""
    rng = np.random.default_rng(3)
    lengths = np.exp(0.01 * rng.normal(size=(len(vectors), 1))) if seed == 1 else 1
    return np.asarray(lengths * mix(vectors, 0.91, seed=seed), np.float32)


KINDS = {
    "cosine 0": _one_direction(0),
    "cosine .73": _one_direction(0.73),
    "cosine .91": _one_direction(0.91),
    "cosine .95": _one_direction(0.95),
    "other lengths": _lengths,
    "three directions": _three_directions,
}


def mixed(kind, vectors, queries):
    """The token vectors and queries of a collection as an encoder of this kind would give them."""
    change = KINDS[kind]
    return change(vectors, 1), [change(query, 2 + number) for number, query in enumerate(queries)]


def best(queries, vectors):
    """The k best documents of each query by MaxSim."""
    dots = vectors @ np.concatenate(queries).T  # one large product, since many small ones wait for threads
    scores = dots.reshape(-1, TOKENS, len(queries), len(queries[0])).max(axis=1).sum(axis=2)
    return [set(one.tolist()) for one in np.argsort(-scores, axis=0, kind="stable")[:K].T]


def recall(expected, found):
    """The share of the best documents of each query that were found, on average."""
    return float(np.mean([len(one & other) / K for one, other in zip(expected, found, strict=True)]))
