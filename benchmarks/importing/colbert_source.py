"""Build an index with colbert-ai, in its environment, and write what it decompresses and answers itself.

    python -m benchmarks.importing.colbert_source COLUMNS NBITS FOLDER QUERIES

Writes FOLDER/index, FOLDER/decompressed.npy, (tokens, dim) float32, and FOLDER/answers.json: the ten best passages of
each of the first QUERIES queries with thorough settings. The centroids are trained once for all indexes beside it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from colbert.indexing.codecs.residual import ResidualCodec
from colbert.infra import ColBERTConfig
from colbert.modeling.colbert import ColBERT
from colbert.search.index_storage import IndexScorer

from benchmarks.peers.colbert_plaid import _Indexer
from benchmarks.peers.protocol import Columns, K

THOROUGH = {"ncells": 32, "centroid_score_threshold": 0.0, "ndocs": 2048}


class _SharedCentroids(_Indexer):
    """Their indexer, with k-means run once for all numbers of bits."""

    def _train_kmeans(self, sample, shared_lists):
        stored = Path(self.config.index_path).parents[1] / "centroids.pt"
        if not stored.exists():
            torch.save(super()._train_kmeans(sample, shared_lists), stored)
        return torch.load(stored)


def main() -> None:
    """Build, decompress and search."""
    columns, nbits, folder = Columns.load(Path(sys.argv[1])), int(sys.argv[2]), Path(sys.argv[3])
    index = str(folder / "index")
    Path(index).mkdir(parents=True)
    config = ColBERTConfig(index_path=index, dim=columns.tokens.shape[1], nbits=nbits, kmeans_niters=4)
    _SharedCentroids(config, columns).run([[None]])
    codec, chunks = ResidualCodec.load(index), json.loads(Path(index, "metadata.json").read_text())["num_chunks"]
    decompressed = [codec.decompress(ResidualCodec.Embeddings.load(index, chunk)) for chunk in range(chunks)]
    np.save(folder / "decompressed.npy", torch.cat(decompressed).numpy())

    ColBERT.try_load_torch_extensions(use_gpu=False)
    scorer = IndexScorer(index, use_gpu=False)
    config = ColBERTConfig(query_maxlen=max(map(len, columns.queries)), **THOROUGH)
    queries = columns.queries[: int(sys.argv[4])]
    answers = [scorer.rank(config, torch.from_numpy(query)[None])[0][:K] for query in queries]
    (folder / "answers.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
