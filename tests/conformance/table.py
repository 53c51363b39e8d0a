"""The engines that the conformance suite runs on. A new engine is one more entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from late_interaction.engines import LocalEngine, QdrantEngine
from tests.conformance.weak_engines import ServerEngine, WeakEngine
from tests.qdrant_edge import EdgeClient

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


ENGINES = [
    EngineCase("local", lambda folder, dim: LocalEngine.open(folder, dim=dim, bits=None), LocalEngine.open),
    EngineCase("local-4-bits", lambda folder, dim: LocalEngine.open(folder, dim=dim, bits=4), LocalEngine.open),
    EngineCase("weak", lambda folder, dim: WeakEngine.open(folder, dim=dim), WeakEngine.open),
    EngineCase("server", lambda folder, dim: ServerEngine.open(folder, dim=dim), ServerEngine.open),
    EngineCase("qdrant-local", qdrant_local, qdrant_local),
    EngineCase("qdrant-edge", qdrant_edge, qdrant_edge),
]
