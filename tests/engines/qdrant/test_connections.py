"""Connections to a server, from many threads."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from late_interaction.engines import QdrantEngine
from late_interaction.engines.qdrant.addresses import Address
from late_interaction.engines.qdrant.client import Connection, ConnectionSettings
from tests.engines.helpers import DIM
from tests.qdrant_edge.faults import delay

THREADS = 40


def test_many_threads_use_their_connections_again(monkeypatch, served, faults):
    """Of a host that the client does not take for this machine."""
    opened = []
    connect = socket.create_connection
    monkeypatch.setattr(
        socket, "create_connection", lambda *args, **kwargs: opened.append(args) or connect(*args, **kwargs)
    )
    url = served.url.replace("127.0.0.1", "127.1")
    with QdrantEngine(url, dim=DIM, prefer_grpc=False) as engine, ThreadPoolExecutor(THREADS) as pool:
        faults.on(None, delay(0.02), times=1000)
        assert list(pool.map(lambda _: engine.count(), range(5 * THREADS))) == [0] * 5 * THREADS
    assert 2 <= len([args for args in opened if args[0][0] == "127.1"]) <= THREADS + 5


@pytest.mark.parametrize(("path", "protocol"), [("", "grpc"), ("/qdrant", "rest")])
def test_grpc_is_not_looked_for_behind_a_path(monkeypatch, served, path, protocol):
    """Another server may have the port of gRPC there."""
    monkeypatch.setattr("late_interaction.engines.qdrant.addresses.REST_PORT", served.http_port)
    monkeypatch.setattr("late_interaction.engines.qdrant.client.REST_PORT", served.http_port)
    monkeypatch.setattr("late_interaction.engines.qdrant.client.GRPC_PORT", served.grpc_port)
    settings = ConnectionSettings(grpc_port=served.grpc_port)
    connection = Connection(Address("documents", url=f"{served.url}{path}"), settings)
    assert connection.protocol == protocol
    connection.close()
