"""An index in the layout that xtr-warp-rs 2.1.0 was seen to write."""

from __future__ import annotations

import json

import numpy as np

from late_interaction.importers.foreign import SourceOptions
from late_interaction.importers.warp import WARP

DIM, NBITS, CENTROIDS = 8, 4, 6


class Source:
    """A folder whose chunks are written one after the other, and the vectors that its passages have now."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.rng = np.random.default_rng(0)
        self.centroids = self.rng.standard_normal((CENTROIDS, DIM)).astype(np.float16)
        self.weights = np.linspace(-0.2, 0.2, 2**NBITS).astype(np.float32)
        self.passages = {}
        self.chunks = 0
        self.searched = []  # numbers of the passages of all tokens that are searched
        np.save(folder / "centroids.npy", self.centroids)
        np.save(folder / "bucket_weights.npy", self.weights)

    def add(self, numbers, *, names_numbers=True, was_compacted=False):
        """Write a chunk. Passages that were there before are updated."""
        lengths = self.rng.integers(1, 5, len(numbers))
        codes = self.rng.integers(0, CENTROIDS, lengths.sum())
        residuals = self.rng.integers(0, 256, (len(codes), DIM * NBITS // 8)).astype(np.uint8)
        bits = np.unpackbits(residuals, axis=1).reshape(len(codes), DIM, NBITS)
        vectors = self.centroids[codes].astype(np.float64) + self.weights[(bits << np.arange(NBITS)).sum(axis=2)]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        if not was_compacted:
            self.searched = [number for number in self.searched if number not in set(numbers)]
        self.searched += np.repeat(numbers, lengths).tolist()
        self.passages |= dict(zip(numbers, np.split(vectors, np.cumsum(lengths)[:-1]), strict=True))
        self.save(f"doclens.{self.chunks}", lengths)
        self.save(f"{self.chunks}.codes", codes)
        self.save(f"{self.chunks}.residuals", residuals)
        if names_numbers:
            self.save(f"{self.chunks}.passage_ids", np.array(numbers, np.int64))
        self.chunks += 1
        self.save("codes.compacted", np.sort(np.array(self.searched, np.int64)))
        about = {"num_chunks": self.chunks, "nbits": NBITS, "next_passage_id": max(self.passages) + 1}
        (self.folder / "metadata.json").write_text(json.dumps(about))
        return self

    def delete(self, numbers):
        self.save("deleted_pids", np.array(numbers, np.int64))
        for number in numbers:
            del self.passages[number]

    def save(self, name, values):
        np.save(self.folder / f"{name}.npy", values)

    def open(self, documents=None):
        assert WARP.matches(self.folder)
        return WARP.open(self.folder, SourceOptions(documents))
