"""Token vectors of real text for the benchmarks, encoded once with the offline encoder and stored on disk.

    python -m benchmarks.data DOCUMENTS.jsonl.gz QUERIES.jsonl.gz --into FOLDER [--grow-to TOKENS]

Each line of DOCUMENTS is {"id", "text", "metadata"}, each line of QUERIES {"query", "relevant"}. To reach TOKENS, the
collection is extended with documents that recombine sentences of the real ones, with the same distribution of sentence
counts. They are also encoded, so that every vector is contextual.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from late_interaction import load_encoder

BLOCK = 256  # documents encoded at a time


@dataclass(frozen=True)
class Vectors:
    """Documents as flat columns, and queries.

    Attributes:
        tokens: Token vectors of all documents, (tokens, dim) float16, memory-mapped.
        offsets: Start of each document, and the end of the last, (documents + 1,).
        queries: Token vectors of each query, (query tokens, dim) float32.
        real: The number of real documents, which come first.
    """

    tokens: np.ndarray
    offsets: np.ndarray
    queries: list[np.ndarray]
    real: int

    @property
    def documents(self) -> int:
        """The number of documents."""
        return len(self.offsets) - 1

    def document(self, at: int) -> np.ndarray:
        """Return the token vectors of one document, (tokens, dim) float16."""
        return self.tokens[self.offsets[at] : self.offsets[at + 1]]

    def first(self, documents: int) -> Vectors:
        """Return the collection with only the first documents."""
        offsets = self.offsets[: documents + 1]
        return Vectors(self.tokens[: offsets[-1]], offsets, self.queries, min(self.real, documents))

    def reduced(self, dim: int) -> Vectors:
        """Return the vectors projected to the principal axes of a sample and normalized, as by a trained projection."""
        if dim == self.tokens.shape[1]:
            return self
        rng = np.random.default_rng(0)
        sample = self.tokens[np.sort(rng.choice(len(self.tokens), min(50_000, len(self.tokens)), replace=False))]
        _, axes = np.linalg.eigh(np.cov(sample.astype(np.float32), rowvar=False))
        axes = np.ascontiguousarray(axes[:, ::-1][:, :dim], np.float32)
        tokens = np.empty((len(self.tokens), dim), np.float16)
        for start in range(0, len(tokens), 65_536):
            tokens[start : start + 65_536] = _project(self.tokens[start : start + 65_536], axes)
        return Vectors(tokens, self.offsets, [_project(query, axes) for query in self.queries], self.real)


def load(folder: Path) -> Vectors:
    """Return the vectors that this command has written."""
    queries = np.load(folder / "queries.npy")
    starts = np.load(folder / "query_offsets.npy")
    return Vectors(
        np.load(folder / "tokens.npy", mmap_mode="r"),
        np.load(folder / "offsets.npy"),
        [queries[start:end] for start, end in pairwise(starts)],
        json.loads((folder / "about.json").read_text())["real"],
    )


def read_lines(path: Path) -> list[dict]:
    """Return the JSON lines of a gzipped file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def texts_of(vectors: Vectors, real: list[str]) -> list[str]:
    """Return the texts of the documents, given those of the real ones."""
    more = recombined(real)
    return (real + [next(more) for _ in range(vectors.documents - len(real))])[: vectors.documents]


def recombined(texts: list[str], seed: int = 0):
    """Yield documents made of sentences of other documents, without end."""
    rng = random.Random(seed)
    split = [[part for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip()] for text in texts]
    split = [sentences for sentences in split if sentences]
    while True:
        count = len(rng.choice(split))
        yield " ".join(rng.choice(rng.choice(split)) for _ in range(count))


def encode_into(folder: Path, texts: list[str], queries: list[str], grow_to: int) -> None:
    """Encode documents, recombined documents until there are ``grow_to`` tokens, and queries."""
    encoder = load_encoder("minilm")
    folder.mkdir(parents=True, exist_ok=True)
    lengths: list[int] = []
    more = recombined(texts)
    with (folder / "tokens.f16").open("wb") as file:
        while len(lengths) < len(texts) or sum(lengths) < grow_to:
            block = texts[len(lengths) : len(lengths) + BLOCK] or [next(more) for _ in range(BLOCK)]
            for vectors in encoder.encode_documents(block):
                file.write(vectors.astype(np.float16).tobytes())
                lengths.append(len(vectors))
            print(f"\r{len(lengths):,} documents, {sum(lengths):,} tokens", end="", flush=True)
    print()
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    flat = np.memmap(folder / "tokens.f16", np.float16, mode="r", shape=(int(offsets[-1]), encoder.dim))
    np.save(folder / "tokens.npy", flat)
    (folder / "tokens.f16").unlink()
    np.save(folder / "offsets.npy", offsets)
    encoded = encoder.encode_queries(queries)
    np.save(folder / "queries.npy", np.concatenate(encoded))
    np.save(folder / "query_offsets.npy", np.concatenate([[0], np.cumsum([len(query) for query in encoded])]))
    (folder / "about.json").write_text(json.dumps({"real": len(texts)}))


def _project(vectors: np.ndarray, axes: np.ndarray) -> np.ndarray:
    projected = vectors.astype(np.float32) @ axes
    return projected / np.maximum(np.linalg.norm(projected, axis=1, keepdims=True), 1e-12)


def main() -> None:
    """Encode and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path)
    parser.add_argument("queries", type=Path)
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--grow-to", type=int, default=0, metavar="TOKENS")
    arguments = parser.parse_args()
    texts = [row["text"] for row in read_lines(arguments.documents)]
    queries = [row["query"] for row in read_lines(arguments.queries)]
    encode_into(arguments.into, texts, queries, arguments.grow_to)


if __name__ == "__main__":
    main()
