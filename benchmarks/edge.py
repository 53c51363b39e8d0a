"""A collection in Qdrant's own engine (qdrant-edge-py), with both first stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import qdrant_edge as edge

from late_interaction.engines.first_stage import Centroids, mean_vector, query_mean

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from benchmarks.peers.protocol import Columns

__all__ = ["EdgeCollection"]

_BATCH_TOKENS = 16_384


class EdgeCollection:
    """Token vectors as float16 on disk without a graph, a mean vector and a sparse vector of each document."""

    def __init__(self, shard: edge.EdgeShard, centroids: Centroids) -> None:
        self._shard, self._centroids = shard, centroids

    @classmethod
    def create(cls, folder: Path, dim: int, centroids: Centroids) -> EdgeCollection:
        """Create an empty collection in an empty folder."""
        dot = edge.Distance.Dot
        tokens = edge.EdgeVectorParams(
            dim,
            dot,
            on_disk=True,
            multivector_config=edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim),
            datatype=edge.VectorStorageDatatype.Float16,
            hnsw_config=edge.HnswIndexConfig(m=0, ef_construct=100, full_scan_threshold=10_000),
        )
        config = edge.EdgeConfig(
            vectors={"tokens": tokens, "mean": edge.EdgeVectorParams(dim, dot)},
            sparse_vectors={"centroids": edge.EdgeSparseVectorParams()},
        )
        return cls(edge.EdgeShard.create(str(folder), config), centroids)

    @classmethod
    def load(cls, folder: Path, centroids: Centroids) -> EdgeCollection:
        """Open a collection that exists."""
        return cls(edge.EdgeShard.load(str(folder)), centroids)

    def add(self, columns: Columns, sparse: list[np.ndarray]) -> None:
        """Add all documents, and index them."""
        batch, tokens = [], 0
        for at, ids in enumerate(sparse):
            vectors = columns.document(at)
            named = {
                "tokens": vectors.tolist(),
                "mean": mean_vector(vectors).tolist(),
                "centroids": edge.SparseVector(ids.tolist(), [1.0] * len(ids)),
            }
            batch.append(edge.Point(at, named, None))
            tokens += len(vectors)
            if tokens > _BATCH_TOKENS or at == len(sparse) - 1:
                self._shard.update(edge.UpdateOperation.upsert_points(batch))
                batch, tokens = [], 0
        self._shard.optimize()

    def exact(self, query: np.ndarray, k: int) -> list[int]:
        """Return the best documents by MaxSim with all."""
        return self._asked(query, k, [])

    def over_candidates(self, query: np.ndarray, k: int, candidates: int, share: float) -> list[int]:
        """Return the best by MaxSim of candidates, this share of them by mean vectors and the others by sparse ones."""
        sparse = self._centroids.query(query)
        mean = edge.Query.Nearest(query_mean(query).tolist(), using="mean")
        ids = edge.Query.Nearest(edge.SparseVector(sparse.indices.tolist(), sparse.values.tolist()), using="centroids")
        by_mean = round(share * candidates)
        first, second = edge.Prefetch(limit=by_mean, query=mean), edge.Prefetch(limit=candidates - by_mean, query=ids)
        return self._asked(query, k, [first, second])

    def close(self) -> None:
        """Close the shard."""
        self._shard.close()

    def _asked(self, query: np.ndarray, k: int, prefetches: list[edge.Prefetch]) -> list[int]:
        nearest = edge.Query.Nearest(query.tolist(), using="tokens")
        request = edge.QueryRequest(limit=k, query=nearest, prefetches=prefetches)
        return [point.id for point in self._shard.query(request)]
