"""The engines that the conformance suite runs on. A new engine is one more entry."""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from late_interaction.engines import LanceDBEngine, LocalEngine, QdrantEngine
from tests.conformance import live
from tests.conformance.weak_engines import ServerEngine, WeakEngine
from tests.qdrant_edge import EdgeClient, serve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from late_interaction.engines import Engine


class EngineCase(NamedTuple):
    """How to get an engine.

    Attributes:
        name: Shown in the ids of tests.
        make: Opens an empty engine in a folder that does not exist yet, for vectors of a dimension.
        reopen: Opens it again after it was closed.
    """

    name: str
    make: Callable[[Path, int], Engine]
    reopen: Callable[[Path], Engine]


def qdrant_local(folder, dim=None):
    """Local mode of Qdrant's client, in a directory."""
    return QdrantEngine.open(f"qdrant:{folder}", dim=dim)


class EdgeEngine(QdrantEngine):
    """Qdrant's real engine, which closes its client: a folder may be open once."""

    def close(self):
        super().close()
        self.own_client.close()


def qdrant_edge(folder, dim=None):
    """Qdrant's real engine in this process, behind its real client."""
    client = EdgeClient(folder)
    try:
        engine = EdgeEngine(client=client, dim=dim)
        engine.own_client = client
        if dim is None:
            engine.dim  # noqa: B018  # raises if there is no collection
    except BaseException:
        client.close()
        raise
    return engine


class ServedEngine(QdrantEngine):
    """An engine that ends its server when it is closed."""

    def close(self):
        super().close()
        self.server.close()


def qdrant_served(folder, dim=None, *, grpc):
    """Qdrant's real engine behind a socket."""
    server = ExitStack()
    try:
        served = server.enter_context(serve(folder))
        engine = ServedEngine(served.url, grpc_port=served.grpc_port, prefer_grpc=grpc, dim=dim)
        engine.server = server
        if dim is None:
            engine.dim  # noqa: B018  # raises if there is no collection
    except BaseException:
        server.close()
        raise
    return engine


ENGINES = [
    EngineCase("local", lambda folder, dim: LocalEngine.open(folder, dim=dim, bits=None), LocalEngine.open),
    EngineCase("local-4-bits", lambda folder, dim: LocalEngine.open(folder, dim=dim, bits=4), LocalEngine.open),
    EngineCase("lancedb", lambda folder, dim: LanceDBEngine(folder, dim=dim), LanceDBEngine.open),
    EngineCase("weak", lambda folder, dim: WeakEngine.open(folder, dim=dim), WeakEngine.open),
    EngineCase("server", lambda folder, dim: ServerEngine.open(folder, dim=dim), ServerEngine.open),
    EngineCase("qdrant-local", qdrant_local, qdrant_local),
    EngineCase("qdrant-edge", qdrant_edge, qdrant_edge),
]

SERVED = [
    EngineCase(f"qdrant-{name}", partial(qdrant_served, grpc=grpc), partial(qdrant_served, grpc=grpc))
    for name, grpc in (("http", False), ("grpc", True))
]
"""The same engine over the wire, for the slow tests: it differs in how numbers and errors are sent."""

LIVE = [
    EngineCase(f"{name}-live", open_engine, open_engine)
    for name, (variable, open_engine) in live.OPENED_BY.items()
    if variable in os.environ
]
"""Servers of whoever runs the tests."""
