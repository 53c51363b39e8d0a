"""Build an index with fast-plaid, in its environment, and write what it decompresses and answers itself.

    python -m benchmarks.importing.fast_plaid_source COLUMNS NBITS FOLDER QUERIES

Writes the same files as `colbert_source`.
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from fast_plaid import search

from benchmarks.peers.protocol import Columns, K

THOROUGH = {"n_ivf_probe": 64, "n_full_scores": 100_000}
BATCH = 500  # documents decompressed at a time


def main() -> None:
    """Build, decompress and search."""
    columns, nbits, folder = Columns.load(Path(sys.argv[1])), int(sys.argv[2]), Path(sys.argv[3])
    folder.mkdir(parents=True)
    documents = [
        torch.from_numpy(columns.tokens[start:end].astype(np.float32)) for start, end in pairwise(columns.offsets)
    ]
    index = search.FastPlaid(str(folder / "index"), device="cpu")
    index.create(documents, nbits=nbits)
    numbers = range(len(documents))
    decompressed = [one for at in numbers[::BATCH] for one in index.get_embeddings(list(numbers[at : at + BATCH]))]
    np.save(folder / "decompressed.npy", torch.cat(decompressed).numpy())
    queries = [torch.from_numpy(query) for query in columns.queries[: int(sys.argv[4])]]
    found = index.search(queries, top_k=K, show_progress=False, **THOROUGH)
    (folder / "answers.json").write_text(json.dumps([[number for number, _ in hits] for hits in found]))


if __name__ == "__main__":
    main()
