"""Writes an index in the layout of colbert-ai 0.2.22, as its ``IndexSaver`` and ``CollectionIndexer`` write it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["DIM", "LENGTHS", "PlaidSource", "edit_json", "write_plaid"]

DIM = 16
CENTROIDS = 40
LENGTHS = ((5, 3, 9, 4), (7, 2), (6,))
"""Tokens of the passages of each chunk."""


@dataclass(frozen=True)
class PlaidSource:
    """What was written.

    Attributes:
        folder: The folder.
        vectors: The token vectors of each passage, by its number, as they should be decompressed.
    """

    folder: Path
    vectors: Sequence[np.ndarray]


def write_plaid(
    folder: Path,
    *,
    lengths: Sequence[Sequence[int]] = LENGTHS,
    nbits: int = 2,
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
) -> PlaidSource:
    """Write an index of random vectors into a new folder. A passage of 0 tokens is one that was deleted."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    centroids = rng.normal(size=(CENTROIDS, DIM)).astype(np.float16)
    weights = np.sort(rng.normal(size=2**nbits)).astype(np.float32)
    cutoffs = (weights[1:] + weights[:-1]) / 2
    torch.save(torch.from_numpy(centroids), folder / "centroids.pt")
    torch.save((torch.from_numpy(cutoffs), torch.from_numpy(weights)), folder / "buckets.pt")
    torch.save(torch.tensor([0.03]), folder / "avg_residual.pt")
    settings = {
        "nbits": nbits,
        "dim": DIM,
        "doc_maxlen": 180,
        "query_maxlen": 32,
        "similarity": "cosine",
        "mask_punctuation": True,
        "checkpoint": "colbert-ir/colbertv2.0",
        "collection": "/home/somebody/collection.tsv",
        "index_name": "my-index",
        "rank": 0,
        **(config or {}),
    }
    vectors: list[np.ndarray] = []
    total = 0
    for chunk, of_chunk in enumerate(lengths):
        tokens = sum(of_chunk)
        codes = rng.integers(0, CENTROIDS, tokens)
        buckets = rng.integers(0, 2**nbits, (tokens, DIM))
        bits = (buckets[..., None] >> np.arange(nbits) & 1).astype(np.uint8)
        torch.save(torch.from_numpy(codes.astype(np.int32)), folder / f"{chunk}.codes.pt")
        packed = np.packbits(bits.reshape(tokens, DIM * nbits), axis=1)
        torch.save(torch.from_numpy(packed), folder / f"{chunk}.residuals.pt")
        _write(folder / f"doclens.{chunk}.json", list(of_chunk))
        about = {"passage_offset": len(vectors), "num_passages": len(of_chunk), "num_embeddings": tokens}
        _write(folder / f"{chunk}.metadata.json", {**about, "embedding_offset": total})
        exact = centroids.astype(np.float64)[codes] + weights.astype(np.float64)[buckets]
        exact /= np.linalg.norm(exact, axis=1, keepdims=True)
        vectors += np.split(exact, np.cumsum(of_chunk)[:-1])
        total += tokens
    plan = {"config": settings, "num_chunks": len(lengths), "num_partitions": CENTROIDS, "num_embeddings_est": 1.5}
    _write(folder / "plan.json", {**plan, "avg_doclen_est": 4.5})
    counts = {"num_chunks": len(lengths), "num_partitions": CENTROIDS, "num_embeddings": total}
    _write(folder / "metadata.json", {"config": settings, **counts, "avg_doclen": total / len(vectors)})
    inverted = (torch.zeros(3, dtype=torch.int32), torch.zeros(CENTROIDS, dtype=torch.int64))
    torch.save(inverted, folder / "ivf.pid.pt")
    return PlaidSource(folder, vectors)


def edit_json(path: Path, change: object) -> None:
    """Apply a function to the content of a JSON file."""
    content = json.loads(path.read_text())
    replacement = change(content)  # type: ignore[operator]
    _write(path, content if replacement is None else replacement)


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content))
