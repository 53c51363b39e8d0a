"""fast-plaid: PLAID in Rust over libtorch."""

from __future__ import annotations

from typing import ClassVar

import torch
from fast_plaid.search import FastPlaid as Index

from benchmarks.peers.protocol import Columns, K, Peer, bytes_in


class FastPlaid(Peer):
    """Its defaults (4 bits, 8 lists probed, 4096 documents fully scored), and two faster settings.

    It computes in float16 on every device. On processors without float16 arithmetic, torch multiplies float16 several
    times slower than float32, so its latency depends as much on the processor as on the engine.
    """

    packages = ("fast-plaid", "torch")
    settings: ClassVar = {
        "default": {"n_ivf_probe": 8, "n_full_scores": 4096},
        "probe 4, full 1024": {"n_ivf_probe": 4, "n_full_scores": 1024},
        "probe 2, full 256": {"n_ivf_probe": 2, "n_full_scores": 256},
    }

    def build(self, columns: Columns, folder):
        documents = [torch.from_numpy(columns.document(at)) for at in range(columns.documents)]
        Index(str(folder), device="cpu").create(documents, nbits=4)
        return bytes_in(folder)

    def open(self, columns, folder) -> None:
        torch.set_num_threads(1)
        self.index = Index(str(folder), device="cpu")

    def search(self, query, **setting):
        vectors = torch.from_numpy(query)[None]
        (hits,) = self.index.search(vectors, top_k=K, show_progress=False, n_processes=1, **setting)
        return [at for at, _ in hits]


PEER = FastPlaid()
