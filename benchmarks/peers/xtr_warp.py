"""xtr-warp-rs: WARP in Rust over libtorch. It scores by XTR, which imputes the scores of tokens that were not found."""

from __future__ import annotations

from typing import ClassVar

import torch
from xtr_warp import XTRWarp

from benchmarks.peers.protocol import Columns, K, Peer, bytes_in

# Tiles that fit the caches of the processor take half the time of the default ones; the index is the same.
TILES = {"kmeans_data_chunk_size": 2_048, "kmeans_centroid_chunk_size": 2_048, "compression_batch_size": 256}


class Warp(Peer):
    """Its defaults for this collection, and settings that visit more centroids, tuned on half of the queries."""

    packages = ("xtr-warp-rs", "torch")
    settings: ClassVar = {
        "default": {},
        "nprobe 16": {"nprobe": 16, "t_prime": 10_000, "bound": 128, "centroid_score_threshold": 0.0},
        "nprobe 64": {"nprobe": 64, "t_prime": 20_000, "bound": 200, "centroid_score_threshold": 0.0},
        "nprobe 64, t' 80,000": {"nprobe": 64, "t_prime": 80_000, "bound": 200, "centroid_score_threshold": 0.0},
        "nprobe 256": {"nprobe": 256, "t_prime": 40_000, "bound": 400, "centroid_score_threshold": 0.0},
    }

    def build(self, columns: Columns, folder):
        documents = [torch.from_numpy(columns.document(at)) for at in range(columns.documents)]
        index = XTRWarp(str(folder), device="cpu")
        index.create(documents, device="cpu", nbits=4, show_progress=False, **TILES)
        return bytes_in(folder)

    def open(self, columns, folder) -> None:
        torch.set_num_threads(1)
        self.index = XTRWarp(str(folder), device="cpu").load("cpu")

    def search(self, query, **setting):
        (hits,) = self.index.search(torch.from_numpy(query), top_k=K, num_threads=1, show_progress=False, **setting)
        return [at for at, _ in hits]


PEER = Warp()
