"""What the tests of engines share: records, and oracles in plain numpy and plain SQL."""

from __future__ import annotations

import hashlib
import json
import math
import os
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np

from late_interaction.documents import Document
from late_interaction.engines import Record
from late_interaction.engines.local import compaction, postings

DIM = 8


def documents_of(engine, matches):
    """The documents of matches, in their order."""
    documents = engine.fetch(matches)
    return [documents[match.id] for match in matches]


KINDS = ("segments", "codebooks")
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
        tables["codebook"] = connection.execute("SELECT value FROM settings WHERE key = 'codebook'").fetchall()
        words = connection.execute("SELECT count(*) FROM words WHERE words MATCH 'text'").fetchone()
    files = {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in column_files(root)}
    directories = sorted(path.name for kind in KINDS for path in (root / kind).glob("*"))
    return generation, tables, words, files, directories


def left_over(root):
    """The directories of segments and codebooks that the catalog does not name, and those it names that are missing."""
    _, tables, _, _, directories = state_on_disk(root)
    named = {row[1] for row in tables["segments"]} | {json.loads(row[0])["name"] for row in tables["codebook"]}
    return sorted(named ^ set(directories))


def spare_names(root, *, retired=False):
    """Names that have not been used yet, or of directories that a reader of an older state may need."""
    with closing(sqlite3.connect(Path(root) / "catalog.sqlite")) as connection:
        rows = connection.execute("SELECT name FROM spare_names WHERE is_retired = ? ORDER BY name", (retired,))
        return [name for (name,) in rows]


def column_files(root):
    """The files of all segments and codebooks, by path."""
    return sorted(path for kind in KINDS for path in (Path(root) / kind).rglob("*") if path.is_file())


def segment_files(root):
    """The files of all segments, by path."""
    return sorted(path for path in (Path(root) / "segments").rglob("*") if path.is_file())


def codebook_on_disk(root):
    """The setting of the catalog that names the codebook, or None."""
    rows = state_on_disk(root)[1]["codebook"]
    return json.loads(rows[0][0]) if rows else None


def records_on_disk(root):
    """What the columns hold of each document, by id and column, as bytes. Read with sqlite and numpy alone."""
    _, tables, _, _, _ = state_on_disk(root)
    names = {row[0]: row[1] for row in tables["segments"]}
    columns = {}
    for number, name in names.items():
        folder = Path(root) / "segments" / name
        files = [file for segment, file, *_ in tables["segment_files"] if segment == number]
        columns[number] = {Path(file).stem: np.load(folder / file) for file in files}
    records = {}
    for _, document_id, number, position, *_ in tables["documents"]:
        start, end = columns[number]["offsets"][position : position + 2]
        records[document_id] = {
            name: column[start:end].tobytes()
            for name, column in columns[number].items()
            if name not in ("offsets", "posting_starts", "postings")
        }
    return records


@contextmanager
def small_thresholds(first=40, buffer=16, fanout=16):
    """Compress at so many tokens, in place of the tens of thousands that it takes to be worth it.

    Every compressed segment gets posting lists.
    """
    with (
        patch.object(compaction, "_MIN_TRAINING_TOKENS", first),
        patch.object(compaction, "_MAX_BUFFER_TOKENS", buffer),
        patch.object(compaction, "_MERGED_SEGMENTS", fanout),
        patch.object(postings, "_MAX_START_BYTES_PER_TOKEN", math.inf),
    ):
        yield
