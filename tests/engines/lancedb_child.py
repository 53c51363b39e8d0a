"""For processes that write beside a test: records, and an engine over the first argument. Imports little."""

from __future__ import annotations

import sys

import numpy as np

from late_interaction.documents import Document
from late_interaction.engines import LanceDBEngine, Record

DIM = 8


def vectors_of(text, tokens=3):
    """Token vectors that follow from a text, of length one."""
    vectors = np.random.default_rng(sum(text.encode())).normal(size=(tokens, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def document(name, text=None, **metadata):
    return Document(f"text of {name}" if text is None else text, id=name, metadata=metadata)


def record(name, text=None, *, tokens=3, **metadata):
    one = document(name, text, **metadata)
    return Record(one, vectors_of(one.text, tokens))


def open_engine():
    return LanceDBEngine(sys.argv[1])
