"""The engine behind sockets, for the real client."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import NamedTuple

from qdrant_client import QdrantClient

from .grpc_server import RunningGrpcServer
from .http_server import RunningHttpServer
from .server import EdgeServer


class Served(NamedTuple):
    """Where a server answers."""

    server: EdgeServer
    http_port: int
    grpc_port: int

    @property
    def url(self) -> str:
        """The address of the REST interface."""
        return f"http://127.0.0.1:{self.http_port}"

    def client(self, **settings) -> QdrantClient:
        """Return a real client of this server."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Api key is used with an insecure connection")
            return QdrantClient(url=self.url, grpc_port=self.grpc_port, **settings)


@contextmanager
def serve(folder, *, api_key: str | None = None):
    """Serve the collections in a folder until the block ends; yields a `Served`."""
    server = EdgeServer(folder)
    http = RunningHttpServer(server, api_key=api_key)
    grpc = RunningGrpcServer(server, api_key=api_key)
    try:
        yield Served(server, http.port, grpc.port)
    finally:
        http.close()
        grpc.close()
        server.close()
