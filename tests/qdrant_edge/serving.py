"""The engine behind sockets, for the real client."""

from __future__ import annotations

import warnings
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from qdrant_client import QdrantClient

from .fault_interceptor import FaultInterceptor
from .fault_proxy import RunningProxy
from .grpc_server import RunningGrpcServer
from .http_server import RunningHttpServer
from .server import EdgeServer

if TYPE_CHECKING:
    from .faults import Faults


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
def serve(folder, *, api_key: str | None = None, faults: Faults | None = None):
    """Serve the collections in a folder until the block ends; yields a `Served`.

    With `faults`, every request is recorded, and those that its script names fail.
    """
    with ExitStack() as stack:
        server = EdgeServer(folder)
        stack.callback(server.close)
        interceptors = [] if faults is None else [FaultInterceptor(faults)]
        grpc = RunningGrpcServer(server, api_key=api_key, interceptors=interceptors)
        stack.callback(grpc.close)
        http = RunningHttpServer(server, api_key=api_key)
        stack.callback(http.close)
        proxy = http
        if faults is not None:
            proxy = RunningProxy(http.port, faults)
            stack.callback(proxy.close)
        yield Served(server, proxy.port, grpc.port)
