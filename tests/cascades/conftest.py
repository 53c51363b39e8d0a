"""Indexes over small collections, and tiny models of sentence-transformers."""

from __future__ import annotations

import numpy as np
import pytest

from late_interaction import Document, Index
from tests.fakes import WordEncoder

WORDS = [f"w{number}" for number in range(40)]


def corpus(count, *, seed=0):
    """Documents of 0 to 12 words of a small vocabulary, so that scores are often equal."""
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS, size=size)) for size in rng.integers(0, 13, size=count)]
    return [
        Document(text, id=f"d{number}", metadata={"n": number, "even": number % 2 == 0})
        for number, text in enumerate(texts)
    ]


def queries(count, *, seed=1):
    """Queries of 1 to 5 words."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size=size)) for size in rng.integers(1, 6, size=count)]


@pytest.fixture
def index(tmp_path):
    """120 documents, uncompressed."""
    with Index.open(tmp_path / "index", encoder=WordEncoder(), bits=None) as index:
        index.add(corpus(120))
        yield index


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Threads that wait for each other cost tiny models far more than they gain, above all on a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def sentence_transformer(checkpoints):
    from sentence_transformers import SentenceTransformer

    from tests.checkpoints import single_vector

    prompts = {"query": "search: ", "document": "text: "}
    return SentenceTransformer(str(single_vector(checkpoints / "cascade-dense", prompts=prompts)), device="cpu")


@pytest.fixture(scope="session")
def sparse_encoder(checkpoints):
    from sentence_transformers import SparseEncoder

    from tests.checkpoints import sparse_encoder

    return SparseEncoder(str(sparse_encoder(checkpoints / "cascade-sparse")), device="cpu")


@pytest.fixture(scope="session")
def cross_encoder(checkpoints):
    from sentence_transformers import CrossEncoder

    from tests.checkpoints import cross_encoder

    return CrossEncoder(str(cross_encoder(checkpoints / "cascade-cross")), device="cpu")
