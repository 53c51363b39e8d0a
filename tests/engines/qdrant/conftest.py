"""Fixtures: the real engine behind sockets, with faults, and engines over it."""

from __future__ import annotations

import tempfile

import pytest

from late_interaction.engines import QdrantEngine
from tests.engines.helpers import DIM
from tests.engines.qdrant.clocks import Clock
from tests.engines.qdrant.stored import Stored
from tests.folders import FAST_DIRECTORY
from tests.qdrant_edge import serve
from tests.qdrant_edge.faults import Faults


@pytest.fixture(params=["rest", "grpc"])
def protocol(request):
    """How the engine calls the server."""
    return request.param


@pytest.fixture(scope="module")
def served_with_faults():
    """A server for all tests of a module, and the faults between it and its clients."""
    faults = Faults()
    with tempfile.TemporaryDirectory(dir=FAST_DIRECTORY) as folder, serve(folder, faults=faults) as served:
        yield served, faults


@pytest.fixture
def faults(served_with_faults):
    """The script of faults, empty before and after the test."""
    _, faults = served_with_faults
    faults.clear()
    yield faults
    faults.clear()


@pytest.fixture
def served(served_with_faults, faults):
    """The server, without a collection."""
    del faults
    served, _ = served_with_faults
    yield served
    for name in [each.name for each in served.server.names().collections]:
        served.server.delete(name)


@pytest.fixture
def open_engine(served, protocol):
    """Opens engines over the server, by the protocol of the test. They are closed after the test."""
    engines = []

    def open_engine(*, dim=DIM, protocol=protocol, **settings):
        engine = QdrantEngine(
            served.url, dim=dim, prefer_grpc=protocol == "grpc", grpc_port=served.grpc_port, **settings
        )
        engines.append(engine)
        return engine

    yield open_engine
    for engine in engines:
        engine.close()


@pytest.fixture
def stored(served):
    """What the collection holds."""
    return Stored(served)


@pytest.fixture
def clock(monkeypatch):
    """Waits between tries take no time."""
    clock = Clock()
    monkeypatch.setattr("late_interaction.engines.remote.retries.time", clock)
    return clock


@pytest.fixture
def edge_folder():
    """A folder for a server of the test's own."""
    with tempfile.TemporaryDirectory(dir=FAST_DIRECTORY) as folder:
        yield folder
