"""Engines over the real Qdrant engine behind sockets, which do not wait long before they try again."""

from __future__ import annotations

import dataclasses
import warnings
from contextlib import contextmanager

from late_interaction.engines import QdrantEngine
from late_interaction.engines.remote.retries import Retries
from tests.qdrant_edge import serve

QUICK = Retries(tries=3, seconds=5, first_wait=0.01)


def quick(engine, retries=QUICK):
    """Let an engine try again at once."""
    connection = engine._connection
    connection._settings = dataclasses.replace(connection._settings, retries=retries)
    return engine


def connect(served, *, grpc=False, retries=QUICK, **settings):
    """Return an engine over a server."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Api key is used with an insecure connection")
        engine = QdrantEngine(served.url, prefer_grpc=grpc, grpc_port=served.grpc_port, **settings)
    return quick(engine, retries)


@contextmanager
def served_engine(folder, *, faults=None, grpc=False, dim=16, **settings):
    """Serve a folder and open an engine over it."""
    with serve(folder, faults=faults) as served:
        engine = connect(served, grpc=grpc, dim=dim, **settings)
        try:
            yield engine
        finally:
            engine.close()
