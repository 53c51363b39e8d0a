"""What a collection holds, read past the engine, its protocol and the faults."""

from __future__ import annotations

import base64
import json
from typing import NamedTuple

import numpy as np
from qdrant_client.http import models

from late_interaction.engines.first_stage import Centroids
from tests.qdrant_edge import EdgeClient


class Content(NamedTuple):
    """A document as it should be, or as it is stored."""

    text: str
    metadata: dict
    vectors: tuple
    """Token vectors, as tuples."""

    @classmethod
    def of(cls, text, metadata, vectors):
        return cls(text, metadata, tuple(map(tuple, np.asarray(vectors, np.float64).tolist())))


class Stored:
    """Reads, saves and restores the collection of a server, whatever its clients see."""

    def __init__(self, served, collection="documents"):
        self.client = EdgeClient(server=served.server)
        self._collection = collection
        self._saved = None

    def points(self):
        """Return all points with payload and vectors."""
        return self.client.scroll(self._collection, limit=10_000, with_payload=True, with_vectors=True)[0]

    def documents(self):
        """Return the content of every document by id; every id is there once, and every point is whole."""
        found = {}
        for point in self.points():
            if point.payload["kind"] != "document":
                continue
            tokens = np.asarray(point.vector["tokens"], np.float64)
            total = tokens.sum(axis=0)
            np.testing.assert_allclose(point.vector["mean"], total / np.linalg.norm(total), atol=2e-3)
            assert point.payload["token_count"] == len(tokens)
            assert point.vector["words"].indices, "the words are missing"
            assert point.payload["id"] not in found, "a document is there twice"
            found[point.payload["id"]] = Content.of(point.payload["text"], point.payload.get("metadata", {}), tokens)
        return found

    def without_centroids(self):
        """Return the ids of documents without a sparse vector of centroids."""
        return {
            point.payload["id"]
            for point in self.points()
            if point.payload["kind"] == "document" and "centroids" not in point.vector
        }

    def centroids(self):
        """Return the centroids that are in use, (centroids, dim), whether they are complete, and names of others."""
        points = self.points()
        (setting,) = [
            json.loads(point.payload["value"])
            for point in points
            if point.payload["kind"] == "setting" and point.payload["name"] == "first_stage"
        ]
        parts = sorted(
            (part["name"], part["part"], part["data"])
            for part in (point.payload for point in points)
            if part["kind"] == "codebook"
        )
        used = [(number, data) for name, number, data in parts if name == setting["codebook"]]
        assert [number for number, _ in used] == list(range(setting["parts"]))
        centroids = Centroids.from_bytes(b"".join(base64.b64decode(data) for _, data in used))
        return centroids.values, setting["state"], {name for name, _, _ in parts} - {setting["codebook"]}

    def save(self):
        """Note what there is, for `restore`."""
        self._saved = [
            models.PointStruct(id=point.id, vector=point.vector, payload=point.payload) for point in self.points()
        ]

    def restore(self):
        """Make the collection what it was when it was saved."""
        kept = {point.id for point in self._saved}
        extra = [point.id for point in self.points() if point.id not in kept]
        if extra:
            self.client.delete(self._collection, points_selector=extra)
        self.client.upsert(self._collection, points=self._saved)
