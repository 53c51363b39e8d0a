"""What the tests of the engine over LanceDB share."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest

from late_interaction.engines import LanceDBEngine
from late_interaction.engines.lancedb import codebooks
from tests.engines.helpers import CHILD_ENVIRONMENT, unit_vectors
from tests.engines.lancedb_child import DIM, document, record, vectors_of

__all__ = [
    "DIM",
    "centers",
    "child",
    "clustered",
    "document",
    "document_ids",
    "engine",
    "record",
    "trained_early",
    "vectors_of",
]


def document_ids(engine):
    return [one.id for one in engine.scan(fields=())]


def centers(count=12):
    """Points around which tokens lie, far from each other."""
    return 4 * unit_vectors(3, count)


def clustered(seed, tokens=6):
    """Token vectors near some of the centers, of length one."""
    rng = np.random.default_rng(seed)
    vectors = centers()[rng.choice(len(centers()), tokens)] + 0.3 * rng.normal(size=(tokens, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@contextmanager
def trained_early(tokens):
    """Train the codebook at this many tokens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codebooks, "MIN_TRAINING_TOKENS", tokens)
        yield


def child(code, *arguments):
    """A process of its own that runs code with an engine over the first argument."""
    begin = "import sys\nfrom tests.engines.lancedb_child import open_engine, record\nengine = open_engine()\n"
    return subprocess.Popen(
        [sys.executable, "-c", begin + code, *map(str, arguments)],
        env=CHILD_ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def engine(tmp_path):
    with LanceDBEngine(tmp_path / "index", dim=DIM) as made:
        yield made
