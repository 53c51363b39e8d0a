"""colbert-ai: PLAID by its authors, on the CPU with its C++ extensions."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from colbert.data import Collection
from colbert.indexing.collection_indexer import CollectionIndexer
from colbert.indexing.index_saver import IndexSaver
from colbert.infra import ColBERTConfig
from colbert.modeling.colbert import ColBERT
from colbert.search.index_storage import IndexScorer

from benchmarks.peers.protocol import Columns, K, Peer, bytes_in


class Colbert(Peer):
    """The settings that `Searcher` uses for k up to 10, 100 and 1000. Each search returns at most 10 documents."""

    packages = ("colbert-ai", "torch", "transformers", "faiss-cpu")
    settings: ClassVar = {
        "for k = 10": {"ncells": 1, "centroid_score_threshold": 0.5, "ndocs": 256},
        "for k = 100": {"ncells": 2, "centroid_score_threshold": 0.45, "ndocs": 1024},
        "for k = 1000": {"ncells": 4, "centroid_score_threshold": 0.4, "ndocs": 4096},
    }

    def build(self, columns: Columns, folder):
        config = ColBERTConfig(index_path=str(folder), dim=columns.tokens.shape[1], nbits=4, kmeans_niters=4)
        _Indexer(config, columns).run([[None]])
        return bytes_in(folder)

    def open(self, columns, folder) -> None:
        torch.set_num_threads(1)
        ColBERT.try_load_torch_extensions(
            use_gpu=False
        )  # compiled at first use; raises instead of falling back to Python
        self.scorer = IndexScorer(str(folder), use_gpu=False)
        longest = max(map(len, columns.queries))
        self.config = ColBERTConfig(query_maxlen=longest)  # otherwise only 32 query tokens generate candidates

    def search(self, query, **setting):
        self.config.configure(**setting)
        pids, _ = self.scorer.rank(self.config, torch.from_numpy(query)[None])
        return pids[:K]


class _Indexer(CollectionIndexer):
    """Their indexer without the model: passages are document numbers, and encoding looks up their vectors."""

    def __init__(self, config: ColBERTConfig, columns: Columns):
        self.verbose, self.config, self.rank, self.nranks, self.use_gpu = 1, config, config.rank, config.nranks, False
        self.columns, self.collection = columns, Collection(data=range(columns.documents))
        self.encoder, self.saver = self, IndexSaver(config)

    def encode_passages(self, passages):
        vectors = [self.columns.document(at) for at in passages]
        return torch.from_numpy(np.concatenate(vectors)), [len(each) for each in vectors]


PEER = Colbert()
