"""What the tests of engines share: records, and oracles in plain numpy and plain SQL."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np

from late_interaction.documents import Document
from late_interaction.engines import Record

DIM = 8
FAST_DIRECTORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
_REPOSITORY = Path(__file__).parents[2]
CHILD_ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_REPOSITORY / "src"), str(_REPOSITORY)])}
"""For processes that import the package and these tests."""


def unit_vectors(seed, tokens, dim=DIM):
    """Random token vectors of length one, (tokens, dim)."""
    vectors = np.random.default_rng(seed).normal(size=(tokens, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if tokens else vectors


def stored(vectors):
    """The vectors as an exact index keeps them: rounded to half precision, here as float64."""
    return np.asarray(vectors, np.float32).astype(np.float16).astype(np.float64)


def true_score(query, vectors):
    """MaxSim by its definition, over the stored form of the document and in float64."""
    document = stored(vectors)
    total = 0.0
    for token in np.asarray(query, np.float64):
        total += max((float(np.dot(token, other)) for other in document), default=0.0)
    return total


def record(document_id, *, tokens=3, seed=None, text=None, dim=DIM, vectors=None, encoded_text=None, **metadata):
    """A record whose vectors follow from its id, unless they are given."""
    if vectors is None:
        if seed is None:
            seed = int.from_bytes(hashlib.sha256(document_id.encode()).digest()[:4], "little")
        vectors = unit_vectors(seed, tokens, dim)
    text = f"text of {document_id}" if text is None else text
    return Record(Document(text, id=document_id, metadata=metadata, encoded_text=encoded_text), vectors)


def state_on_disk(root):
    """All that a commit may change, read without the code under test: generation, documents, segment files."""
    root = Path(root)
    with closing(sqlite3.connect(root / "catalog.sqlite")) as connection:
        connection.execute("BEGIN")
        generation = json.loads(connection.execute("SELECT value FROM settings WHERE key = 'generation'").fetchone()[0])
        tables = {
            table: sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
            for table in ("documents", "fields", "segments", "segment_files", "tombstones")
        }
        words = connection.execute("SELECT count(*) FROM words WHERE words MATCH 'text'").fetchone()
    files = {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((root / "segments").rglob("*"))
        if path.is_file()
    }
    directories = sorted(path.name for path in (root / "segments").iterdir())
    return generation, tables, words, files, directories


def segment_files(root):
    """The files of all segments, by path."""
    return sorted(path for path in (Path(root) / "segments").rglob("*") if path.is_file())
