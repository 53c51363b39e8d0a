"""Qdrant's own engine in the process (qdrant-edge-py): exact MaxSim, and MaxSim over candidates of two rankings."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.candidates import sparse_documents
from benchmarks.edge import EdgeCollection
from benchmarks.peers.protocol import Columns, K, Peer, bytes_in
from late_interaction.engines.first_stage import MEAN_SHARE, Centroids


class QdrantEdge(Peer):
    """Exact, and with the first stage that this package gives it: mean vectors and sparse vectors over centroids."""

    packages = ("qdrant-edge-py",)
    settings: ClassVar = {
        "exact": {"candidates": None},
        "500 candidates": {"candidates": 500},
        "1,000 candidates": {"candidates": 1_000},
    }

    def build(self, columns: Columns, folder):
        centroids, sparse = sparse_documents(columns)
        (folder / "centroids").write_bytes(centroids.to_bytes())
        collection = EdgeCollection.create(folder / "shard", columns.tokens.shape[1], centroids)
        collection.add(columns, sparse)
        collection.close()
        return bytes_in(folder)

    def open(self, columns, folder) -> None:
        self.collection = EdgeCollection.load(
            folder / "shard", Centroids.from_bytes((folder / "centroids").read_bytes())
        )

    def search(self, query, candidates):
        if candidates is None:
            return self.collection.exact(query, K)
        return self.collection.over_candidates(query, K, candidates, MEAN_SHARE)


PEER = QdrantEdge()
