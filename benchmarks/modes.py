"""Milliseconds of searches and reranking through `Index`: late, lexical and hybrid, with and without thumbnails.

``python -m benchmarks.modes [--documents N]``; to compare two versions, run it with each on ``PYTHONPATH``, in turns.
Vectors are made at random, queries are encoded once before the clock starts. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from statistics import median

import numpy as np
from PIL import Image

from late_interaction import Document, Index

DIM, TOKENS, WORDS, QUERIES = 128, 60, 3000, 60


class WordVectors:
    """Has a fixed random vector for each word, and takes no time: a model's is not what is measured here."""

    dim = DIM

    @property
    def fingerprint(self):
        return {"model": "random vectors of words"}

    def __init__(self):
        vectors = np.random.default_rng(1).normal(size=(WORDS, DIM)).astype(np.float32)
        self._of_words = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        self._noise = np.random.default_rng(2)

    def _vectors(self, words):
        vectors = self._of_words[words] + self._noise.normal(scale=0.05, size=(len(words), DIM))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def encode_queries(self, texts):
        return self.encode_documents(texts)

    def encode_documents(self, texts):
        return [self._vectors([int(word[1:]) for word in text.split()]) for text in texts]

    def encode_images(self, images):
        return [self._vectors(list(image.tobytes()[: 2 * TOKENS : 2])) for image in images]

    def viewed_size(self, width, height):
        return 32, 32


def documents(count, with_images):
    rng = np.random.default_rng(0)
    for number in range(count):
        text = " ".join(f"w{word}" for word in rng.integers(0, WORDS, TOKENS))
        image = None
        if with_images:
            image = Image.fromarray(rng.integers(0, 255, (400, 300, 3), np.uint8))
        metadata = {"year": int(rng.integers(1990, 2025)), "lang": "en", "tags": ["a", "b"], "source": f"s{number}.txt"}
        yield Document(text, image=image, id=f"d{number}", metadata=metadata)


def milliseconds(call, inputs, repeats=1):
    seconds = []
    for _ in range(repeats):
        for one in inputs:
            start = time.perf_counter()
            call(one)
            seconds.append(time.perf_counter() - start)
    return round(1000 * median(seconds), 3)


def measure(index):
    queries = [" ".join(f"w{number + step}" for step in (0, 5, 9, 50, 200)) for number in range(QUERIES)]
    index.search_many(queries, 10)
    found = {
        mode: milliseconds(lambda query, mode=mode: index.search(query, 10, mode=mode), queries)
        for mode in ("late", "lexical", "hybrid")
    }
    found["hybrid / (late + lexical)"] = round(found["hybrid"] / (found["late"] + found["lexical"]), 2)
    ids = [f"d{number}" for number in range(100)]
    given = index.get(ids)
    found["rerank 100 ids"] = milliseconds(lambda query: index.rerank(query, ids=ids), queries)
    found["rerank 100 documents"] = milliseconds(lambda query: index.rerank(query, documents=given), queries)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=3000)
    parser.add_argument("--thumbnails", type=int, default=300, help="how many of them for the run with thumbnails")
    arguments = parser.parse_args()
    figures = {}
    for name, count, with_images in (("text", arguments.documents, False), ("pages", arguments.thumbnails, True)):
        with tempfile.TemporaryDirectory() as folder, Index.open(folder, encoder=WordVectors()) as index:
            index.add(documents(count, with_images))
            index.compact()
            figures[f"{count} {name}"] = measure(index)
    print(json.dumps(figures, indent=2))
