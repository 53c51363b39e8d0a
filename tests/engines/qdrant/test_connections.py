"""Connections to a server, from many threads."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

from late_interaction.engines import QdrantEngine
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
