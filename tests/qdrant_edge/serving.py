"""The engine behind sockets, for the real client."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
import warnings
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from qdrant_client import QdrantClient

from tests.folders import FAST_DIRECTORY

from .fault_interceptor import FaultInterceptor
from .fault_proxy import RunningProxy
from .grpc_server import RunningGrpcServer
from .http_server import RunningHttpServer
from .keys import Keys
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
        """Return a real client of this server; its check of versions, which runs in a thread, is off unless wanted."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Api key is used with an insecure connection")
            return QdrantClient(url=self.url, grpc_port=self.grpc_port, **{"check_compatibility": False, **settings})


@contextmanager
def serve(folder, *, api_key: str | None = None, read_only_api_key: str | None = None, faults: Faults | None = None):
    """Serve the collections in a folder until the block ends; yields a `Served`.

    With `faults`, every request is recorded, and those that its script names fail.
    """
    with ExitStack() as stack:
        server, keys = EdgeServer(folder), Keys(api_key, read_only_api_key)
        stack.callback(server.close)
        interceptors = [] if faults is None else [FaultInterceptor(faults)]
        grpc = RunningGrpcServer(server, keys, interceptors)
        stack.callback(grpc.close)
        http = RunningHttpServer(server, keys)
        stack.callback(http.close)
        proxy = http
        if faults is not None:
            proxy = RunningProxy(http.port, faults)
            stack.callback(proxy.close)
        yield Served(server, proxy.port, grpc.port)


@functools.cache
def shared_server() -> Served:
    """Return one server for all tests of this process, which ends with it: for many collections of different names.

    A collection takes 5 ms to create, and 0.3 MB of memory and 2 MB for each payload index until it is deleted.
    """
    stack = ExitStack()
    folder = tempfile.mkdtemp(dir=FAST_DIRECTORY)  # a TemporaryDirectory would end before the server does
    stack.callback(shutil.rmtree, folder)
    served = stack.enter_context(serve(folder))
    atexit.register(stack.close)
    return served
