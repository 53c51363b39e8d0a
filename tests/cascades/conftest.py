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
