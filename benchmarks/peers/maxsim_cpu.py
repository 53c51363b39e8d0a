"""maxsim-cpu: exact MaxSim by libxsmm on float32 vectors in memory."""

from __future__ import annotations

from itertools import pairwise

import maxsim_cpu
import numpy as np

from benchmarks.peers.protocol import Columns, K, Peer


class MaxsimCpu(Peer):
    """Score all documents with its function for documents of different lengths."""

    packages = ("maxsim-cpu", "numpy")

    def build(self, columns, folder):
        return columns.tokens.size * 4  # nothing is written; the size of the vectors in memory

    def open(self, columns: Columns, folder) -> None:
        tokens = np.asarray(columns.tokens).astype(np.float32)
        self.documents = [tokens[start:end] for start, end in pairwise(columns.offsets)]

    def search(self, query):
        scores = np.asarray(maxsim_cpu.maxsim_scores_variable(query, self.documents))
        best = np.argpartition(-scores, min(K, len(scores) - 1))[:K]
        return best[np.argsort(-scores[best])]


PEER = MaxsimCpu()
