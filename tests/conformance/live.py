"""Rows of the table for a server or object store of yours.

    QDRANT_URL=http://localhost:6333 LANCEDB_URI=s3://bucket/path python -m pytest tests/conformance -k live

Each test makes a collection or a database of its own, with a name that begins with ``late-interaction-test-``. The
collections of Qdrant are deleted again; what is written below the URI of LanceDB stays.
"""

from __future__ import annotations

import hashlib
import os

from late_interaction.engines import LanceDBEngine, QdrantEngine

_collections = set()
"""Names of the collections that were made."""


def qdrant(folder, dim=None):
    """A collection of the server."""
    name = _name_of(folder)
    engine = QdrantEngine(os.environ["QDRANT_URL"], collection=name, dim=dim)
    _collections.add(name)
    try:
        if dim is None:
            engine.dim  # noqa: B018  # raises if there is no collection
    except BaseException:
        engine.close()
        raise
    return engine


def lancedb(folder, dim=None):
    """A database below the URI."""
    engine = LanceDBEngine(f"{os.environ['LANCEDB_URI'].rstrip('/')}/{_name_of(folder)}", dim=dim)
    try:
        if dim is None:
            engine.dim  # noqa: B018  # raises if there is no table
    except BaseException:
        engine.close()
        raise
    return engine


def delete_collections():
    """Delete the collections that were made."""
    if _collections:
        from qdrant_client import QdrantClient

        client = QdrantClient(os.environ["QDRANT_URL"], api_key=os.environ.get("QDRANT_API_KEY"))
        while _collections:
            client.delete_collection(_collections.pop())
        client.close()


def _name_of(folder):
    return f"late-interaction-test-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"


OPENED_BY = {"qdrant": ("QDRANT_URL", qdrant), "lancedb": ("LANCEDB_URI", lancedb)}
"""The variable, and what opens an engine in a folder."""
