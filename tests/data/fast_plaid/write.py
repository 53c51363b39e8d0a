"""Write the indexes in this folder with fast-plaid 1.7.0, and what fast-plaid itself says of them.

    python tests/data/fast_plaid/write.py      # in an environment with fast-plaid

``bits4`` had 24 documents; 6 were added, which were buffered; 3 were deleted. It has metadata. ``bits2`` had 20
documents, and 12 that made it add centroids. ``expected.npz`` has the decompressed vectors that fast-plaid returns, and
its scores.
"""

import shutil
from pathlib import Path

import numpy as np
import torch
from fast_plaid import search

FOLDER = Path(__file__).parent
DIM = 16


def random_documents(rng, count):
    documents = []
    for _ in range(count):
        vectors = rng.standard_normal((int(rng.integers(2, 9)), DIM)).astype(np.float32)
        documents.append(torch.from_numpy(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)))
    return documents


def describe(numbers):
    return [
        {"number": number, "share": number / 4, "name": f"document {number}", "odd": "yes" if number % 2 else None}
        for number in numbers
    ]


def answers(index, documents, queries, name):
    embeddings = index.get_embeddings(list(range(documents)))
    found = index.search(queries, top_k=documents, n_ivf_probe=64, n_full_scores=1000, show_progress=False)
    scores = np.full((len(queries), documents), np.nan, np.float32)
    for query, hits in enumerate(found):
        for number, score in hits:
            scores[query, number] = score
    return {
        f"{name}_lengths": np.array([len(one) for one in embeddings]),
        f"{name}_vectors": torch.cat(embeddings).numpy().astype(np.float16),
        f"{name}_scores": scores,
    }


def main():
    rng = np.random.default_rng(0)
    queries = random_documents(rng, 5)
    for name in ("bits4", "bits2"):
        shutil.rmtree(FOLDER / name, ignore_errors=True)
    index = search.FastPlaid(str(FOLDER / "bits4"), device="cpu")
    index.create(random_documents(rng, 24), nbits=4, metadata=describe(range(24)), start_from_scratch=0)
    index.update(random_documents(rng, 6), metadata=describe(range(24, 30)), start_from_scratch=0)
    index.delete([2, 11, 25])
    expected = answers(index, 27, queries, "bits4")
    index = search.FastPlaid(str(FOLDER / "bits2"), device="cpu")
    index.create(random_documents(rng, 20), nbits=2, start_from_scratch=0)
    index.update(random_documents(rng, 12), start_from_scratch=0, buffer_size=10)
    expected |= answers(index, 32, queries, "bits2")
    expected["query_lengths"] = np.array([len(one) for one in queries])
    expected["queries"] = torch.cat(queries).numpy()
    np.savez_compressed(FOLDER / "expected.npz", **expected)
    for lock in FOLDER.glob("*/plaid.lock"):
        lock.unlink()


if __name__ == "__main__":
    main()
