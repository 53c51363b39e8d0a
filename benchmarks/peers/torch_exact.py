"""Exact MaxSim in plain torch: the cost of a search without an index."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch

from benchmarks.peers.protocol import Columns, K, Peer

BLOCK = 16_384  # tokens multiplied at a time, so that their scores fit in the cache
WIDE = 32  # query tokens; from this number on, torch is faster with document tokens as rows


class TorchExact(Peer):
    """float32 vectors in memory: one matmul per block, the maximum over each document, the sum over query tokens.

    Documents are sorted by length. Documents of equal length form a dense array, whose maximum needs neither padding
    nor a segmented reduction. This was the fastest of five variants.
    """

    packages = ("torch",)

    def build(self, columns, folder):
        return columns.tokens.size * 4  # nothing is written; the size of the vectors in memory

    def open(self, columns: Columns, folder) -> None:
        torch.set_num_threads(1)
        lengths = np.diff(columns.offsets)
        self.order = np.argsort(lengths, kind="stable")
        rows = np.concatenate([np.arange(columns.offsets[at], columns.offsets[at + 1]) for at in self.order])
        self.tokens = torch.from_numpy(np.asarray(columns.tokens)[rows]).float()
        self.blocks = []  # (documents, length) of each, in order
        for length, count in Counter(lengths[self.order].tolist()).items():
            step = max(1, BLOCK // max(1, length))
            self.blocks += [(min(step, count - first), length) for first in range(0, count, step)]

    def search(self, query):
        query = torch.from_numpy(query)
        scores = torch.zeros(len(self.order))
        token = document = 0
        with torch.inference_mode():
            for documents, length in self.blocks:
                if length:
                    block = self.tokens[token : token + documents * length]
                    scores[document : document + documents] = _maxsim(query, block, documents, length)
                token, document = token + documents * length, document + documents
            best = scores.topk(min(K, len(scores))).indices
        return self.order[best.numpy()]


def _maxsim(query: torch.Tensor, block: torch.Tensor, documents: int, length: int) -> torch.Tensor:
    if len(query) >= WIDE:
        return (block @ query.T).view(documents, length, -1).amax(1).sum(1)
    return (query @ block.T).view(-1, documents, length).amax(2).sum(0)


PEER = TorchExact()
